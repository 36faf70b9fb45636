"""The split layout with a proxy before every port, and a supervisor that brings back whatever died.

Only processes that were started here are ever killed, by the handle that started them.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.kit.config import ProcessConfig, load
from services.kit.crash import ARMED, DIED, SEEN
from services.kit.rpc.channel import MtlsPeers
from services.mesh.errors import CannotStart
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.up import healthy
from services.mesh.valkey import Valkey
from tests.e2e.people import until
from tests.torture.child import Child, Death, wait_or_kill
from tests.torture.proxy import Proxy
from tests.torture.standing import Standing

SERVICES = ("auth", "wallet", "composer", "media", "share")
SERVERS = ("postgres", "valkey")
WORKERS = 2
READY_S = 300.0
LOOK_EVERY_S = 0.03
# Below those that systems give to outgoing connections: nobody takes the port of a process that is dead just now.
PORTS = range(20_000, 32_000)

_log = logging.getLogger(__name__)


@dataclass
class Mesh:
    """Everything that runs, and what happened to it."""

    root: Path
    environment: dict[str, str]
    postgres: Postgres
    valkey: Valkey
    proxies: dict[str, Proxy]
    children: dict[str, Child] = field(default_factory=dict)
    deaths: list[Death] = field(default_factory=list)
    on_death: Callable[[Death], Awaitable[None]] | None = None
    closing: bool = False
    standing: Standing = field(default_factory=Standing)
    _probes: set[asyncio.Task[None]] = field(default_factory=set)
    _peers: MtlsPeers | None = None

    @property
    def base_url(self) -> str:
        """The address that users know."""
        return f"http://127.0.0.1:{self.proxies['gateway'].port}"

    @property
    def database_url(self) -> str:
        """The database itself, without the proxy before it."""
        return self.postgres.url

    @property
    def objects(self) -> Path:
        """The folder of the object store."""
        return self.root / "objects"

    @property
    def points(self) -> Path:
        """The folder in which crash points are armed."""
        return self.root / "points"

    def peers(self) -> MtlsPeers:
        """Return channels to the services as the gateway has them, through the proxies."""
        if self._peers is None:
            self._peers = MtlsPeers(load(ProcessConfig, self.environment), "gateway")
        return self._peers

    # What can be done to it.

    def kill(self, name: str, cause: str) -> bool:
        """SIGKILL a process or a server with everything below it; False when it is just not there."""
        if name in SERVERS:
            server = self.postgres if name == "postgres" else self.valkey
            pid = server.pid
            if not pid:
                return False
            self._note(name, cause, pid)
            os.kill(pid, signal.SIGKILL)
            return True
        child = self.children[name]
        if not child.pid or child.stopped:
            return False
        child.cause = cause
        os.kill(child.pid, signal.SIGKILL)
        return True

    def freeze(self, name: str) -> bool:
        """SIGSTOP a process; False when it is not there."""
        child = self.children[name]
        if not child.pid or child.stopped:
            return False
        child.stopped = True
        os.kill(child.pid, signal.SIGSTOP)
        return True

    def thaw(self, name: str) -> None:
        """Let a stopped process go on."""
        child = self.children[name]
        child.stopped = False
        if child.pid:
            os.kill(child.pid, signal.SIGCONT)

    def arm(self, point: str) -> None:
        """Let the next process that comes to the crash point die there."""
        (self.points / f"{point}{ARMED}").touch()

    def disarm(self) -> list[str]:
        """Take back every armed point that nobody came to, and return them."""
        left = [each.name.removesuffix(ARMED) for each in self.points.glob(f"*{ARMED}")]
        for point in left:
            (self.points / f"{point}{ARMED}").unlink(missing_ok=True)
        return left

    def seen(self) -> set[str]:
        """Return the crash points that some process has come to."""
        return {each.name.removesuffix(SEEN) for each in self.points.glob(f"*{SEEN}")}

    def calm(self) -> None:
        """Take back everything that still hurts: frozen processes, refusing proxies, armed points."""
        self.disarm()
        for proxy in self.proxies.values():
            proxy.refusing, proxy.delay_s = False, 0.0
        for name in self.children:
            self.thaw(name)

    async def all_ready(self) -> None:
        """Return when every process runs and answers; fails when that takes too long."""
        await until(self._away, lambda names: not names, patience_s=READY_S, pause_s=LOOK_EVERY_S)

    async def _away(self) -> list[str]:
        """Return the names of what does not run or answer."""
        servers = {"postgres": self.postgres.pid, "valkey": self.valkey.pid}
        children = [child.name for child in self.children.values() if not (child.ready and child.pid)]
        return children + [name for name, pid in servers.items() if not pid]

    # The supervisor.

    async def watch(self) -> None:
        """Start every child anew whenever it has ended, and the servers too, until cancelled."""
        await asyncio.gather(self._watch_children(), *(self._watch_server(name) for name in SERVERS))

    async def _watch_children(self) -> None:
        while True:
            self.standing.note(time.time(), self._standing())
            for child in self.children.values():
                if child.process is not None and child.process.poll() is not None and not self.closing:
                    try:
                        await self._bury(child)
                    except Exception:  # noqa: BLE001  # a supervisor goes on
                        _log.exception("the death of %s could not be written down", child.name)
                    self.start(child)
            await asyncio.sleep(LOOK_EVERY_S)

    def _standing(self) -> set[str]:
        """Return the workers that run unfrozen and the servers that nothing keeps from answering."""
        workers = {name for name, child in self.children.items() if child.pid and not child.stopped}
        pids = {"postgres": self.postgres.pid, "valkey": self.valkey.pid}
        servers = {name for name, pid in pids.items() if pid and not self.proxies[name].refusing}
        return {name for name in workers if name.startswith("worker")} | servers

    async def _bury(self, child: Child) -> None:
        """Write down how a child ended."""
        assert child.process is not None
        pid, cause = child.process.pid, child.cause
        for died in self.points.glob(f"*.{pid}{DIED}"):
            cause = died.name.removesuffix(f".{pid}{DIED}")
            died.unlink()
        if not cause:
            cause = f"by itself, status {child.process.returncode}"
            _log.error("%s ended %s", child.name, cause)
        child.cause, child.ready, child.stopped = "", False, False
        death = self._note(child.name, cause, pid)
        if self.on_death is not None:
            await self.on_death(death)

    def _note(self, name: str, cause: str, pid: int) -> Death:
        death = Death(name, cause, pid, time.monotonic(), time.time())
        self.deaths.append(death)
        return death

    async def _watch_server(self, name: str) -> None:
        server = self.postgres if name == "postgres" else self.valkey
        down = False
        while True:
            down = down or server.crashed
            if down and not self.closing:
                try:
                    await asyncio.to_thread(server.start)
                    down = False
                    self._answered(name)
                except CannotStart:
                    _log.exception("%s does not start again", name)
            await asyncio.sleep(LOOK_EVERY_S)

    def start(self, child: Child) -> None:
        """Start the child once."""
        child.lives += 1
        with (self.root / "logs" / f"{child.name}.log").open("ab") as log:
            child.process = subprocess.Popen(
                child.command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        probe = asyncio.create_task(self._probe(child, child.process))
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)

    async def _probe(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        """Note when this life of the child answers."""
        while process.poll() is None:
            if await self._answers(child):
                child.ready = True
                self._answered(child.name)
                return
            await asyncio.sleep(LOOK_EVERY_S)

    def _answered(self, name: str) -> None:
        """Close the newest open death of the name."""
        for death in reversed(self.deaths):
            if death.name == name and death.ready_s is None:
                death.ready_s = time.monotonic() - death.at
                return

    async def _answers(self, child: Child) -> bool:
        if child.name == "gateway":
            return await asyncio.to_thread(_reachable, f"http://127.0.0.1:{self.proxies['gateway'].target}")
        if child.name not in SERVICES:
            # A worker is ready when it runs: jobs wait for it, and what they wait is measured at the jobs.
            return True
        with contextlib.suppress(grpc.aio.AioRpcError):
            stub: Any = health_pb2_grpc.HealthStub(self.peers().channel(child.name))
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
        return False

    async def close(self) -> None:
        """End every process that was started here."""
        self.closing = True
        self.calm()
        for probe in list(self._probes):
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)
        running = [child.process for child in self.children.values() if child.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        await asyncio.to_thread(wait_or_kill, running)
        if self._peers is not None:
            await self._peers.close()


def _reachable(base_url: str) -> bool:
    """Return whether the gateway answers at all; what is behind it may be away."""
    try:
        with urllib.request.urlopen(f"{base_url}/health/live", timeout=2):  # noqa: S310  # our own address
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@asynccontextmanager
async def tortured_mesh(root: Path, engine_url: str) -> AsyncIterator[Mesh]:
    """Run the mesh under a folder; nothing that was started is left at the end."""
    for folder in (root, root / "logs", root / "points"):
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with AsyncExitStack() as stack:
        proxies = {name: await stack.enter_async_context(Proxy(name)) for name in (*SERVERS, *SERVICES, "gateway")}
        # Durable, as in production: without its synchronous commits a killed PostgreSQL forgets what it acknowledged.
        ports = _free_ports(2 + len(SERVICES) + 1)
        postgres, valkey = Postgres(root / "postgres", port=ports.pop()), Valkey(root / "valkey", port=ports.pop())
        stack.push_async_callback(asyncio.to_thread, postgres.remove)
        stack.push_async_callback(asyncio.to_thread, valkey.remove)
        await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(valkey.start))
        proxies["postgres"].target, proxies["valkey"].target = postgres.port or 0, valkey.port or 0
        for name in (*SERVICES, "gateway"):
            proxies[name].target = ports.pop()
        environment = _environment(root, proxies, postgres, valkey) | {"ENGINE_URL": engine_url}
        for once in ("certificates", "migrate"):
            await asyncio.to_thread(_run, _command(once), environment)
        mesh = Mesh(root, environment, postgres, valkey, proxies)
        names = {name: _command("serve", name) for name in SERVICES}
        names |= {"gateway": _command("gateway")}
        names |= {f"worker-{number + 1}": _command("worker") for number in range(WORKERS)}
        mesh.children = {name: Child(name, command) for name, command in names.items()}
        stack.push_async_callback(mesh.close)
        for child in mesh.children.values():
            mesh.start(child)
        watching = asyncio.create_task(mesh.watch())
        try:
            await mesh.all_ready()
            await until(lambda: asyncio.to_thread(healthy, mesh.base_url), bool, patience_s=READY_S)
            yield mesh
        finally:
            mesh.closing = True
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


def _free_ports(count: int) -> list[int]:
    """Return as many ports that nobody listens at."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.mesh", *arguments]


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=READY_S)
    assert done.returncode == 0, done.stderr


