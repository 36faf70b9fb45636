"""Gemini's own interface, `generateContent` (ai.google.dev, API reference v1beta).

Its ways to say no are many: a blocked prompt is a good answer without candidates, a wrong key is a bad request, a used
up day looks like a busy minute, and new words for an answer's end come without notice. Each is sorted here into: ask
again, ask somebody else, ask nobody.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage, TokenPrice
from services.composer.providers.model import ModelRefused, Reply, grown, name_in
from services.composer.providers.vendor_call import VendorCall, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.composer.providers.model import Question

# Verdicts about what was asked for, or about what it led to; any other word of the kind is none.
_BLOCKED: Final = frozenset({"SAFETY", "BLOCKLIST", "PROHIBITED_CONTENT", "JAILBREAK", "MODEL_ARMOR", "SPII"})
# The model said again what it had read, or wrote in a language it does not speak: another seed may help.
_AGAIN: Final = frozenset({"RECITATION", "LANGUAGE", "OTHER"})
_HARMS: Final = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)s")
_SEEDS: Final = 2**31
_BAD_REQUEST, _BUSY, _FAULT = 400, 429, 500

# Status to our word for the failure, and whether the same call may do better.
_FAILURES: Final[Mapping[int, tuple[str, bool]]] = {
    400: ("request", False),
    401: ("key", False),
    402: ("quota", False),
    403: ("key", False),
    404: ("model", False),
    408: ("overloaded", True),
    429: ("overloaded", True),
    500: ("broken", True),
    502: ("broken", True),
    503: ("overloaded", True),
    504: ("overloaded", True),
}


class GeminiModel:
    """Asks one model of Gemini."""

    name = "gemini"
    vendor = "gcp.gemini"
    operation = "generate_content"

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        model: str,
        thinking: str = "",
        stream: bool = True,
        silence_s: float = 20.0,
        price: TokenPrice | None = None,
    ) -> None:
        """Keep the settings; `thinking` is the vendor's thinkingLevel, which not every model takes."""
        self._url = f"{base_url.rstrip('/')}/models/{model}"
        self.model = model
        self._thinking = thinking
        self._stream = stream
        self._price = price or TokenPrice()
        self._call = VendorCall(self.name, headers={"x-goog-api-key": key}, silence_s=silence_s, explain=_explained)

    async def ask(self, question: Question, hear: Callable[[str], None], stop: Callable[[], bool]) -> Reply:
        """Return the answer; raises VendorFailed, ModelRefused and Stopped."""
        verb = "streamGenerateContent?alt=sse" if self._stream else "generateContent"
        heard = _Heard(self._price)
        values = self._call.values(f"{self._url}:{verb}", self._body(question), stream=self._stream, stop=stop)
        async with aclosing(values):
            async for value in values:
                if heard.take(value):
                    hear(heard.text)
        return heard.reply(self.model)

    async def close(self) -> None:
        """Close the connections."""
        await self._call.close()

    def _body(self, question: Question) -> dict[str, Any]:
        config: dict[str, Any] = {
            "candidateCount": 1,
            "maxOutputTokens": question.most_tokens,
            "seed": question.seed % _SEEDS,
        }
        if question.schema:
            config |= {"responseMimeType": "application/json", "responseJsonSchema": question.schema}
        if self._thinking:
            config["thinkingConfig"] = {"thinkingLevel": self._thinking}
        return {
            "systemInstruction": {"parts": [{"text": question.system}]},
            "contents": [
                {"role": "model" if number % 2 else "user", "parts": [{"text": text}]}
                for number, text in enumerate(question.turns)
            ],
            "generationConfig": config,
            "safetySettings": [
                {"category": f"HARM_CATEGORY_{harm}", "threshold": "BLOCK_MEDIUM_AND_ABOVE"} for harm in _HARMS
            ],
        }


@dataclass
class _Heard:
    """An answer as far as it has come: of a stream every piece adds text, and the last usage is the whole one."""

    price: TokenPrice
    text: str = ""
    ending: str = ""
    blocked: str = ""
    model: str = ""
    usage: ModelUsage = field(default_factory=ModelUsage)

    def take(self, value: Mapping[str, Any]) -> bool:
        """Add one response object; return whether the text has grown."""
        self.model = name_in(value.get("modelVersion") or "") or self.model
        usage = value.get("usageMetadata")
        if isinstance(usage, dict) and "promptTokenCount" in usage:
            written = _count(usage, "candidatesTokenCount") + _count(usage, "thoughtsTokenCount")
            self.usage = self.price.usage(_count(usage, "promptTokenCount"), written)
        feedback = value.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self.blocked = str(feedback["blockReason"])
        candidates = value.get("candidates")
        if not isinstance(candidates, list) or not candidates or not isinstance(candidates[0], dict):
            return False
        self.ending = str(candidates[0].get("finishReason") or self.ending)
        content = candidates[0].get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        said = "".join(
            part["text"]
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought")
        )
        self.text = grown(self.text, said, self.usage)
        return bool(said)

    def reply(self, model: str) -> Reply:
        """Return the answer, or raise what its end means."""
        if self.blocked in _BLOCKED or self.ending in _BLOCKED:
            raise ModelRefused(self.blocked if self.blocked in _BLOCKED else self.ending, self.usage)
        if self.blocked:
            raise VendorFailed("blocked", "gemini blocks the prompt without a verdict", again=False, usage=self.usage)
        if self.ending in _AGAIN:
            kind = "recitation" if self.ending == "RECITATION" else "withheld"
            raise VendorFailed(kind, f"gemini withholds its answer: {self.ending}", again=True, usage=self.usage)
        if not self.ending:
            raise VendorFailed("broken", "gemini's answer has no end", again=True, usage=self.usage)
        if not self.text and self.ending != "MAX_TOKENS":
            raise VendorFailed("empty", "gemini answers without text", again=True, usage=self.usage)
        # Also with an ending that nobody knows yet: what matters is whether the text can be used.
        cut = self.ending == "MAX_TOKENS"
        return Reply(self.text, self.model or model, cut=cut, ending=self.ending, usage=self.usage)


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _explained(status: int, body: Any, _headers: Mapping[str, str]) -> Exception:
    """Return what an error of Gemini means for the next try."""
    error = error_of(body)
    code = error.get("code")
    status = status or (code if isinstance(code, int) else _FAULT)
    kind, again = _FAILURES.get(status, ("request", False) if status < _FAULT else ("broken", True))
    listed = error.get("details")
    details = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict)]
    wait_s = 0.0
    for detail in details:
        form = str(detail.get("@type", ""))
        if status == _BAD_REQUEST and detail.get("reason") == "API_KEY_INVALID":
            kind = "key"
        elif form.endswith("RetryInfo") and (found := _DURATION.fullmatch(str(detail.get("retryDelay", "")))):
            wait_s = float(found[1])
        elif form.endswith("QuotaFailure") and status == _BUSY and "PerDay" in str(detail.get("violations", "")):
            kind, again = "quota", False
    # Of the vendor's own words only its code goes on: a message may hold a piece of what it was sent.
    said = f"gemini answers {status} {name_in(error.get('status', ''))}".strip()
    return VendorFailed(kind, said, again=again, wait_s=wait_s)
