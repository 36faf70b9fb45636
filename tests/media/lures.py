"""What must not be touched: a file and an address on this machine, both watched, and a record of system calls."""

import ctypes
import os
import re
import shutil
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.media.jobs import cage
from tests.media.hostile import Lure
from tests.media.recordings import sound

_IN_ACCESS, _IN_OPEN, _IN_NONBLOCK = 0x1, 0x20, 0o4000
# Its folder, its interpreter, the program that it is, ffmpeg.
_OURS = ("/cadenza-media-", sys.prefix, sys.base_prefix, "/services/media/jobs/", "imageio_ffmpeg")
# Python asks the system's name service who it is, and is not let.
_REFUSED = re.compile(r"socket\(AF_UNIX, .*= -1 EPERM ")
_NETWORK = "socket,connect,bind,listen,sendto,sendmsg,recvfrom,socketpair,accept,accept4"
_TRACED = f"{_NETWORK},open,openat,openat2,creat,execve,execveat,fork,vfork,clone,clone3"
_OPENED = re.compile(r'\b(?:open|openat|openat2|creat)\((?:AT_FDCWD, )?"([^"]*)".*= (-?\d+)')
# What a program opens that no file of anybody's is: itself, its libraries, devices.
_SYSTEM = re.compile(
    r"^(/etc/ld\.so\.(cache|preload)$|/lib|/usr/|/dev/(null|urandom|zero)$|/proc/self/|/proc/cpuinfo$|/sys/)"
)
_LEFT = re.compile(
    r"\b(socket|connect|bind|listen|sendto|sendmsg|recvfrom|socketpair|accept4?|execve|execveat|v?fork|clone)\("
)


@dataclass
class Watched:
    """The lures and who came."""

    lure: Lure
    visits: list[bytes] = field(default_factory=list)
    events: int = -1

    def touched(self) -> list[str]:
        """Return what was done to the lures so far; empty when nobody came."""
        found = [f"visit: {each!r}" for each in self.visits]
        if self.events >= 0:
            with suppress(BlockingIOError):
                found += [f"{len(os.read(self.events, 65_536))} bytes of events on the file"]
        return found


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Yield lures in a folder of their own, watched until the end."""
    folder.mkdir()
    target = folder / "lure.wav"
    target.write_bytes(sound("take.wav"))
    watch = Watched(Lure())

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(1.0)
            watch.visits.append(self.request.recv(200))

    libc = ctypes.CDLL(None)
    if sys.platform == "linux":
        watch.events = libc.inotify_init1(_IN_NONBLOCK)
        assert libc.inotify_add_watch(watch.events, os.fsencode(target), _IN_OPEN | _IN_ACCESS) > 0
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        watch.lure = Lure(str(target), f"http://127.0.0.1:{server.server_address[1]}/lure.wav")
        try:
            yield watch
        finally:
            server.shutdown()
            thread.join()
            if watch.events >= 0:
                os.close(watch.events)


@contextmanager
def traced(folder: Path) -> Iterator[list[Path]]:
    """Yield the records of every program that the cage starts inside; none where strace is not installed."""
    records: list[Path] = []
    strace = shutil.which("strace")
    if strace is None:
        yield records
        return
    folder.mkdir()
    prefix = cage._prefix

    def tracing(bars: cage.Bars, room: cage.Room | None) -> list[str]:
        records.append(folder / f"{len(records)}.strace")
        return [
            strace,
            "-f",
            "-qq",
            "-s",
            "4096",
            "-e",
            f"trace={_TRACED}",
            "-o",
            str(records[-1]),
            *prefix(bars, room),
        ]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cage, "_prefix", tracing)
        yield records


def escapes(record: Path) -> list[str]:
    """Return what a program did, once it was itself, beyond its room: files it opened, sockets, other programs."""
    lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
    started = [number for number, line in enumerate(lines) if "execve(" in line and line.endswith("= 0")]
    found = []
    # The first two are the launcher's; strace itself starts it.
    for line in lines[started[-1] + 1 :] if len(started) > 1 else []:
        opened = _OPENED.search(line)
        if opened:
            path, result = opened.groups()
            ours = any(each in path for each in _OURS)
            if int(result) >= 0 and path.startswith("/") and not ours and not _SYSTEM.match(path):
                found.append(line)
        elif "CLONE_THREAD" not in line and _LEFT.search(line) and not _REFUSED.search(line):
            found.append(line)
    return found
