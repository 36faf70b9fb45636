"""The ways to call a public method: in process, gRPC at the edge and with mutual TLS, JSON, gRPC-Web, Connect.

A request is a sequence of messages: one, and several for what is uploaded. gRPC-Web and Connect have no streams from
the client here, so their callers upload as a page does.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import grpc.aio
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status

from gateway.codec import Codec
from gateway.routes import Binding
from services.kit.rpc.errors import DETAILS_KEY, TRACE_KEY, from_rpc, from_status
from services.mesh.up import RunningMesh
from tests.differential.files import as_http
from tests.differential.local import local_mesh

NAMES = ("edge", "mtls", "json", "web", "connect", "local")
INSIDE = frozenset({"mtls", "local"})
PATIENCE_S = 30.0
_OK = 200


@dataclass(frozen=True)
class Outcome:
    """What a caller was answered: the message or the refusal, and the trace id that came back."""

    response: Message | None = None
    reason: str = ""
    description: str = ""
    violations: tuple[tuple[str, str, str], ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    trace_id: str = ""


class Way(Protocol):
    """One way to call."""

    @property
    def name(self) -> str:
        """Return what the way is called."""
        ...

    async def ask(self, binding: Binding, request: Sequence[Message], headers: Mapping[str, str]) -> Outcome:
        """Return the outcome of a call; of a stream that of its first message. `headers` are the caller's metadata."""
        ...


@dataclass(frozen=True)
class Native:
    """gRPC, over HTTP/2 or without; `channel` returns the channel to a service of ours."""

    name: str
    channel: Callable[[str], grpc.aio.Channel]

    async def ask(self, binding: Binding, request: Sequence[Message], headers: Mapping[str, str]) -> Outcome:
        """See Way."""
        method = binding.method
        channel = self.channel(binding.service)
        kind = channel.unary_stream if method.server_streaming else channel.unary_unary
        stub: Any = (channel.stream_unary if method.client_streaming else kind)(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )
        said = _each(request) if method.client_streaming else request[0]
        call = stub(said, metadata=tuple(headers.items()), timeout=PATIENCE_S)
        try:
            if method.server_streaming:
                return Outcome(response=await call.read(), trace_id=headers[TRACE_KEY])
            response = await call
        except grpc.aio.AioRpcError as error:
            trailing = dict(error.trailing_metadata() or ())
            return _refused(from_rpc(error), str(trailing.get(TRACE_KEY, "")))
        finally:
            call.cancel()
        return Outcome(response=response, trace_id=str(dict(await call.trailing_metadata()).get(TRACE_KEY, "")))


@dataclass(frozen=True)
class Json:
    """The JSON API."""

    name: str
    base_url: str
    session: aiohttp.ClientSession
    codec: Codec

    async def ask(self, binding: Binding, request: Sequence[Message], headers: Mapping[str, str]) -> Outcome:
        """See Way."""
        path, further, options = self._sent(binding, request)
        url = _exact(self.base_url + path)
        async with self.session.request(binding.verb, url, headers={**headers, **further}, **options) as answer:
            if binding.method.server_streaming and answer.status == _OK:
                return await self._first(answer, binding)
            told = json.loads(await answer.read())
            if told["code"] == 0:
                response = self.codec.decode(json.dumps(told["data"]).encode(), binding.method.response_type)
                return Outcome(response=response, trace_id=told["trace_id"])
            details = told["details"]
            violations = tuple((each["field"], each["rule"], each["description"]) for each in details["fields"])
            facts, trace_id = details["metadata"], told["trace_id"]
            return Outcome(None, told["error"], details["description"], violations, facts, trace_id)

    def _sent(self, binding: Binding, request: Sequence[Message]) -> tuple[str, Mapping[str, str], dict[str, Any]]:
        """Return path, further headers and the other arguments of the request."""
        if binding.method.client_streaming:
            return as_http(binding, request)
        values, path = self._values(request[0]), binding.path
        for variable in binding.variables:
            path = path.replace(f"{{{variable.name}}}", quote(str(values.pop(variable.name, "")), safe=""))
        options: dict[str, Any] = {}
        if binding.body:
            options["json"] = values if binding.body == "*" else values.pop(binding.body, {})
        if binding.body != "*":
            options["params"] = list(_pairs(values))
        return path, {}, options

    async def _first(self, answer: aiohttp.ClientResponse, binding: Binding) -> Outcome:
        """Return what the first event of a stream holds."""
        async for line in answer.content:
            if line.startswith(b"data: "):
                response = self.codec.decode(line.removeprefix(b"data: "), binding.method.response_type)
                return Outcome(response=response, trace_id=answer.headers["X-Trace-Id"])
        message = "the stream ended before its first event"
        raise AssertionError(message)

    def _values(self, request: Message) -> dict[str, Any]:
        encoded = self.codec.encode(request)
        return {each.name: encoded[each.name] for each, _ in request.ListFields()}


