"""Server processes we own: found again by directory after a crash, ended by pid, never by name alone.

A supervisor that was killed with SIGKILL leaves its PostgreSQL and Valkey behind. The next start must tell such a
leftover from a stranger that happens to have the same pid, and from the server of another supervisor that is alive.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from services.mesh.errors import CannotStart

POLL_S = 0.01


class DirectoryLock:
    """The right to run servers on one directory; the kernel gives it up when the holder dies, however it dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock and leave our pid in it; raise ``CannotStart`` when another live process holds it."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            message = f"{self._path.parent} is in use by another Cadenza, process {holder}."
            raise CannotStart(message, "Stop that one first, or choose another CADENZA_HOME.") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up; harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def free_port(preferred: int | None = None) -> int:
    """Return ``preferred`` when nothing listens on it on loopback, else a port the kernel picks."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", candidate))
            return int(probe.getsockname()[1])
    message = "No free TCP port on 127.0.0.1."
    raise CannotStart(message, "Close some programs and try again.")


def serving(pid: int | None, *, name: str, directory: Path) -> psutil.Process | None:
    """Return the process ``pid`` if it is program ``name`` working in ``directory``, else nothing.

    Both servers make their data directory their working directory, so a recycled pid cannot pass for ours.
    """
    if not pid:
        return None
    try:
        process = psutil.Process(pid)
        ours = process.name() == name and Path(process.cwd()) == directory.resolve()
    except (psutil.Error, OSError):
        return None
    return process if ours and process.status() != psutil.STATUS_ZOMBIE else None


def all_serving(*, name: str, directory: Path) -> list[psutil.Process]:
    """Return every process of program ``name`` that works in ``directory``."""
    candidates = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == name]
    return [found for pid in candidates if (found := serving(pid, name=name, directory=directory)) is not None]


def end(process: psutil.Process, signals: Iterable[tuple[signal.Signals, float]]) -> None:
    """Send the signals one after another, each with its seconds of patience, until the process is gone."""
    for signum, patience_s in signals:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signum)
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(timeout=patience_s)
            return
    message = f"Process {process.pid} does not end."
    raise CannotStart(message, f"Look at it with: ps -fp {process.pid}")


def end_child(child: subprocess.Popen[bytes], signals: Iterable[tuple[signal.Signals, float]]) -> int:
    """Like ``end`` for a child of ours, which is also reaped; returns its exit status."""
    for signum, patience_s in signals:
        if child.poll() is None:
            child.send_signal(signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout=patience_s)
    message = f"Process {child.pid} does not end."
    raise CannotStart(message, f"Look at it with: ps -fp {child.pid}")


def kill_tree(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child and everything below it at once, as a power cut or the OOM killer would."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(child.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    child.wait(timeout=10)


def tree_bytes(pid: int) -> int:
    """Return the resident memory of a process and all below it; shared pages count once where the system can tell."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
    return total


def tail(path: Path, size_bytes: int = 2000) -> str:
    """Return the last whole lines of a log file as text, for error messages."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            cut = max(0, log.tell() - size_bytes)
            log.seek(cut)
            text = log.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return text.partition("\n")[2] or text if cut else text


class Deadline:
    """A point in time to poll against; ``passed`` sleeps one poll interval unless the time is over."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def passed(self) -> bool:
        """Sleep briefly and return False, or return True at once when the time is over."""
        if time.monotonic() >= self._at:
            return True
        time.sleep(POLL_S)
        return False
