"""The public methods under their gRPC paths, for clients that speak gRPC-Web or Connect over plain HTTP.

`POST /cadenza.wallet.v1.CreditService/GetBalance` answers in the protocol that its content type names; what it means is
what the edge port means, because the call goes through the same concerns of the services. Methods that take a stream
are not served here: they want HTTP/2 and the edge port, or the multipart form. A stream holds a call of its own
upstream, unlike server-sent events, and is counted and bounded like them.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Protocol

import grpc.aio
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from google.protobuf.message import DecodeError, Message

from gateway.admission import PLACE
from gateway.bodies import read_body, unsupported
from gateway.caller import CALLER, metadata_of
from gateway.config import Config
from gateway.envelope import TOLD
from gateway.observe import STREAM
from gateway.routes import Binding
from gateway.rpc_connect import ConnectStream, ConnectUnary, query_of
from gateway.rpc_web import GrpcWeb
from gateway.transcode import Transcoder
from gateway.upstream import asking, upstream_error
from services.kit.errors import DomainError, ParamInvalid, RemoteError, Unavailable
from services.kit.rpc.method import Method

PREFIX: Final = "/cadenza."

# Refusals of HTTP itself: a method that the path does not have, a content type that is not spoken.
_OF_HTTP: Final = frozenset({405, 415})
# What a client is told of its limits stays with a refusal.
_KEPT: Final = (
    "RateLimit",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "RateLimit-Policy",
    "Retry-After",
)


class Speech(Protocol):
    """One protocol: how a request is read and an answer written."""

    content_type: str

    def read(self, raw: bytes, kind: type[Message]) -> Message:
        """Return the one message of the body; raises ParamInvalid, DecodeError or ParseError."""
        ...

    def timeout_s(self, http: web.Request) -> float | None:
        """Return the seconds that the client gives, None when it does not say; raises ParamInvalid."""
        ...

    def whole(self, message: Message, trace_id: str) -> web.Response:
        """Return the answer of a method that is answered once."""
        ...

    def piece(self, message: Message) -> bytes:
        """Return the bytes of one message of a stream."""
        ...

    def ending(self, error: DomainError | None, trace_id: str) -> bytes:
        """Return the last bytes of a stream, which tell how it ended."""
        ...

    def refusal(self, error: DomainError, trace_id: str) -> web.Response:
        """Return the answer of a call that failed before its first byte."""
        ...


SPEECH: Final = web.RequestKey("speech", Speech)


def speech_of(content_type: str, *, streaming: bool | None) -> Speech:
    """Return the protocol that a content type names; `streaming` is None while the method is not known.

    Raises MEDIA_TYPE_UNSUPPORTED naming what is read.
    """
    speeches: list[Speech] = [GrpcWeb(text=False), GrpcWeb(text=True)]
    if streaming is not True:
        speeches += [ConnectUnary(json=False), ConnectUnary(json=True)]
    if streaming is not False:
        speeches += [ConnectStream(json=False), ConnectStream(json=True)]
    for speech in speeches:
        if content_type in {speech.content_type, speech.content_type.removesuffix("+proto")}:
            return speech
    accepts = ", ".join(each.content_type for each in speeches)
    raise unsupported(f"{content_type} is not spoken here", accepts=accepts)


class RpcPaths:
    """The RPC paths of this process."""

    def __init__(self, transcoder: Transcoder, config: Config) -> None:
        """Call through the transcoder's channels."""
        self._transcoder = transcoder
        self._config = config
        self._calls: set[Any] = set()
        self._draining = False

    def add(self, app: web.Application, bindings: Iterable[Binding]) -> None:
        """Serve every public method once, whatever its HTTP routes are."""
        for binding in {each.method.path: each for each in bindings}.values():
            method = binding.method
            handler = self._stream(binding) if method.server_streaming else self._unary(binding)
            if method.client_streaming:
                handler = _streams_in
            app.router.add_route("POST", method.path, handler)
            if method.no_side_effects and not method.server_streaming:
                app.router.add_route("GET", method.path, handler)

    async def drain(self) -> None:
        """End every stream, for its client to go on at another gateway."""
        self._draining = True
        for call in tuple(self._calls):
            call.cancel()

    def _unary(self, binding: Binding) -> Handler:
        call, method = self._transcoder.stub(binding), binding.method
        longest_s = method.deadline_s or self._config.call_deadline_s

        async def handle(http: web.Request) -> web.Response:
            speech, raw = await self._read(http, binding)
            request, metadata = _message(speech, raw, method), metadata_of(http)
            with asking(binding.service):
                response = await call(request, timeout=_deadline(speech, http, longest_s), metadata=metadata)
            return speech.whole(response, http[CALLER].trace_id)

        return handle

    def _stream(self, binding: Binding) -> Handler:
        stub, config = self._transcoder.stub(binding), self._config

        async def handle(http: web.Request) -> web.StreamResponse:
            speech, raw = await self._read(http, binding)
            request, metadata = _message(speech, raw, binding.method), metadata_of(http)
            if len(self._calls) >= config.streams_most or self._draining:
                raise Unavailable("no more streams can be opened here", retry_after_s=2)
            http[STREAM] = True
            call = stub(request, timeout=_deadline(speech, http, config.stream_longest_s), metadata=metadata)
            self._calls.add(call)
            try:
                return await self._told(http, binding, speech=speech, call=call)
            finally:
                self._calls.discard(call)
                call.cancel()

        return handle

    async def _told(self, http: web.Request, binding: Binding, *, speech: Speech, call: Any) -> web.StreamResponse:
        """Write what the call streams, and how it ended; a failure before the first message is raised."""
        response = web.StreamResponse(headers={"Content-Type": speech.content_type, "Cache-Control": "no-store"})
        end: DomainError | None = None
        try:
            async for message in call:
                if not response.prepared:
                    await response.prepare(http)
                    http[PLACE].leave()
                async with asyncio.timeout(self._config.stream_stall_s):
                    await response.write(speech.piece(message))
        except grpc.aio.AioRpcError as error:
            end = upstream_error(error, service=binding.service)
        except asyncio.CancelledError:
            if not self._draining:
                raise
            end = Unavailable("the gateway is going, connect again", retry_after_s=1)
        except TimeoutError:
            # Whoever does not read for so long is gone, or holds memory for nothing.
            if http.transport is not None:
                http.transport.abort()
            return response
        if not response.prepared:
            if end is not None:
                raise end
            await response.prepare(http)
        await response.write(speech.ending(end, http[CALLER].trace_id))
        return response

    async def _read(self, http: web.Request, binding: Binding) -> tuple[Speech, bytes]:
        """Return how the client speaks and the bytes of its request."""
        if http.method in {"GET", "HEAD"}:
            http[SPEECH], raw = query_of(http)
            return http[SPEECH], raw
        speech = http[SPEECH] = speech_of(http.content_type.lower(), streaming=binding.method.server_streaming)
        limit = binding.max_body_bytes or self._config.body_limit_bytes
        return speech, await read_body(http, limit=limit, deadline_s=self._config.body_deadline_s)


