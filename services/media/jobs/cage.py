"""Run a program on a file that a stranger sent: bounded time, memory, output, and no way out or to hang.

The limits are set, and the door is shut, by a small Python of its own before it becomes the program:
code between fork and exec is not safe in a process that has used gRPC. Kernel limits hold where the
platform has them; the wall clock holds everywhere.
"""

import asyncio
import contextlib
import errno
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_GRACE_S = 5.0
# POSIX.1-2024, sh: the program cannot be executed, or is not there.
_NOT_STARTED = frozenset({126, 127})
_DISK_FULL = os.strerror(errno.ENOSPC)
_MEBIBYTE = 1024 * 1024
_CHILD = find_spec("services.media.jobs.cage_child")


@dataclass(frozen=True)
class Bars:
    """What a program may use."""

    cpu_s: int = 10
    wall_s: float = 30.0
    # What it may write to; decoders of sound need tens of megabytes.
    memory_mb: int = 512
    # With everything it maps: ffmpeg alone is a binary of 170 MB, and each of its threads has a stack.
    address_space_mb: int = 2048
    # Of any one file it writes.
    file_mb: int = 32
    # Of each of its two output streams; the rest is read and thrown away.
    output_bytes: int = 64 * 1024


@dataclass(frozen=True)
class Room:
    """What a program can see: everything below `folder`, to write as well, and to read the paths named.

    Linux keeps it from everything else, from every network and from starting others (Landlock and
    seccomp); what a kernel does not have is left out.
    """

    folder: Path
    read: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a program ended; a negative code is the signal that ended it."""

    code: int
    output: bytes
    complaint: str

    @property
    def used_up(self) -> bool:
        """Whether it ran into its limit of processor time, as a file made to stall would have it."""
        return self.code in {-signal.SIGXCPU, -signal.SIGKILL}

    def check_our_side(self) -> None:
        """Raise OSError when it failed for want of a program or of room on the disk, not for its input."""
        if self.code in _NOT_STARTED or _DISK_FULL in self.complaint:
            raise OSError(self.complaint[-500:])


class TookTooLong(Exception):  # the fact; the machine may be busy, so another try is fair
    """The program had to be killed after its time by the wall clock."""


async def run(arguments: Sequence[str], bars: Bars, room: Room | None = None) -> Outcome:
    """Return how the program ended; raises TookTooLong after killing it and its children.

    Raises OSError when it cannot be started. Also cancellation kills it. Without a room it is
    bounded but sees what we see.
    """
    process = await asyncio.create_subprocess_exec(
        *_prefix(bars, room),
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Nothing of our environment, where secrets are, reaches it.
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        # A group of its own, so that killing reaches whatever it started.
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(bars.wall_s):
            output, complaint, code = await asyncio.gather(
                _read(process.stdout, bars.output_bytes), _read(process.stderr, bars.output_bytes), process.wait()
            )
    except TimeoutError as error:
        await _kill(process)
        message = f"killed after {bars.wall_s:g} s"
        raise TookTooLong(message) from error
    except BaseException:
        await _kill(process)
        raise
    return Outcome(code, output, complaint.decode("utf-8", "replace"))


def _prefix(bars: Bars, room: Room | None) -> list[str]:
    """Return the command that sets the limits, shuts the room and becomes the program named after it."""
    assert _CHILD is not None
    limits = {
        "CORE": 0,
        "CPU": bars.cpu_s,
        "FSIZE": bars.file_mb * _MEBIBYTE,
        "NOFILE": 64,
        "DATA": bars.memory_mb * _MEBIBYTE,
        "AS": bars.address_space_mb * _MEBIBYTE,
    }
    shut = {"folder": str(room.folder.resolve()), "read": [str(path) for path in room.read]} if room else None
    # -I: neither the environment nor the current folder decides what is imported; -S: it needs nothing installed.
    return [sys.executable, "-I", "-S", str(_CHILD.origin), json.dumps({"limits": limits, "room": shut})]


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """Return the beginning of the stream, after reading it to its end so that nobody blocks on it."""
    kept = bytearray()
    while piece := await stream.read(65536):
        kept += piece[: most - len(kept)]
    return bytes(kept)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group, which may outlive the program itself, and wait until the program is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