def _environment(root: Path, proxies: dict[str, Proxy], postgres: Postgres, valkey: Valkey) -> dict[str, str]:
    """Return what the processes are told: every address is that of a proxy, every port that behind it."""
    inherited = {name: value for name, value in Home(root).environ.items() if name in {"PATH", "HOME", "LANG"}}
    addresses = {f"{name.upper()}_ADDRESS": f"127.0.0.1:{proxies[name].port}" for name in SERVICES}
    ports = {f"{name.upper()}_PORT": str(proxies[name].target) for name in (*SERVICES, "gateway")}
    return {
        **inherited,
        **addresses,
        **ports,
        "APP_ENV": "test",
        "CADENZA_HOME": str(root / "home"),
        "CADENZA_TLS": str(root / "tls"),
        "CADENZA_SUPERVISOR": str(os.getpid()),
        "CRASH_POINTS": str(root / "points"),
        "DATABASE_URL": postgres.url.replace(f":{postgres.port}/", f":{proxies['postgres'].port}/"),
        "REDIS_URL": valkey.url.replace(f":{valkey.port}/", f":{proxies['valkey'].port}/"),
        "OBJECT_STORE_DIR": str(root / "objects"),
        "OBJECT_URL_SECRET": secrets.token_hex(32),
        "ENCRYPTION_KEY": secrets.token_hex(32),
        "PUBLIC_URL": f"http://127.0.0.1:{proxies['gateway'].port}",
        "PYTHONUNBUFFERED": "1",
        "LOG_LEVEL": "warning",
        "ACTIVE_JOBS_PER_USER": "8",
        "RATE_USER_PER_MINUTE": "0",
        "RATE_ADDRESS_PER_MINUTE": "0",
    }
