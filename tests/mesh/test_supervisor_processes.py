"""The supervisor: restarts, back-off, draining, and that nothing is ever left behind."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.mesh.errors import CannotStart
from services.mesh.home import Home
from services.mesh.logs import keep_small
from services.mesh.supervisor import ChildSpec, Supervisor

WAIT_S = 15.0
# A child that takes its leave politely and says so.
POLITE = """
import pathlib, signal, sys, time
def leave(*_):
    pathlib.Path(sys.argv[1]).write_text("drained")
    raise SystemExit(0)
signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""
# A child that does not listen, with a child of its own, as a worker has an ffmpeg.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(below.pid))
time.sleep(60)
"""


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    """A supervisor on empty folders, with whatever it runs ended afterwards."""
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    made = Supervisor(logs=tmp_path / "logs", run=tmp_path / "run")
    yield made
    await made.stop(grace_s=0.5)


def _spec(script: str, *arguments: str, ready: Path | None = None, ready_s: float = WAIT_S) -> ChildSpec:
    async def exists() -> bool:
        return ready is not None and await asyncio.to_thread(ready.exists)

    command = [sys.executable, "-c", script, *arguments]
    environment = Home().environ
    return ChildSpec(
        name="child", command=command, environment=environment, ready=exists if ready else None, ready_s=ready_s
    )


async def _until(what: str, condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def _gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_killed_child_is_started_again(supervisor: Supervisor, tmp_path: Path) -> None:
    """SIGKILL of a child is answered by a new process, and the count of restarts goes up by one."""
    await supervisor.start(_spec("import time; time.sleep(60)"))
    (status,) = supervisor.status()
    first = status.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await _until("it runs again", lambda: status.pid not in {None, first})
    assert status.restarts == 1
    assert status.last_exit == -signal.SIGKILL


async def test_the_pause_before_a_restart_doubles(tmp_path: Path) -> None:
    """A child that ends at once is started again after pauses that double, not in a tight loop."""
    pauses: list[float] = []
    (tmp_path / "logs").mkdir()
    (tmp_path / "run").mkdir()
    supervisor = Supervisor(
        logs=tmp_path / "logs", run=tmp_path / "run", on_restart=lambda _, pause_s: pauses.append(pause_s)
    )
    supervisor.start_soon(_spec("raise SystemExit(3)"))
    await _until("three restarts", lambda: len(pauses) >= 3)
    await supervisor.stop(grace_s=0.5)
    assert pauses[:3] == [0.4, 0.8, 1.6]


async def test_stop_drains_a_polite_child(supervisor: Supervisor, tmp_path: Path) -> None:
    """A child that handles SIGTERM gets to the end of its handler and is not started again."""
    mark = tmp_path / "mark"
    await supervisor.start(_spec(POLITE, str(mark)))
    log = tmp_path / "logs" / "child.log"
    await _until("its output is in the log", lambda: "ready" in log.read_text())
    (status,) = supervisor.status()
    await supervisor.stop(grace_s=WAIT_S)
    assert mark.read_text() == "drained"
    assert status.pid is None
    assert status.last_exit == 0


async def test_stop_kills_a_stubborn_child_with_all_below_it(supervisor: Supervisor, tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed at the end of the grace time, its own children too."""
    mark = tmp_path / "mark"
    await supervisor.start(_spec(STUBBORN, str(mark), ready=mark))
    await _until("the pid is written", mark.read_text)
    (status,) = supervisor.status()
    child, below = status.pid, int(mark.read_text())
    assert child is not None
    await supervisor.stop(grace_s=0.3)
    assert status.last_exit == -signal.SIGKILL
    assert _gone(child)
    await _until("the grandchild is gone", lambda: _gone(below))


async def test_what_a_crashed_child_had_started_goes_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    """When a worker is killed its ffmpeg does not run on beside the next one."""
    mark = tmp_path / "mark"
    await supervisor.start(_spec(STUBBORN, str(mark), ready=mark))
    await _until("the pid is written", mark.read_text)
    (status,) = supervisor.status()
    below = int(mark.read_text())
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    await _until("the grandchild is gone", lambda: _gone(below))


async def test_a_child_that_cannot_become_ready_is_an_error_with_its_last_words(supervisor: Supervisor) -> None:
    """The message of a start that fails holds what the child printed."""
    spec = _spec("raise SystemExit('port 1 is taken')", ready=Path("/nonexistent"))
    with pytest.raises(CannotStart, match="port 1 is taken"):
        await supervisor.start(spec)


async def test_leftovers_of_a_killed_supervisor_are_ended_and_strangers_are_not(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """A noted process is killed only when its start time agrees, so a recycled pid is safe."""
    sleeper = (sys.executable, "-c", "import time; time.sleep(60)")
    left, stranger = [await asyncio.create_subprocess_exec(*sleeper) for _ in range(2)]
    try:
        born = psutil.Process(left.pid).create_time()
        run = tmp_path / "run"
        (run / "a.child").write_text(f'{{"pid": {left.pid}, "create_time": {born}}}')
        (run / "b.child").write_text(f'{{"pid": {stranger.pid}, "create_time": {born - 1000}}}')
        supervisor.end_leftovers()
        assert _gone(left.pid)
        assert not _gone(stranger.pid)
        assert not list(run.iterdir())
    finally:
        for process in (left, stranger):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def test_a_child_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """After SIGKILL of the supervisor its child gets SIGTERM from the kernel and leaves."""
    for folder in ("logs", "run"):
        (tmp_path / folder).mkdir()
    mark = tmp_path / "pid"
    child = (
        "import os, pathlib, sys, time; from services.mesh.orphan import end_with_parent; end_with_parent();"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    )
    script = (
        "import asyncio, os, pathlib, sys; from services.mesh.supervisor import ChildSpec, Supervisor\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "async def run():\n"
        "    supervisor = Supervisor(logs=folder / 'logs', run=folder / 'run')\n"
        "    command = [sys.executable, '-c', sys.argv[2], str(folder / 'pid')]\n"
        "    await supervisor.start(ChildSpec(name='child', command=command, environment=dict(os.environ)))\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(run())"
    )
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(tmp_path), child)
    await _until("the child lives", lambda: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    assert not _gone(pid)
    killed.kill()
    await killed.wait()
    await _until("the child is gone", lambda: _gone(pid))


def test_a_log_is_cut_at_its_limit_and_the_writer_goes_on(tmp_path: Path) -> None:
    """Past the limit the old lines move aside and the file starts again, without the writer reopening it."""
    path = tmp_path / "child.log"
    with path.open("ab", buffering=0) as log:
        log.write(b"a" * 100)
        keep_small(path, most_bytes=100)
        assert path.stat().st_size == 100
        log.write(b"b")
        keep_small(path, most_bytes=100)
        log.write(b"c")
    assert path.read_bytes() == b"c"
    assert (tmp_path / "child.log.1").read_bytes() == b"a" * 100 + b"b"
