"""Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, DeepSeek, Qwen, Moonshot, MiniMax.

The shapes are those of the published description (openai-openapi 2.3.0); what a server does otherwise stands in its
dialect. Errors are sorted by their code first, since the same status means a busy minute here and an empty purse there.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from services.composer.domain.errors import VendorFailed
from services.composer.domain.usage import ModelUsage, TokenPrice
from services.composer.providers.model import ModelRefused, Reply, grown, name_in
from services.composer.providers.openai_dialect import DIALECTS
from services.composer.providers.vendor_call import VendorCall, error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.composer.providers.model import Question

_FAULT: Final = 500
_BUSY: Final = 429

_FILTERS: Final = frozenset(
    {"content_filter", "content_policy_violation", "data_inspection_failed", "DataInspectionFailed", "1026", "1027"}
)
_QUOTAS: Final = frozenset(
    {"insufficient_quota", "exceeded_current_quota_error", "insufficient_balance", "billing_not_active", "1008"}
)
_KEYS: Final = frozenset({"invalid_api_key", "invalid_authentication_error", "InvalidApiKey", "1004", "2049"})
_BUSY_CODES: Final = frozenset({"1002", "1039", "1001"})

_FAILURES: Final[Mapping[int, tuple[str, bool]]] = {
    401: ("key", False),
    402: ("quota", False),
    403: ("key", False),
    404: ("model", False),
    408: ("overloaded", True),
    409: ("overloaded", True),
    429: ("overloaded", True),
    502: ("broken", True),
    503: ("overloaded", True),
    504: ("overloaded", True),
}


class OpenAiModel:
    """Asks one model behind one address."""

    name = "openai"
    operation = "chat"

    def __init__(
        self,
        *,
        base_url: str,
        key: str,
        model: str,
        dialect: str = "openai",
        stream: bool = True,
        silence_s: float = 20.0,
        price: TokenPrice | None = None,
    ) -> None:
        """Keep the settings; KeyError for a dialect that nobody speaks. A server of one's own needs no key."""
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self.model = model
        self.vendor = dialect
        self._dialect = DIALECTS[dialect]
        self._stream = stream
        self._price = price or TokenPrice()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._call = VendorCall(self.name, headers=headers, silence_s=silence_s, explain=_explained)

    async def ask(self, question: Question, hear: Callable[[str], None], stop: Callable[[], bool]) -> Reply:
        """Return the answer; raises VendorFailed, ModelRefused and Stopped."""
        heard = _Heard(self._price)
        values = self._call.values(self._url, self._body(question), stream=self._stream, stop=stop)
        async with aclosing(values):
            async for value in values:
                if self._dialect.base_resp:
                    _check_base_resp(value)
                if heard.take(value):
                    hear(heard.text)
        return heard.reply(self.model)

    async def close(self) -> None:
        """Close the connections."""
        await self._call.close()

    def _body(self, question: Question) -> dict[str, Any]:
        messages = [{"role": "system", "content": question.system}]
        messages += [
            {"role": "assistant" if number % 2 else "user", "content": text}
            for number, text in enumerate(question.turns)
        ]
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            self._dialect.tokens: question.most_tokens,
        }
        if self._dialect.seed:
            body["seed"] = question.seed
        if question.schema and self._dialect.json == "schema":
            shape = {"name": "answer", "strict": True, "schema": question.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        elif question.schema and self._dialect.json == "object":
            body["response_format"] = {"type": "json_object"}
        if self._stream:
            body["stream"] = True
            if self._dialect.usage_in_stream:
                body["stream_options"] = {"include_usage": True}
        return body


@dataclass
class _Heard:
    """An answer as far as it has come; a whole one has a message where a piece has a delta."""

    price: TokenPrice
    text: str = ""
    refusal: str = ""
    ending: str = ""
    model: str = ""
    usage: ModelUsage = field(default_factory=ModelUsage)

    def take(self, value: Mapping[str, Any]) -> bool:
        """Add one response object; return whether the text has grown."""
        self.model = name_in(value.get("model") or "") or self.model
        usage = value.get("usage")
        if isinstance(usage, dict):
            self.usage = self.price.usage(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))
        choices = value.get("choices")
        # The piece with the usage has no choice.
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return False
        self.ending = str(choices[0].get("finish_reason") or self.ending)
        message = choices[0].get("message") or choices[0].get("delta")
        if not isinstance(message, dict):
            return False
        refusal, said = message.get("refusal"), message.get("content")
        self.refusal += refusal if isinstance(refusal, str) else ""
        if isinstance(said, list):
            said = "".join(str(part.get("text", "")) for part in said if isinstance(part, dict))
        if not isinstance(said, str) or not said:
            return False
        self.text = grown(self.text, said, self.usage)
        return True

    def reply(self, model: str) -> Reply:
        """Return the answer, or raise what its end means."""
        if self.refusal or self.ending == "content_filter":
            raise ModelRefused("refusal" if self.refusal else self.ending, self.usage)
        if not self.ending:
            raise VendorFailed("broken", "the model's answer has no end", again=True, usage=self.usage)
        if self.ending == "insufficient_system_resource":
            raise VendorFailed("overloaded", "the model broke off its answer", again=True, usage=self.usage)
        if not self.text and self.ending != "length":
            raise VendorFailed("empty", "the model answers without text", again=True, usage=self.usage)
        cut = self.ending == "length"
        return Reply(self.text, self.model or model, cut=cut, ending=self.ending, usage=self.usage)


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0


def _check_base_resp(value: Mapping[str, Any]) -> None:
    """Raise what the vendor says in a good answer's `base_resp`."""
    told = value.get("base_resp")
    code = told.get("status_code") if isinstance(told, dict) else 0
    if code:
        raise _sorted(_FAULT, {str(code)}, 0.0)


def _explained(status: int, body: Any, headers: Mapping[str, str]) -> Exception:
    """Return what an error means for the next try."""
    error = error_of(body)
    if not error and isinstance(body, dict):
        error = body  # one vendor puts code and message at the top
    codes = {str(error.get(name)) for name in ("code", "type") if error.get(name)}
    return _sorted(status or _status_of(codes), codes, _wait_s(headers))


def _sorted(status: int, codes: set[str], wait_s: float) -> Exception:
    """Return the outcome by the first table that knows a code, then by the status."""
    if codes & _FILTERS:
        return ModelRefused(min(codes & _FILTERS))
    kind, again = _FAILURES.get(status, ("broken", True) if status >= _FAULT else ("request", False))
    if codes & _QUOTAS:
        kind, again = "quota", False
    elif codes & _KEYS:
        kind, again = "key", False
    elif codes & _BUSY_CODES:
        kind, again = "overloaded", True
    # Of the vendor's own words only its codes go on: a message may hold a piece of what it was sent.
    words = " ".join(sorted(filter(None, map(name_in, codes))))
    return VendorFailed(kind, f"the model's server answers {status} {words}".strip(), again=again, wait_s=wait_s)


def _status_of(codes: set[str]) -> int:
    """Return the status that an error within a stream would have had."""
    return _BUSY if any("rate_limit" in code or "overloaded" in code for code in codes) else _FAULT


def _wait_s(headers: Mapping[str, str]) -> float:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "")
        if text.replace(".", "", 1).isdigit():
            return float(text) / unit
    return 0.0
