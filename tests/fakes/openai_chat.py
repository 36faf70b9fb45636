"""A stand-in for a server of OpenAI's chat completions, for tests and the sandbox.

It keeps what clients break on: errors are `{error: {message, type, param, code}}`, and 429 is a busy minute or an empty
purse by its code; `content` is null when there is a `refusal`; a stream's first delta has the role only, with
`include_usage` every piece has a `usage` of null and one more piece without choices has the numbers, and `[DONE]` ends
it. By `dialect` it behaves as others do: `deepseek` keeps the line alive with comments and blank lines, takes no schema
and answers 402 for an empty purse; `ollama` knows no key and names another model when it is not there; `vllm` adds
fields; `minimax` reports failures in `base_resp` with status 200 and thinks aloud; `qwen` puts code and message at the
top of an error.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.ghostwriter import SCHEMA, SPOILS, SYSTEM, WISH, Asked, answer, pieces, tokens
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEY = "sandbox-openai-key-worth-nothing"
MODEL = "gpt-sandbox"
SILENCE_S = 30.0

_FIELDS = {
    "model", "messages", "temperature", "top_p", "n", "stop", "seed", "max_tokens", "max_completion_tokens",
    "frequency_penalty", "presence_penalty", "response_format", "stream", "stream_options", "reasoning_effort", "store",
    "metadata",
}  # fmt: skip
_NO_SCHEMA = {"deepseek", "qwen", "moonshot"}
_KEYLESS = {"ollama", "vllm"}


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI words it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_EMPTY_PURSE = error("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")
_TOO_FAST = error("Rate limit reached.", "requests", "rate_limit_exceeded")
_DOWN = error("The server had an error.", "server_error")


class OpenAiChat(StandIn):
    """One key and one model in one dialect; it writes `pace_s` seconds for each piece of a stream."""

    name = "openai_chat"
    FAULTS = {  # noqa: RUF012  # read only
        "overloaded": Fault(status=503, body=error("The engine is overloaded.", "server_error")),
        "internal": Fault(status=500, body=_DOWN),
        "rate": Fault(status=429, body=_TOO_FAST, headers={"retry-after-ms": "100"}),
        "rate_long": Fault(status=429, body=_TOO_FAST, headers={"retry-after": "60"}),
        "quota": Fault(status=429, body=_EMPTY_PURSE),
        "balance": Fault(status=402, body=error("Insufficient Balance", "unknown_error", "invalid_request_error")),
        "region": Fault(status=403, body=error("Country not supported.", "request_forbidden")),
        "filtered": Fault(status=400, body=error("high risk", "content_filter", "content_filter")),
        "qwen_filtered": Fault(status=400, body={"code": "DataInspectionFailed", "message": "x", "request_id": "1"}),
        "too_long": Fault(status=400, body=error("Too long.", "invalid_request_error", "context_length_exceeded")),
        "html": Fault(status=502, body="<html>Bad Gateway</html>"),
        "cut": Fault(cut=True),
        "slow": Fault(delay_s=SILENCE_S),
        **{
            name: Fault(name=name)
            for name in (
                *SPOILS, "refusal", "filter_midway", "max_tokens", "no_choices", "empty", "no_usage",
                "error_in_stream", "cut_midway", "stall", "no_end", "starved",
                "base_resp_busy", "base_resp_risky", "base_resp_purse",
            )
        },
    }  # fmt: skip

    def __init__(
        self,
        *,
        key: str = KEY,
        models: Sequence[str] = (MODEL,),
        dialect: str = "openai",
        pace_s: float = 0.02,
        **given: Any,
    ) -> None:
        super().__init__(**given)
        self.key = key
        self.models = models
        self.dialect = dialect
        self.pace_s = pace_s
        self.silence_s = SILENCE_S

    def settings(self) -> dict[str, str]:
        """Return what makes this server a writer of words."""
        return {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": self.key, "OPENAI_MODEL": self.models[0]}

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Ask for words, whole and as a stream."""
        self.pace_s, self.silence_s = 0.0, 0.05
        body = {
            "model": self.models[0],
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": WISH}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}},
        }
        key = {"authorization": f"Bearer {self.key if good_key else 'wrong'}"}
        extra: tuple[dict[str, Any], ...] = ({}, {"stream": True, "stream_options": {"include_usage": True}})
        return [await ask("POST", "/v1/chat/completions", json=body | more, headers=key) for more in extra]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is 401 with the code of a wrong key."""
        return reply.status == HTTPStatus.UNAUTHORIZED and b"invalid_api_key" in reply.body

    def routes(self) -> list[web.RouteDef]:
        """Return the one route."""
        return [web.post("/v1/chat/completions", self._complete)]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body: Any = None
        if request.content_type == "application/json":
            with suppress(ValueError):
                body = await request.json()
        refused = next(self._refusals(request, body), None)
        if refused:
            return web.json_response(refused[1], status=refused[0])
        failed = self._base_resp()
        if failed:
            return web.json_response(failed)
        found = self._chunks(_asked(body), body)
        if body.get("stream"):
            return await self._stream(request, found, usage=bool(body.get("stream_options", {}).get("include_usage")))
        lead = "\n\n\n" if self.dialect == "deepseek" else ""
        return web.Response(text=lead + json.dumps(_joined(found), ensure_ascii=False), content_type="application/json")

    def _refusals(self, request: web.Request, body: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield status and error of a call that the server does not take."""
        given = request.headers.get("authorization", "")
        if self.dialect not in _KEYLESS and not hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            yield 401, error("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
        if not isinstance(body, dict) or not body.get("messages"):
            yield 400, error("We could not parse the JSON body of your request.", "invalid_request_error")
            return
        if body.get("model") not in self.models:
            yield 404, error("The model does not exist.", "invalid_request_error", "model_not_found", "model")
        for message, param in self._mistakes(body):
            yield 400, error(message, "invalid_request_error", None, param)
        if _asked(body).unsafe:
            yield 400, error("The request was rejected as high risk.", "content_filter", "content_filter")

    def _mistakes(self, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield what is wrong with the fields, and with which."""
        unknown = sorted(body.keys() - _FIELDS)
        if unknown:
            yield f"Unrecognized request argument supplied: {unknown[0]}", unknown[0]
        if self.dialect == "openai" and "max_tokens" in body:
            yield "Unsupported parameter: use 'max_completion_tokens' instead.", "max_tokens"
        if any(each.get("role") not in {"system", "developer", "user", "assistant"} for each in body["messages"]):
            yield "Invalid value for a role.", "messages"
        shape = body.get("response_format", {}).get("type", "text")
        if shape == "json_schema" and self.dialect in _NO_SCHEMA:
            yield "This response_format type is unavailable now", "response_format"
        if shape == "json_object" and not any("json" in str(each["content"]).lower() for each in body["messages"]):
            yield "'messages' must contain the word 'json' in some form.", "messages"
        if shape == "json_schema" and not _is_strict(body["response_format"]["json_schema"].get("schema")):
            yield "Invalid schema for response_format", "response_format"
        if "stream_options" in body and not body.get("stream"):
            yield "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"

    def _base_resp(self) -> dict[str, Any] | None:
        """Return a failure as the dialect reports it within a good answer."""
        for name, code in (("base_resp_busy", 1002), ("base_resp_risky", 1026), ("base_resp_purse", 1008)):
            if self.told(name):
                return {"choices": None, "base_resp": {"status_code": code, "status_msg": "no"}}
        return None

    def _chunks(self, asked: Asked, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the chunks of a stream, the last of which carries the usage and no choice."""
        text = answer(asked, next((name for name in SPOILS if self.told(name)), ""))
        ending: str | None = "stop"
        if self.dialect == "minimax":
            text = f"<think>\nTwo versions, so {{be it}}.\n</think>\n{text}"
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 65536
        if self.told("max_tokens") or tokens(text) > most:
            text, ending = text[: len(text) * 2 // 3], "length"
        if self.told("filter_midway"):
            text, ending = text[: len(text) // 4], "content_filter"
        if self.told("starved"):
            text, ending = text[: len(text) // 4], "insufficient_system_resource"
        if self.told("empty"):
            text = ""
        if self.told("no_end"):
            ending = None
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        if self.told("refusal"):
            deltas += [{"refusal": each} for each in ("I'm sorry, ", "I cannot help with that.")]
        else:
            deltas += [{"content": each} for each in pieces(text)]
        read, written = tokens(json.dumps(body["messages"])), tokens(text)
        head = {
            "id": "chatcmpl-sandbox",
            "created": 1,
            "model": f"{body['model']}-2026",
            "object": "chat.completion.chunk",
        }
        found = [{**head, "choices": [{"index": 0, "delta": each, "finish_reason": None}]} for each in deltas]
        found.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": ending}]})
        if self.told("no_choices"):
            found = []
        usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        found.append({**head, "choices": [], "usage": None if self.told("no_usage") else usage})
        if self.dialect == "vllm":
            found = [{**each, "prompt_logprobs": None, "kv_transfer_params": None} for each in found]
        return found

    async def _stream(
        self, request: web.Request, found: Sequence[Mapping[str, Any]], *, usage: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        breaks, cuts, stalls = (self.told(name) for name in ("error_in_stream", "cut_midway", "stall"))
        if self.dialect == "deepseek":
            await response.write(b": keep-alive\n\n: keep-alive\n\n")
        *choices, last = found
        for number, each in enumerate(choices):
            if number == len(choices) // 2 and (breaks or cuts or stalls):
                if stalls:
                    await asyncio.sleep(self.silence_s)
                if cuts and request.transport is not None:
                    request.transport.abort()
                    return response
                await response.write(f"data: {json.dumps(_DOWN)}\n\n".encode())
                return response
            told = {**each, "usage": None, "obfuscation": "xxxx"} if usage else each
            await response.write(f"data: {json.dumps(told, ensure_ascii=False)}\n\n".encode())
            await asyncio.sleep(self.pace_s)
        if usage:
            await response.write(f"data: {json.dumps(last)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response


def _is_strict(schema: Any) -> bool:
    """Say whether strict mode takes a schema: every property required, nothing else allowed, at any depth."""
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "array":
        return _is_strict(schema.get("items"))
    if schema.get("type") != "object":
        return True
    properties = schema.get("properties", {})
    closed = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)
    return closed and all(_is_strict(inner) for inner in properties.values())


def _asked(body: Mapping[str, Any]) -> Asked:
    messages = body["messages"]
    shape = body.get("response_format", {})
    return Asked(
        system="".join(str(each["content"]) for each in messages if each["role"] in {"system", "developer"}),
        said=[str(each["content"]) for each in messages if each["role"] == "user"],
        schema=shape.get("json_schema", {}).get("schema"),
        # Another model writes other words.
        seed=body.get("seed", 0) + 1000,
    )


def _joined(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a stream's chunks are as one answer."""
    *chunks, last = found
    choices = [each["choices"][0] for each in chunks]
    whole = {**last, "object": "chat.completion"}
    if choices:
        deltas = [each["delta"] for each in choices]
        refusal = "".join(each.get("refusal") or "" for each in deltas)
        text = "".join(each.get("content") or "" for each in deltas)
        message = {"role": "assistant", "content": None if refusal else text, "refusal": refusal or None}
        whole["choices"] = [{"index": 0, "message": message, "finish_reason": choices[-1]["finish_reason"]}]
    return whole
