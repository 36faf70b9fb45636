"""Processes that measure something of their own, and a watch on how much memory a process tree takes."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from services.mesh.home import Home
from services.mesh.process import tree_bytes

TIMEOUT_S = 180.0
POLL_S = 0.1
STEADY_SHARE = 0.01
STEADY_S = 1.0
SETTLE_MOST_S = 20.0
MEGABYTE = 1e6


class ChildFailed(Exception):
    """A measuring process ended without an answer; the text is the end of what it said."""


async def run_child(task: str, request: Any) -> dict[str, Any]:
    """Return the answer of one process of ``tests.bench.child``; it is gone when this returns, however it returns."""
    async with _child(task) as process:
        return await _answer(task, process, request)


async def run_watched_child(task: str, request: Any) -> tuple[dict[str, Any], int]:
    """Like ``run_child``, and return also the most memory that the process and its children took."""
    async with _child(task) as process:
        with watching(process.pid) as peak:
            answer = await _answer(task, process, request)
        return answer, peak.highest_bytes


async def _answer(task: str, process: asyncio.subprocess.Process, request: Any) -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT_S):
        answer, complaint = await process.communicate(json.dumps(request).encode() + b"\n")
    if process.returncode or not answer:
        raise ChildFailed(f"{task}: {complaint.decode(errors='replace')[-2000:]}")
    return dict(json.loads(answer.splitlines()[-1]))


@asynccontextmanager
async def idle_child(libraries: tuple[str, ...]) -> AsyncIterator[int]:
    """Run an interpreter that has imported the libraries and does nothing; yields its process id."""
    async with _child("libraries") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"libraries": libraries}).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT_S):
            if not await process.stdout.readline():
                raise ChildFailed("the libraries cannot be imported")
        yield process.pid


@asynccontextmanager
async def _child(task: str) -> AsyncIterator[asyncio.subprocess.Process]:
    # One thread of BLAS, as in the mesh: more would measure something else.
    environment = {**Home().environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.child", task),
        cwd=Path(__file__).parents[2],
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if task != "libraries" else None,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Peak:
    """The most memory that a process and all below it took at any look."""

    def __init__(self) -> None:
        self.highest_bytes = 0


@contextmanager
def watching(pid: int) -> Iterator[Peak]:
    """Look ten times a second, in a thread, how much memory the tree takes; shared pages are divided (Linux: PSS)."""
    peak, stopping = Peak(), threading.Event()

    def look() -> None:
        while not stopping.wait(POLL_S):
            peak.highest_bytes = max(peak.highest_bytes, tree_bytes(pid))

    thread = threading.Thread(target=look, name="memory watch", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stopping.set()
        thread.join()


async def settled_bytes(pid: int) -> int:
    """Return the memory of a process tree once it has hardly changed for a second, or after twenty seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + SETTLE_MOST_S
    before = await asyncio.to_thread(tree_bytes, pid)
    while True:
        await asyncio.sleep(STEADY_S)
        present = await asyncio.to_thread(tree_bytes, pid)
        if abs(present - before) <= STEADY_SHARE * before or loop.time() > until:
            return present
        before = present


def memory_kind() -> str:
    """Say how memory is counted on this machine."""
    return "PSS" if Path("/proc/self/smaps_rollup").exists() else "RSS"