def speaking() -> Middleware:
    """Return the middleware that tells an error on an RPC path in the words of the client's protocol."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not request.path.startswith(PREFIX) or not isinstance(response, web.Response):
            return response
        error, speech = response.get(TOLD), request.get(SPEECH)
        # Whoever speaks none of the protocols, or the wrong one for the method, is told in the envelope.
        if error is None or (speech is None and response.status in _OF_HTTP):
            return response
        try:
            speech = speech or speech_of(request.content_type.lower(), streaming=None)
        except DomainError:
            return response
        if request.match_info.http_exception is not None:
            error = RemoteError("METHOD_NOT_ALLOWED", "there is no such method")
        told = speech.refusal(error, request[CALLER].trace_id)
        for name in _KEPT:
            if name in response.headers:
                told.headers[name] = response.headers[name]
        return told

    return middleware


async def _streams_in(http: web.Request) -> web.Response:
    http[SPEECH] = speech_of(http.content_type.lower(), streaming=None)
    raise RemoteError("METHOD_NOT_ALLOWED", "a method that takes a stream is served at the edge port over HTTP/2")


def _message(speech: Speech, raw: bytes, method: Method) -> Message:
    """Return the request; raises ParamInvalid for bytes that are none."""
    try:
        return speech.read(raw, method.request_type)
    except DecodeError as error:
        message = f"is no {method.request_type.DESCRIPTOR.full_name}"
        raise ParamInvalid.of("body", message, "encoding") from error


def _deadline(speech: Speech, http: web.Request, longest_s: float) -> float:
    """Return the seconds the call may take: what the contract allows, or less when the client asks for less."""
    given = speech.timeout_s(http)
    return longest_s if given is None else min(longest_s, given)
