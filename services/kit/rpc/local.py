"""The mesh inside one process: stubs talk to servicers without socket or serialisation.

A gRPC hop in Python costs 0.7 to 1.0 ms of CPU a call and is nearly the whole cost of one, see
decision 26. What stays is what a hop means: the caller has a name, metadata travel, deadlines
hold, errors arrive as statuses, cancelling reaches the other side, and neither side can change
a message that the other holds.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2_grpc

from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import Concern, wrapped
from services.kit.rpc.channel import Peers
from services.kit.rpc.health import FreshHealthServicer, Health
from services.kit.rpc.local_client import LocalStreamStream, LocalStreamUnary, LocalUnaryStream, LocalUnaryUnary
from services.kit.rpc.local_exchange import Copier, Exchange, Metadata
from services.kit.rpc.local_server import answer
from services.kit.rpc.method import Handler, Route, routes_of, unchecked_routes
from services.kit.rpc.outgoing import outgoing_metadata, outgoing_timeout

_USER_AGENT = (("user-agent", "cadenza-local"),)


class LocalMesh:
    """The applications of this process and the channels between them."""

    def __init__(self) -> None:
        self._routes: dict[str, dict[str, Route]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def add(self, application: Application, concerns: Sequence[Concern]) -> None:
        """Serve the application, its health included; raises ContractError like a server."""
        routes = {
            route.method.path: Route(route.method, wrapped(route, concerns))
            for registered in application.services
            for route in routes_of(registered)
        }
        self._routes[application.name] = {**routes, **_health_routes(application)}
        self._announce()

    def remove(self, name: str) -> None:
        """Stop serving an application; calls to it are UNAVAILABLE from now on."""
        self._routes.pop(name, None)
        self._announce()

    def peers(self, caller: str) -> Peers:
        """Return the channels as `caller`; a target may be added after the channel was made."""
        return _LocalPeers(self, caller)

    async def change(self) -> None:
        """Wait until an application comes or goes."""
        await self._changed.wait()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def routes(self, service: str) -> dict[str, Route] | None:
        """Return the methods of an application, or None when it is not here."""
        return self._routes.get(service)

    def run(self, handler: Handler, exchange: Exchange, request: Any, copy_response: Copier) -> None:
        """Start the server's half of a call."""
        task = asyncio.get_running_loop().create_task(answer(handler, exchange, request, copy_response))
        exchange.task = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def drain(self, grace_s: float) -> None:
        """Give the running calls `grace_s` seconds, then cancel them."""
        running = set(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _LocalPeers:
    """Channels to the applications of a mesh."""

    def __init__(self, mesh: LocalMesh, caller: str) -> None:
        self._mesh = mesh
        self._caller = caller

    def channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to an application by its name."""
        return LocalChannel(self._mesh, service, self._caller)


class LocalChannel(grpc.aio.Channel):
    """The grpc.aio channel interface over a LocalMesh."""

    def __init__(self, mesh: LocalMesh, service: str, caller: str) -> None:
        self.mesh = mesh
        self.service = service
        self.caller = caller

    def unary_unary(self, method: str, *coders: Any, **named: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, LocalUnaryUnary, method, _Coders(*coders, **named))

    def unary_stream(self, method: str, *coders: Any, **named: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, LocalUnaryStream, method, _Coders(*coders, **named))

    def stream_unary(self, method: str, *coders: Any, **named: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, LocalStreamUnary, method, _Coders(*coders, **named))

    def stream_stream(self, method: str, *coders: Any, **named: Any) -> Any:
        """Return the callable for a method."""
        return _Multicallable(self, LocalStreamStream, method, _Coders(*coders, **named))

    async def close(self, grace: float | None = None) -> None:
        """Do nothing: there is no connection."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  # gRPC's signature
        """Return READY while the application is here."""
        ready = self.mesh.routes(self.service) is not None
        return grpc.ChannelConnectivity.READY if ready else grpc.ChannelConnectivity.TRANSIENT_FAILURE

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the application comes or goes."""
        while self.get_state() is last_observed_state:
            await self.mesh.change()

    async def channel_ready(self) -> None:
        """Wait until the application is here."""
        while self.get_state() is not grpc.ChannelConnectivity.READY:
            await self.mesh.change()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Coders:
    """The stub's serialiser and deserialiser, which tell the classes its messages have."""

    def __init__(
        self,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,  # noqa: FBT001, FBT002  # gRPC's signature
    ) -> None:
        self.serialize = request_serializer
        self.deserialize = response_deserializer


class _Multicallable:
    """One method of a stub."""

    def __init__(self, channel: LocalChannel, kind: Callable[..., Any], path: str, coders: _Coders) -> None:
        self._channel = channel
        self._kind = kind
        self._path = path
        self._coders = coders
        self._route: Route | None = None
        self._copy_request: Copier = _same
        self._copy_response: Copier = _same

    def __call__(
        self,
        request: Any = None,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: Any = None,
        wait_for_ready: bool | None = None,
        compression: Any = None,
    ) -> Any:
        entries: Metadata = (*outgoing_metadata(metadata), *_USER_AGENT)
        exchange = Exchange(self._path, self._channel.caller, entries, outgoing_timeout(timeout))
        routes = self._channel.mesh.routes(self._channel.service)
        route = None if routes is None else routes.get(self._path)
        if route is not None and route is not self._route:
            self._learn(route)
        call = self._kind(exchange, self._copy_request)
        if route is None:
            exchange.finish(*self._nowhere(found=routes is not None))
        elif route.handler.request_streaming:
            self._channel.mesh.run(route.handler, exchange, None, self._copy_response)
            call.feed(request)
        else:
            copy = self._copy_request(request)
            self._channel.mesh.run(route.handler, exchange, copy, self._copy_response)
        return call

    def _learn(self, route: Route) -> None:
        """Choose how messages travel to and from this route; it may have been replaced."""
        self._route = route
        self._copy_request = _copier(
            route.method.request_type, self._coders.serialize, route.handler.request_deserializer
        )
        self._copy_response = _copier(
            route.method.response_type, route.handler.response_serializer, self._coders.deserialize
        )

    def _nowhere(self, *, found: bool) -> tuple[grpc.StatusCode, str]:
        """Return the status of a call that nobody answers."""
        if found:
            return grpc.StatusCode.UNIMPLEMENTED, "Method not found!"
        return grpc.StatusCode.UNAVAILABLE, f"{self._channel.service} is not running"


def _copier(
    kind: type[Message], serialize: Callable[[Any], bytes] | None, parse: Callable[[bytes], Any] | None
) -> Copier:
    """Return the function that carries a message over.

    Where both ends hold the same protobuf class it copies, which costs half of writing and
    parsing; for anything else (another implementation, raw bytes) it goes through the bytes.
    """
    if serialize == kind.SerializeToString and parse == kind.FromString:

        def copy(message: Any) -> Any:
            if type(message) is not kind:
                # The serialiser of a real channel raises the same way for a foreign message.
                raise TypeError(f"expected {kind.DESCRIPTOR.full_name}, got {type(message)}")
            twin = kind()
            twin.CopyFrom(message)
            return twin

        return copy

    def through_bytes(message: Any) -> Any:
        data = message if serialize is None else serialize(message)
        return data if parse is None else parse(data)

    return through_bytes


def _same(message: Any) -> Any:
    return message


def _health_routes(application: Application) -> dict[str, Route]:
    servicer = FreshHealthServicer(Health([application]))
    registered = Registered(health_pb2_grpc.add_HealthServicer_to_server, servicer)
    return {route.method.path: route for route in unchecked_routes(registered)}
