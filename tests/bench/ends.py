"""Processes that take one command a line on standard input and answer each with one line of JSON."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_S = 300.0
_LONGEST_LINE = 64 * 1024 * 1024
_OUT = sys.stdout


@dataclass(frozen=True)
class End:
    """A running process and the way to give it a command and hear its answer."""

    pid: int
    ask: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def running_end(module: str, role: str) -> AsyncIterator[End]:
    """Run ``python -m MODULE ROLE`` and kill it at the end; RuntimeError when it dies instead of answering."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, role),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LONGEST_LINE,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    async def ask(command: dict[str, Any]) -> dict[str, Any]:
        stdin.write(json.dumps(command).encode() + b"\n")
        async with asyncio.timeout(ANSWER_S):
            line = await stdout.readline()
        if not line:
            raise RuntimeError(f"the {role} of the benchmark died")
        answer: dict[str, Any] = json.loads(line)
        return answer

    try:
        yield End(process.pid, ask)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def commands() -> AsyncIterator[dict[str, Any]]:
    """Yield, inside such a process, the commands until there are no more; what is logged goes to standard error."""
    sys.stdout = sys.stderr
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield json.loads(line)


def answer(said: dict[str, Any]) -> None:
    """Answer the last command."""
    _OUT.write(json.dumps(said) + "\n")
    _OUT.flush()
