"""Starts the whole mesh of one home and hands it back running.

``cadenza up``, ``cadenza demo``, the end-to-end tests and the benchmarks all start it here, so what is measured and
tested is what a person gets. Most of a start is importing and initdb, so both go on at the same time: the mesh process
is started first, knows its addresses already, and waits for the database when it has loaded.
"""

import asyncio
import logging
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from services.kit.ending import end
from services.mesh import sandbox
from services.mesh.errors import CannotStart
from services.mesh.home import LAST_PORT, Home
from services.mesh.postgres import Postgres
from services.mesh.process import tree_bytes
from services.mesh.supervisor import ChildSpec, ChildStatus, Supervisor
from services.mesh.valkey import Valkey

MESH_READY_S = 90.0
STOP_S = 4.2
RENEW_EVERY_S = 3600.0
LOOK_EVERY_S = 0.5
LOOK_MOST_S = 30.0
# What the pools of a process may hold together: five services, of which Wallet prepares; the runners and their hearts.
MESH_CONNECTIONS = 60
WORKER_CONNECTIONS = 40
# For backups, checks and whoever looks in.
SPARE_CONNECTIONS = 20

_log = logging.getLogger(__name__)
Restarted = Callable[[ChildStatus, float], None]


class RunningMesh:
    """The processes of one home; ``timings`` are the seconds since the start at which each stage was done."""

    def __init__(self, home: Home, supervisor: Supervisor) -> None:
        """Choose ports and addresses; nothing runs yet. The environment's own servers are used where it names them."""
        self.home = home
        self.supervisor = supervisor
        self.timings: dict[str, float] = {}
        self.postgres: Postgres | None = None
        self.valkey: Valkey | None = None
        database_url, redis_url = home.environ.get("DATABASE_URL", ""), home.environ.get("REDIS_URL", "")
        if not database_url:
            connections = SPARE_CONNECTIONS + home.mesh_processes * MESH_CONNECTIONS + home.workers * WORKER_CONNECTIONS
            self.postgres = Postgres(home.root / "postgres", port=home.ports.postgres, connections=connections)
            database_url = self.postgres.url
        if not redis_url:
            self.valkey = Valkey(home.root / "valkey", port=home.ports.valkey)
            redis_url = self.valkey.url
        self.environment = home.environment(database_url, redis_url)
        self.sandbox_url = f"http://127.0.0.1:{sandbox.port_of(home)}" if sandbox.wanted(home) else ""
        self._began = time.monotonic()
        self._starting: asyncio.Future[Any] | None = None
        self._chores: list[asyncio.Task[None]] = []

    @property
    def base_url(self) -> str:
        """The gateway's address on this machine."""
        return f"http://127.0.0.1:{self.home.ports.gateway}"

    @property
    def edge_address(self) -> str:
        """The plaintext gRPC address on this machine."""
        return f"127.0.0.1:{self.home.ports.edge}"

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of everything this mesh runs, by name."""
        children = {status.name: status.pid for status in self.supervisor.status()}
        servers = {"postgres": self.postgres and self.postgres.pid, "valkey": self.valkey and self.valkey.pid}
        return {name: pid for name, pid in {**children, **servers}.items() if pid}

    def resident_bytes(self) -> dict[str, int]:
        """Return the memory of each process with its children, pages they share divided among them (Linux: PSS)."""
        return {name: tree_bytes(pid) for name, pid in self.pids.items()}

    async def start(self) -> None:
        """Return when the gateway is healthy and the workers are started; raises ``CannotStart`` with advice."""
        self.supervisor.end_leftovers()
        if self.sandbox_url:
            await self.supervisor.start(self._sandbox_spec())
            self.environment |= await sandbox.settings(self.sandbox_url, self.home.environ)
            self._done("sandbox")
        first = self.supervisor.start_soon(self._mesh_spec(0))
        await self._start_servers()
        self._done("servers")
        await first.until_ready()
        self._done("mesh")
        specs = [self._mesh_spec(number) for number in range(1, self.home.mesh_processes)]
        specs += [self._worker_spec(number) for number in range(1, self.home.workers + 1)]
        await asyncio.gather(*(self.supervisor.start(spec) for spec in specs))
        self._done("workers")
        self._chores.append(asyncio.create_task(_renew(self.home)))

    async def stop(self) -> None:
        """Drain and stop everything within five seconds; nothing we started is left."""
        await end(self._chores)
        await self.supervisor.stop(grace_s=STOP_S)
        if self._starting is not None:
            # A server that is just starting in a thread cannot be interrupted, only stopped once it is up.
            await asyncio.wait({self._starting})
        servers = [server for server in (self.valkey, self.postgres) if server is not None]
        await asyncio.gather(*(asyncio.to_thread(server.stop) for server in servers))

    async def _start_servers(self) -> None:
        servers = [server for server in (self.postgres, self.valkey) if server is not None]
        starting = asyncio.gather(
            *(asyncio.to_thread(server.start) for server in servers), asyncio.to_thread(_ensure_certificates, self.home)
        )
        self._starting = starting
        await asyncio.shield(starting)
        self.supervisor.log_paths.extend(server.log_path for server in servers)
        self._chores.extend(asyncio.create_task(_bring_back(server)) for server in servers)

    def _mesh_spec(self, number: int) -> ChildSpec:
        """Return one process of the mesh; the first brings the schema up to date."""
        return ChildSpec(
            name=f"mesh-{number}" if number else "mesh",
            command=command("mesh", *([] if number else ["--migrate"])),
            environment=self._environment_of(number),
            ready=lambda: asyncio.to_thread(healthy, self.base_url),
            ready_s=MESH_READY_S,
            stops_last=True,
        )

    def _worker_spec(self, number: int) -> ChildSpec:
        """Return one worker; it is ready when it runs, since jobs wait for it and not the other way round."""
        environment = self._environment_of(self.home.mesh_processes - 1 + number)
        return ChildSpec(name=f"worker-{number}", command=command("worker"), environment=environment)

    def _sandbox_spec(self) -> ChildSpec:
        """Return the stand-ins, which keep their port, so that they are found again after a crash."""
        return ChildSpec(
            name="sandbox",
            command=sandbox.command(int(self.sandbox_url.rpartition(":")[2]), self.base_url),
            environment=self.environment,
            ready=lambda: sandbox.answers(self.sandbox_url),
            ready_s=sandbox.READY_S,
            stops_last=True,
        )

    def _environment_of(self, number: int) -> dict[str, str]:
        """Return the environment of the child ``number``; each has a metrics page on a port of its own."""
        first = self.home.number("METRICS_PORT", 0, least=0, most=LAST_PORT)
        return self.environment | ({"METRICS_PORT": str(first + number)} if first else {})

    def _done(self, stage: str) -> None:
        self.timings[stage] = round(time.monotonic() - self._began, 3)


async def start_mesh(home: Home, *, on_restart: Restarted | None = None) -> RunningMesh:
    """Return the running mesh of ``home`` when its gateway is healthy and its workers are started.

    Raises ``CannotStart`` with advice; whatever was started by then is stopped again.
    """
    home.claim()
    try:
        mesh = RunningMesh(home, Supervisor(logs=home.logs, run=home.run, on_restart=on_restart))
        try:
            await mesh.start()
        except BaseException:
            await mesh.stop()
            raise
    except BaseException:
        home.release()
        raise
    return mesh


async def stop_mesh(mesh: RunningMesh) -> None:
    """Stop everything and let another process claim the home."""
    await mesh.stop()
    mesh.home.release()


@asynccontextmanager
async def running_mesh(home: Home) -> AsyncIterator[RunningMesh]:
    """Run the mesh of ``home`` for the length of the block."""
    mesh = await start_mesh(home)
    try:
        yield mesh
    finally:
        await stop_mesh(mesh)


def command(*arguments: str) -> list[str]:
    """Return the command line of one of our own subcommands, run by this very interpreter."""
    return [sys.executable, "-m", "services.mesh", *arguments]


def healthy(base_url: str) -> bool:
    """Return whether the gateway calls itself and everything behind it healthy."""
    try:
        with urllib.request.urlopen(f"{base_url}/health", timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _ensure_certificates(home: Home) -> None:
    from services.mesh.ca import Authority

    Authority(home.authority, home.tls).ensure()


async def _renew(home: Home) -> None:
    """Issue certificates before they run out, as long as the mesh runs."""
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        await asyncio.to_thread(_ensure_certificates, home)


async def _bring_back(server: Postgres | Valkey) -> None:
    """Start a server again when it has died; one that was stopped on purpose stays down."""
    pause_s, failed = LOOK_EVERY_S, False
    while True:
        await asyncio.sleep(pause_s)
        if not (server.crashed or failed):
            continue
        _log.warning("%s died and is started again", type(server).__name__)
        try:
            await asyncio.shield(asyncio.to_thread(server.start))
        except CannotStart:
            _log.exception("it does not come back")
            pause_s, failed = min(pause_s * 2, LOOK_MOST_S), True
        else:
            pause_s, failed = LOOK_EVERY_S, False
