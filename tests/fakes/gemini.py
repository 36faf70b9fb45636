"""A stand-in for Gemini's `generateContent` and `streamGenerateContent` (v1 and v1beta), for tests and the sandbox.

It keeps what clients break on: the key in a header or the query, and a wrong one answered 400 with the reason
API_KEY_INVALID; unknown fields refused by name; `responseSchema` and `responseJsonSchema` exclude each other; a blocked
prompt is 200 with `promptFeedback` and no candidates; thoughts come as parts of their own and cost tokens; the JSON
comes in several text parts; without `alt=sse` a stream is one JSON list, with it there is no last `[DONE]`; usage is
whole in the last piece only, and early pieces may have none; errors within a stream are objects like any other.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.ghostwriter import SCHEMA, SPOILS, SYSTEM, WISH, Asked, answer, pieces, tokens
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEY = "sandbox-gemini-key-worth-nothing"
MODEL = "gemini-sandbox"
SILENCE_S = 30.0

_FIELDS = {
    "contents",
    "systemInstruction",
    "generationConfig",
    "safetySettings",
    "tools",
    "toolConfig",
    "cachedContent",
}
_CONFIG = {
    "temperature", "topP", "topK", "candidateCount", "maxOutputTokens", "stopSequences", "seed", "presencePenalty",
    "frequencyPenalty", "responseMimeType", "responseSchema", "responseJsonSchema", "thinkingConfig",
}  # fmt: skip
_HARMS = {"HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT"}
_ENDINGS = {
    "safety": "SAFETY", "recitation": "RECITATION", "prohibited": "PROHIBITED_CONTENT", "new_ending": "MOON_PHASE",
}  # fmt: skip
_GOOGLE = "type.googleapis.com/google.rpc"


def error(code: int, status: str, message: str, *details: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error as Google words it."""
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


def _retry(seconds: str) -> dict[str, Any]:
    return {"@type": f"{_GOOGLE}.RetryInfo", "retryDelay": seconds}


def _quota(per: str) -> dict[str, Any]:
    name = f"GenerateRequestsPer{per}PerProjectPerModel-FreeTier"
    return {"@type": f"{_GOOGLE}.QuotaFailure", "violations": [{"quotaId": name}]}


BUSY = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
_OUT = "You exceeded your current quota."


