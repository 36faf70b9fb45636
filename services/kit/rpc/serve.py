"""Serves applications: registers, listens, tells its health, drains, stops.

After letsencrypt/boulder: a server refuses to start when its contract leaves open who may call
a method, its health follows its dependencies, and on SIGTERM it first says that it is going,
then waits, then stops.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from services.kit import crash, log, telemetry, tracing
from services.kit.config import ProcessConfig
from services.kit.ending import end
from services.kit.redis import connect
from services.kit.rpc.application import Application, Build, Registered, background
from services.kit.rpc.around import Concern, concerns, wrapped
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.channel import MOST_MESSAGE_BYTES, MtlsPeers
from services.kit.rpc.health import Health
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.method import Handler, routes_of
from services.kit.rpc.reflection import add_reflection

__all__ = ["Application", "Build", "Registered", "Server", "background", "serve"]

_log = logging.getLogger(__name__)

# Calls answered at a time, open streams included; more are refused at once instead of queued.
MOST_CALLS: Final = 8192
# Time for load balancers to see NOT_SERVING before the port closes, and for calls to finish.
DRAIN_S: Final = 0.3
GRACE_S: Final = 3.0


class Server:
    """A gRPC server of one or several applications on one port."""

    def __init__(
        self,
        applications: Sequence[Application],
        concerns: Sequence[Concern],
        *,
        address: str,
        credentials: grpc.ServerCredentials | None,
        public_only: bool = False,
        reuse_port: bool = False,
    ) -> None:
        """Prepare the server; without credentials it speaks plaintext, for loopback only.

        With `public_only` internal methods do not exist on this port. Raises ContractError
        when the contract of a service is not fit to be served. The loops of the applications
        are not run here, see `background`: two servers may share an application.
        """
        self._address = address
        self._credentials = credentials
        self._reuse_port = reuse_port
        self._handlers = _handlers(applications, concerns, public_only=public_only)
        self.health = Health(applications)
        self._pinging: asyncio.Task[None] | None = None
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen; `port` is then the real port. RuntimeError when the address is taken."""
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", int(self._reuse_port)),
                ("grpc.max_send_message_length", MOST_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MOST_MESSAGE_BYTES),
                # Calls that the core has read and the event loop has not begun. Behind a thousand it would cancel some
                # of them at random; what is too much is refused by name instead, by the limit below.
                ("grpc.server.max_pending_requests", MOST_CALLS),
                ("grpc.server.max_pending_requests_hard_limit", 2 * MOST_CALLS),
                ("grpc.keepalive_time_ms", 30_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ),
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        for service, handlers in self._handlers.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
            server.add_registered_method_handlers(service, handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self.health.servicer, server)
        add_reflection([*self._handlers, "grpc.health.v1.Health"], server)
        if self._credentials is None:
            self.port = server.add_insecure_port(self._address)
        else:
            self.port = server.add_secure_port(self._address, self._credentials)
        await self.health.refresh()
        await server.start()
        self._server = server
        self._pinging = asyncio.create_task(self.health.run())

    async def stop(self, grace: float = GRACE_S) -> None:
        """Say NOT_SERVING, wait a moment, take no more calls, give the running ones `grace` seconds."""
        if self._server is None:
            return
        server, self._server = self._server, None
        await self.health.drain()
        if self._pinging is not None:
            await end([self._pinging])
        await asyncio.sleep(min(DRAIN_S, grace))
        await server.stop(grace)


def _handlers(
    applications: Iterable[Application], around: Sequence[Concern], *, public_only: bool
) -> Mapping[str, dict[str, Handler]]:
    """Return the wrapped handlers by service and method name."""
    handlers: dict[str, dict[str, Handler]] = {}
    for application in applications:
        for registered in application.services:
            for route in routes_of(registered):
                if public_only and route.method.internal:
                    continue
                handlers.setdefault(route.method.service, {})[route.method.name] = wrapped(route, around)
    return handlers


async def serve(config: ProcessConfig, build: Build) -> None:
    """Serve one application over mutual TLS until SIGTERM or SIGINT, then drain and stop."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopped.set)
    name = config.service
    log.configure(name, config.log_level, config.log_directory)
    crash.arm(config.crash_points)
    page = telemetry.start_metrics(config.metrics_port, config.bind_host)
    async with contextlib.AsyncExitStack() as stack:
        if page is not None:
            stack.callback(page.close)
        stack.callback(tracing.start(name, config))
        peers = MtlsPeers(config, name)
        stack.push_async_callback(peers.close)
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        application = await stack.enter_async_context(build(config, peers))
        server = Server(
            [application],
            concerns(name, verifier=standard_verifier(peers, redis)),
            address=f"{config.bind_host}:{config.port}",
            credentials=Certificates(config.tls_directory, name).server_credentials(),
        )
        await stack.enter_async_context(background([application]))
        await server.start()
        _log.info("%s listens on port %s", name, server.port)
        await stopped.wait()
        _log.info("%s drains", name)
        await server.stop()
