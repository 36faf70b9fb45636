"""The typed client of ``gen/cadenza_client`` over a grpc.aio channel.

betterproto2 makes asynchronous stubs for grpclib. What they need of it are four methods, so another four put the same
stubs on grpc.aio, where TLS, retries, interceptors and balancing are those of every other client here. grpclib, which
nothing calls any more, need not be installed if this module is imported before the client. Copy this file to use the
client in a program of your own.
"""

import importlib.util
import sys
import types
from collections.abc import AsyncIterable, AsyncIterator, Collection, Iterable, Mapping
from typing import Any, Protocol, Self, TypeVar

import grpc.aio

Value = str | bytes
Metadata = Mapping[str, Value] | Collection[tuple[str, Value]]


class Message(Protocol):
    """What the generated dataclasses can do."""

    def __bytes__(self) -> bytes:
        """Return the message in its wire form."""
        ...

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the message of a wire form."""
        ...


M = TypeVar("M", bound=Message)
S = TypeVar("S")


class _OverAio:
    """Takes the place of the four grpclib calls under a generated stub."""

    def __init__(
        self, channel: grpc.aio.Channel, *, timeout: float | None = None, metadata: Metadata | None = None
    ) -> None:
        self.channel = channel
        self.timeout = timeout
        self.metadata = metadata

    async def _unary_unary(self, route: str, request: Message, response_type: type[M], **options: Any) -> M:
        call: Any = self.channel.unary_unary(route, bytes, response_type.parse)
        return await call(request, **self._resolved(options))  # type: ignore[no-any-return]

    async def _unary_stream(
        self, route: str, request: Message, response_type: type[M], **options: Any
    ) -> AsyncIterator[M]:
        call: Any = self.channel.unary_stream(route, bytes, response_type.parse)
        stream = call(request, **self._resolved(options))
        try:
            async for response in stream:
                yield response
        finally:
            stream.cancel()

    async def _stream_unary(
        self,
        route: str,
        requests: Iterable[Message] | AsyncIterable[Message],
        _request_type: type[Message],
        response_type: type[M],
        **options: Any,
    ) -> M:
        call: Any = self.channel.stream_unary(route, bytes, response_type.parse)
        return await call(requests, **self._resolved(options))  # type: ignore[no-any-return]

    async def _stream_stream(
        self,
        route: str,
        requests: Iterable[Message] | AsyncIterable[Message],
        _request_type: type[Message],
        response_type: type[M],
        **options: Any,
    ) -> AsyncIterator[M]:
        call: Any = self.channel.stream_stream(route, bytes, response_type.parse)
        stream = call(requests, **self._resolved(options))
        try:
            async for response in stream:
                yield response
        finally:
            stream.cancel()

    def _resolved(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the call's own options, with ours where it has none; a grpclib deadline counts as a timeout."""
        timeout, metadata = options.get("timeout"), options.get("metadata")
        if (deadline := options.get("deadline")) is not None:
            timeout = deadline.time_remaining()
        metadata = self.metadata if metadata is None else metadata
        pairs = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
        return {"timeout": self.timeout if timeout is None else timeout, "metadata": tuple(pairs)}


def over_aio(
    stub: type[S], channel: grpc.aio.Channel, *, timeout: float | None = 30, metadata: Metadata | None = None
) -> S:
    """Return a generated stub that calls through the channel.

    `timeout` (seconds) and `metadata` go with every call that brings none of its own. Refusals are raised as
    grpc.aio.AioRpcError.
    """
    made: Any = stub if issubclass(stub, _OverAio) else type(stub.__name__, (_OverAio, stub), {})
    return made(channel, timeout=timeout, metadata=metadata)  # type: ignore[no-any-return]


def _stand_in() -> types.ModuleType:
    """Return what generated code imports of betterproto2's grpclib module."""
    module: Any = types.ModuleType("betterproto2.grpclib")
    module.ServiceStub = _OverAio
    return module  # type: ignore[no-any-return]


if importlib.util.find_spec("grpclib") is None:
    sys.modules.setdefault("betterproto2.grpclib", _stand_in())