class Gemini(StandIn):
    """One key and one model; it writes `pace_s` seconds for each piece of a stream."""

    name = "gemini"
    FAULTS = {  # noqa: RUF012  # read only
        "overloaded": Fault(status=503, body=BUSY),
        "internal": Fault(status=500, body=error(500, "INTERNAL", "An internal error has occurred.")),
        "deadline": Fault(status=504, body=error(504, "DEADLINE_EXCEEDED", "Deadline expired.")),
        "rate": Fault(status=429, body=error(429, "RESOURCE_EXHAUSTED", _OUT, _retry("0.1s"), _quota("Minute"))),
        "rate_long": Fault(status=429, body=error(429, "RESOURCE_EXHAUSTED", _OUT, _retry("34s"), _quota("Minute"))),
        "quota": Fault(status=429, body=error(429, "RESOURCE_EXHAUSTED", _OUT, _retry("34s"), _quota("Day"))),
        "billing": Fault(status=400, body=error(400, "FAILED_PRECONDITION", "Enable billing.")),
        "forbidden": Fault(status=403, body=error(403, "PERMISSION_DENIED", "No permission.")),
        "html": Fault(status=502, body="<html>Bad Gateway</html>"),
        "cut": Fault(cut=True),
        "slow": Fault(delay_s=SILENCE_S),
        **{
            name: Fault(name=name)
            for name in (
                *SPOILS, *_ENDINGS, "blocked", "blocked_other", "max_tokens", "no_parts", "no_candidates", "no_usage",
                "error_in_stream", "cut_midway", "stall", "no_end",
            )
        },
    }  # fmt: skip

    def __init__(self, *, key: str = KEY, models: Sequence[str] = (MODEL,), pace_s: float = 0.02, **given: Any) -> None:
        super().__init__(**given)
        self.key = key
        self.models = models
        self.pace_s = pace_s
        self.silence_s = SILENCE_S

    def settings(self) -> dict[str, str]:
        """Return what makes Gemini the first writer of words."""
        return {
            "GEMINI_BASE_URL": f"{self.url}/v1beta",
            "GEMINI_API_KEY": self.key,
            "GEMINI_MODEL": self.models[0],
            # Prices of nobody, so that costs show.
            "GEMINI_USD_IN": "0.3",
            "GEMINI_USD_OUT": "2.5",
        }

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Ask for words, whole and as a stream."""
        self.pace_s, self.silence_s = 0.0, 0.05
        body = {
            "systemInstruction": {"parts": [{"text": SYSTEM}]},
            "contents": [{"role": "user", "parts": [{"text": WISH}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA, "seed": 7},
        }
        key = {"x-goog-api-key": self.key if good_key else "wrong"}
        path = f"/v1beta/models/{self.models[0]}"
        verbs = ("generateContent", "streamGenerateContent?alt=sse")
        return [await ask("POST", f"{path}:{verb}", json=body, headers=key) for verb in verbs]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is a bad request with the reason of a wrong key."""
        return reply.status == HTTPStatus.BAD_REQUEST and b"API_KEY_INVALID" in reply.body

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of both versions of the interface."""
        return [web.post("/{version:v1(?:beta)?}/models/{call}", self._generate)]

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        model, _, verb = request.match_info["call"].partition(":")
        refused = self._refusal(request, model, verb) or _mistake(await _json(request))
        if refused:
            return web.json_response(refused, status=refused["error"]["code"])
        asked = _asked(await request.json())
        found = self._objects(asked, model, (await request.json()).get("generationConfig", {}))
        if verb == "generateContent":
            return web.json_response(_joined(found))
        return await self._stream(request, found)

    def _refusal(self, request: web.Request, model: str, verb: str) -> dict[str, Any] | None:
        given = request.headers.get("x-goog-api-key") or request.query.get("key", "")
        if not given:
            return error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers.")
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            reason = {"@type": f"{_GOOGLE}.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
            return error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason)
        if model not in self.models or verb not in {"generateContent", "streamGenerateContent"}:
            return error(404, "NOT_FOUND", f"models/{model} is not found or is not supported for {verb}.")
        return None

    def _objects(self, asked: Asked, model: str, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the response objects of a stream, the last of which has the whole usage."""
        read = tokens(asked.system + "".join(asked.said))
        usage = {"promptTokenCount": read, "totalTokenCount": read}
        head = {"modelVersion": f"{model}-001", "responseId": "sandbox"}
        if asked.unsafe or self.told("blocked"):
            return [{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage, **head}]
        if self.told("blocked_other"):
            return [{"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": usage, **head}]
        if self.told("no_candidates"):
            return [{"usageMetadata": usage, **head}]
        ending = next((word for name, word in _ENDINGS.items() if self.told(name)), "STOP")
        text = answer(asked, next((name for name in SPOILS if self.told(name)), ""))
        if self.told("max_tokens") or tokens(text) > config.get("maxOutputTokens", 65536):
            text, ending = text[: len(text) * 2 // 3], "MAX_TOKENS"
        if ending not in {"STOP", "MAX_TOKENS", "MOON_PHASE"}:
            text = text[: len(text) // 4]
        found: list[dict[str, Any]] = [_piece(None), _piece('They want {"versions": []}.', thought=True)]
        found += [_piece(each) for each in pieces(text)]
        if self.told("no_parts"):
            found = [{"candidates": [{"content": {"role": "model"}, "index": 0}]}]
        if not self.told("no_end"):
            found[-1]["candidates"][0]["finishReason"] = ending
        if not self.told("no_usage"):
            written = tokens(text)
            usage |= {"candidatesTokenCount": written, "thoughtsTokenCount": 7, "totalTokenCount": read + written + 7}
            found[-1]["usageMetadata"] = usage
        return [{**each, **head} for each in found]

    async def _stream(self, request: web.Request, found: Sequence[Mapping[str, Any]]) -> web.StreamResponse:
        sse = request.query.get("alt") == "sse"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream" if sse else "application/json"})
        await response.prepare(request)
        breaks, cuts, stalls = (self.told(name) for name in ("error_in_stream", "cut_midway", "stall"))
        for number, each in enumerate(found):
            if number == len(found) // 2 and (breaks or cuts or stalls):
                if stalls:
                    await asyncio.sleep(self.silence_s)
                if cuts and request.transport is not None:
                    request.transport.abort()
                    return response
                await response.write(f"data: {json.dumps(BUSY)}\r\n\r\n".encode())
                return response
            text = json.dumps(each, ensure_ascii=False)
            lead = "data: " if sse else "," if number else "["
            await response.write(f"{lead}{text}\r\n\r\n".encode())
            await asyncio.sleep(self.pace_s)
        if not sse:
            await response.write(b"]")
        return response


async def _json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        return None
    try:
        return await request.json()
    except ValueError:
        return None


def _mistake(body: Any) -> dict[str, Any] | None:
    """Return the error of a body that the interface does not take."""
    message = next(_mistakes(body), None)
    return None if message is None else error(400, "INVALID_ARGUMENT", message)


def _mistakes(body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "Invalid JSON payload received."
        return
    config = body.get("generationConfig", {})
    unknown = sorted((body.keys() - _FIELDS) | (config.keys() - _CONFIG))
    if unknown:
        yield f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.'
    contents = body.get("contents") or [{}]
    if any(each.get("role", "user") not in {"user", "model"} or not each.get("parts") for each in contents):
        yield "contents is not specified, or a role is neither user nor model"
    if "responseSchema" in config and "responseJsonSchema" in config:
        yield "response_schema and response_json_schema exclude each other"
    structured = config.keys() & {"responseSchema", "responseJsonSchema"}
    if structured and config.get("responseMimeType") != "application/json":
        yield "a schema needs the MIME type application/json"
    if not isinstance(config.get("seed", 0), int) or not -(2**31) <= config.get("seed", 0) < 2**31:
        yield "Invalid value at 'generation_config.seed' (TYPE_INT32)"
    if {each["category"].removeprefix("HARM_CATEGORY_") for each in body.get("safetySettings", ())} - _HARMS:
        yield "an unknown harm category"


def _asked(body: Mapping[str, Any]) -> Asked:
    def text(content: Mapping[str, Any]) -> str:
        return "".join(part.get("text", "") for part in content.get("parts", ()))

    config = body.get("generationConfig", {})
    return Asked(
        system=text(body.get("systemInstruction", {})),
        said=[text(each) for each in body["contents"] if each.get("role", "user") == "user"],
        schema=config.get("responseJsonSchema") or config.get("responseSchema"),
        seed=config.get("seed", 0),
    )


def _piece(text: str | None, *, thought: bool = False) -> dict[str, Any]:
    parts = [] if text is None else [{"text": text, "thought": True} if thought else {"text": text}]
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]}


def _joined(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a stream's objects are as one answer, its text still in several parts."""
    last: dict[str, Any] = json.loads(json.dumps(found[-1]))
    if "candidates" in last:
        content = last["candidates"][0]["content"]
        every = [part for each in found for part in each["candidates"][0]["content"].get("parts", ())]
        if every:
            content["parts"] = every
    return last
