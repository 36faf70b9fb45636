"""Keeps the processes of the mesh running, and leaves none behind.

Children are started by exec, never by fork: they use gRPC and threads. Each has a process group of its own, so that a
worker's ffmpeg goes with it, and asks the kernel to be told when we die. Their pids are written down with their start
time, because a child that outlives a killed supervisor would share our ports and answer with old data.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from services.mesh.errors import CannotStart
from services.mesh.logs import keep_small
from services.mesh.orphan import PARENT_VARIABLE
from services.mesh.process import tail

BACKOFF_FIRST_S = 0.2
BACKOFF_MOST_S = 15.0
STEADY_S = 20.0  # A child that ran this long has earned a quick restart again.
PROBE_EVERY_S = 0.03
LOG_CHECK_S = 5.0
KILL_WAIT_S = 2.0
SAME_START_S = 0.01
FAILED_STARTS = 2
LEAD = 0.25

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """One process to keep: its command, its environment and how to tell that it is ready.

    Those with ``stops_last`` are told to stop a moment after the others, which may still need them.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_s: float = 30.0
    stops_last: bool = False


@dataclass
class ChildStatus:
    """What is known about a kept process; ``restarts`` counts the times it ended unasked."""

    name: str
    pid: int | None = None
    restarts: int = 0
    last_exit: int | None = None
    started: float = field(default=0.0, repr=False)


class Supervisor:
    """Starts children in order, restarts those that end, stops them in reverse order."""

    def __init__(
        self, *, logs: Path, run: Path, on_restart: Callable[[ChildStatus, float], None] | None = None
    ) -> None:
        self._logs = logs
        self._run = run
        self._on_restart = on_restart
        self._kept: list[_Kept] = []
        self._housekeeping: asyncio.Task[None] | None = None
        self.log_paths: list[Path] = []

    def end_leftovers(self) -> None:
        """SIGKILL what a killed supervisor of this home has left, known by pid and start time."""
        for path in self._run.glob("*.child"):
            with contextlib.suppress(psutil.Error, OSError, ValueError, KeyError):
                noted = json.loads(path.read_text())
                process = psutil.Process(noted["pid"])
                if abs(process.create_time() - noted["create_time"]) < SAME_START_S:
                    _kill_group(process.pid)
                    process.kill()
                    process.wait(timeout=KILL_WAIT_S)
            path.unlink(missing_ok=True)

    async def start(self, spec: ChildSpec) -> None:
        """Start a child and wait until it is ready; raise ``CannotStart`` when it ends or is not ready in time."""
        kept = self.start_soon(spec)
        await kept.until_ready()

    def start_soon(self, spec: ChildSpec) -> "_Kept":
        """Start a child without waiting for it; ``until_ready`` of what comes back waits."""
        if self._housekeeping is None:
            self._housekeeping = asyncio.create_task(self._keep_logs_small())
        log_path = self._logs / f"{spec.name}.log"
        self.log_paths.append(log_path)
        kept = _Kept(spec, log_path, self._run / f"{spec.name}.child", self._on_restart)
        self._kept.append(kept)
        kept.task = asyncio.create_task(kept.keep())
        return kept

    def status(self) -> list[ChildStatus]:
        """Return the state of every kept process, in the order of starting."""
        return [kept.status for kept in self._kept]

    async def stop(self, *, grace_s: float = 4.0) -> None:
        """Stop all children within about ``grace_s`` seconds; no process is left after it.

        Workers hand their jobs back while the mesh still answers, for at most a quarter of the time.
        """
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        for kept in self._kept:
            kept.stopping = True
        deadline = time.monotonic() + grace_s
        first = [asyncio.create_task(kept.end(deadline)) for kept in self._kept if not kept.spec.stops_last]
        if first:
            await asyncio.wait(first, timeout=grace_s * LEAD)
        await asyncio.gather(*first, *(kept.end(deadline) for kept in self._kept if kept.spec.stops_last))
        self._kept.clear()

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for path in self.log_paths:
                keep_small(path)


class _Kept:
    """One child through all its lives."""

    def __init__(
        self,
        spec: ChildSpec,
        log_path: Path,
        note: Path,
        on_restart: Callable[[ChildStatus, float], None] | None,
    ) -> None:
        self.spec = spec
        self.status = ChildStatus(spec.name)
        self.stopping = False
        self.task: asyncio.Task[None] | None = None
        self._log_path = log_path
        self._note = note
        self._on_restart = on_restart
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run the child again and again until we are stopping; waits longer after each quick end."""
        backoff_s = BACKOFF_FIRST_S
        while not self.stopping:
            started = time.monotonic()
            await self._live()
            if self.stopping:
                return
            self.status.restarts += 1
            steady = time.monotonic() - started > STEADY_S
            backoff_s = BACKOFF_FIRST_S if steady else min(backoff_s * 2, BACKOFF_MOST_S)
            if self._on_restart is not None:
                self._on_restart(self.status, backoff_s)
            else:
                _log.warning("%s ended with %s, again in %.1f s", self.spec.name, self.status.last_exit, backoff_s)
            await asyncio.sleep(backoff_s)

    async def until_ready(self) -> None:
        """Return when the probe succeeds; raise ``CannotStart`` when the child keeps ending or time runs out."""
        deadline = time.monotonic() + self.spec.ready_s
        while time.monotonic() < deadline and self.status.restarts < FAILED_STARTS:
            if self._process is not None and (self.spec.ready is None or await self.spec.ready()):
                return
            await asyncio.sleep(PROBE_EVERY_S)
        message = f"{self.spec.name} did not become ready: {tail(self._log_path, 800)}"
        raise CannotStart(message, f"Its log is {self._log_path}.")

    async def end(self, deadline: float) -> None:
        """SIGTERM, wait until ``deadline`` (monotonic seconds), SIGKILL the whole group."""
        self.stopping = True
        if self._process is not None and self.task is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            done, _ = await asyncio.wait([self.task], timeout=max(0.0, deadline - time.monotonic()))
            if not done:
                _log.warning("%s did not stop in time and was killed", self.spec.name)
                _kill_group(self._process.pid)
                await asyncio.wait([self.task], timeout=KILL_WAIT_S)
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    async def _live(self) -> None:
        """Run the child once, to its end, and take what it started with it."""
        environment = {**self.spec.environment, PARENT_VARIABLE: str(os.getpid())}
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(self._log_path, flags, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(log)
        self._process = process
        self.status.pid = process.pid
        self._write_note(process.pid)
        try:
            self.status.last_exit = await process.wait()
        finally:
            _kill_group(process.pid)
            self._process = None
            self.status.pid = None
            self._note.unlink(missing_ok=True)

    def _write_note(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            noted = {"pid": pid, "create_time": psutil.Process(pid).create_time()}
            self._note.write_text(json.dumps(noted))


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
