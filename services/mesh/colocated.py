"""The co-located mesh: gateway and all five services in one process (decision 26).

Inside it calls take no socket: gateway and services reach each other over a ``LocalMesh``, through the same concerns as
on the wire. Outside it has three ports: HTTP, gRPC with mutual TLS for the workers, and gRPC in plaintext on loopback
with the public methods only. All are opened with SO_REUSEPORT, so that several such processes can share them.
"""

import asyncio
import importlib
import logging
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gateway.app import build as build_gateway
from gateway.config import Config as GatewayConfig
from gateway.listen import GatewayRunner
from services.kit import crash, log, telemetry, tracing
from services.kit.config import load
from services.kit.redis import connect
from services.kit.rpc.application import Application, background
from services.kit.rpc.around import Concern, concerns
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.serve import Server
from services.mesh.ca import MESH, SERVICES
from services.mesh.config import Config
from services.mesh.schema import patiently

LOOPBACK = "127.0.0.1"
# Together below what the supervisor allows before it kills: streams get this long to end by themselves.
GRACE_S = 1.5
HTTP_GRACE_S = 1.5
CERTIFICATES_S = 20.0

_log = logging.getLogger(__name__)


def host(*, migrating: bool) -> None:
    """Host the mesh until SIGTERM or SIGINT, with the schema brought up to date first if we are the one to do it."""
    for name in SERVICES:
        importlib.import_module(f"services.{name}.__main__")  # Takes its seconds while the servers start.
    config = load(Config)
    log.configure(MESH, config.log_level, config.log_directory)
    crash.arm(config.crash_points)
    if migrating:
        patiently(config.database_url)
    asyncio.run(_until_told(config))


async def _until_told(config: Config) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    await run(config, stopping)


async def run(config: Config, stopping: asyncio.Event, ready: asyncio.Event | None = None) -> None:
    """Open everything, serve until ``stopping`` is set, drain and close everything in reverse."""
    async with AsyncExitStack() as stack:
        page = telemetry.start_metrics(config.metrics_port, config.bind_host)
        if page is not None:
            stack.callback(page.close)
        stack.callback(tracing.start(MESH, config))
        local = LocalMesh()
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        # One verifier for all: a token that one service has verified need not be verified by the next.
        around = concerns(MESH, verifier=standard_verifier(local.peers("edge"), redis))
        applications = [await _open(stack, name, local, around) for name in SERVICES]
        await stack.enter_async_context(background(applications))
        settings = load(GatewayConfig)
        gateway = await build_gateway(settings, local.peers("gateway"))
        fronts = _Fronts(config, applications, around, gateway, settings.gateway_host)
        await fronts.start()
        _log.info("the mesh listens on ports %s, %s and %s", config.gateway_port, config.edge_port, config.mesh_port)
        if ready is not None:
            ready.set()
        await stopping.wait()
        _log.info("the mesh drains")
        await fronts.stop()
        await local.drain(GRACE_S)


async def _open(stack: AsyncExitStack, name: str, local: LocalMesh, around: tuple[Concern, ...]) -> Application:
    """Build one service and put it on the local mesh; the stack closes it."""
    root = importlib.import_module(f"services.{name}.__main__")
    settings = importlib.import_module(f"services.{name}.config")
    application: Application = await stack.enter_async_context(root.build(load(settings.Config), local.peers(name)))
    local.add(application, around)
    stack.callback(local.remove, name)
    return application


def _issued(directory: Path) -> Certificates:
    """Return our certificates, waiting for the supervisor to have issued them at the first start of a home."""
    deadline = time.monotonic() + CERTIFICATES_S
    while True:
        try:
            return Certificates(directory, MESH)
        except FileNotFoundError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


@dataclass
class _Fronts:
    """The three ports of the process, opened and closed together."""

    config: Config
    applications: list[Application]
    around: tuple[Concern, ...]
    gateway: web.Application
    gateway_host: str

    def __post_init__(self) -> None:
        """Prepare the servers; nothing listens yet."""
        credentials = _issued(self.config.tls_directory).server_credentials()
        self._inside = Server(
            self.applications,
            self.around,
            address=f"{LOOPBACK}:{self.config.mesh_port}",
            credentials=credentials,
            reuse_port=True,
        )
        # Plaintext, and therefore on loopback whatever BIND_HOST says.
        self._edge = Server(
            self.applications,
            self.around,
            address=f"{LOOPBACK}:{self.config.edge_port}",
            credentials=None,
            public_only=True,
            reuse_port=True,
        )
        self._runner = GatewayRunner(self.gateway, drain_s=HTTP_GRACE_S)

    async def start(self) -> None:
        """Listen on all three ports, HTTP last: whoever sees it healthy finds the others open."""
        await self._inside.start()
        await self._edge.start()
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.gateway_host, self.config.gateway_port, reuse_port=True)
        await site.start()

    async def stop(self) -> None:
        """Take nothing new and let what runs end, all ports at the same time."""
        await asyncio.gather(self._runner.cleanup(), self._edge.stop(GRACE_S), self._inside.stop(GRACE_S))