@dataclass(frozen=True)
class Web:
    """gRPC-Web at the gateway."""

    name: str
    base_url: str
    session: aiohttp.ClientSession
    page: Way

    async def ask(self, binding: Binding, request: Sequence[Message], headers: Mapping[str, str]) -> Outcome:
        """See Way."""
        if binding.method.client_streaming:
            return await self.page.ask(binding, request, headers)
        data = request[0].SerializeToString()
        sent = {**headers, "Content-Type": "application/grpc-web+proto"}
        url = self.base_url + binding.method.path
        response: Message | None = None
        async with self.session.post(url, data=_framed(data), headers=sent) as answer:
            assert answer.status == _OK, await answer.read()
            while True:
                flags, data = await _frame(answer.content)
                if flags:
                    break
                response = binding.method.response_type.FromString(data)
                if binding.method.server_streaming:
                    return Outcome(response=response, trace_id=headers[TRACE_KEY])
        end = dict(line.split(": ", 1) for line in data.decode().removesuffix("\r\n").split("\r\n"))
        if end["grpc-status"] == "0":
            return Outcome(response=response, trace_id=end[TRACE_KEY])
        return _refused(_read_status(Status.FromString(_unpadded(end[DETAILS_KEY]))), end[TRACE_KEY])


@dataclass(frozen=True)
class Connect:
    """Connect at the gateway."""

    name: str
    base_url: str
    session: aiohttp.ClientSession
    page: Way

    async def ask(self, binding: Binding, request: Sequence[Message], headers: Mapping[str, str]) -> Outcome:
        """See Way."""
        if binding.method.client_streaming:
            return await self.page.ask(binding, request, headers)
        streaming, data = binding.method.server_streaming, request[0].SerializeToString()
        sent = {**headers, "Content-Type": "application/connect+proto" if streaming else "application/proto"}
        url, body = self.base_url + binding.method.path, _framed(data) if streaming else data
        async with self.session.post(url, data=body, headers=sent) as answer:
            trace_id = answer.headers["X-Trace-Id"]
            if not streaming:
                raw = await answer.read()
                if answer.status == _OK:
                    return Outcome(response=binding.method.response_type.FromString(raw), trace_id=trace_id)
                return _refused(_connect_error(json.loads(raw)), trace_id)
            flags, data = await _frame(answer.content)
            if not flags:
                return Outcome(response=binding.method.response_type.FromString(data), trace_id=trace_id)
            return _refused(_connect_error(json.loads(data)["error"]), trace_id)


@asynccontextmanager
async def open_ways(mesh: RunningMesh) -> AsyncIterator[dict[str, Way]]:
    """Yield every way to the mesh by its name, each with connections of its own."""
    tls = Path(mesh.environment["CADENZA_TLS"])
    files = [tls / name for name in ("ca.pem", "gateway-key.pem", "gateway.pem")]
    credentials = grpc.ssl_channel_credentials(*[await asyncio.to_thread(each.read_bytes) for each in files])
    inside = f"127.0.0.1:{mesh.home.ports.mesh}"
    options = (("grpc.ssl_target_name_override", "mesh"),)
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(grpc.aio.insecure_channel(mesh.edge_address))
        secured = await stack.enter_async_context(grpc.aio.secure_channel(inside, credentials, options))
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        sessions = [await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout)) for _ in range(3)]
        local = await stack.enter_async_context(local_mesh(mesh))
        url = mesh.base_url
        pages = [Json("json", url, session, Codec()) for session in sessions]
        ways: list[Way] = [
            Native("edge", lambda _service: edge),
            Native("mtls", lambda _service: secured),
            pages[0],
            Web("web", url, sessions[1], pages[1]),
            Connect("connect", url, sessions[2], pages[2]),
            Native("local", local.channel),
        ]
        yield {way.name: way for way in ways}


async def _each(messages: Sequence[Message]) -> AsyncIterator[Message]:
    for message in messages:
        yield message


def _refused(error: Any, trace_id: str) -> Outcome:
    violations = tuple((each.field, each.rule, each.description) for each in error.violations)
    return Outcome(None, error.reason, error.message, violations, dict(error.metadata), trace_id)


def _read_status(status: Status) -> Any:
    code = next(each for each in grpc.StatusCode if each.value[0] == status.code)
    return from_status(status, code)


def _connect_error(told: Mapping[str, Any]) -> Any:
    status = Status(message=told["message"])
    for each in told["details"]:
        status.details.add(type_url=f"type.googleapis.com/{each['type']}", value=_unpadded(each["value"]))
    return from_status(status, grpc.StatusCode.UNKNOWN)


def _framed(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


async def _frame(content: aiohttp.StreamReader) -> tuple[int, bytes]:
    head = await content.readexactly(5)
    return head[0], await content.readexactly(int.from_bytes(head[1:], "big"))


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _exact(url: str) -> Any:
    from yarl import URL

    return URL(url, encoded=True)


def _pairs(values: Mapping[str, Any], prefix: str = "") -> Any:
    """Yield query parameters of the values, with dots into inner messages."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _pairs(value, f"{prefix}{name}.")
            continue
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                yield prefix + name, json.dumps(each) if isinstance(each, bool | int | float) else str(each)
