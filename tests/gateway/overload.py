"""What becomes of a mesh that is asked for five times what it can answer: `python -m tests.gateway.overload`.

A co-located mesh of one process with its PostgreSQL and Valkey, and a load generator in a process of its own. First the
peak with 32 clients that ask as soon as they are answered; then, by a clock, five times as many requests as that over
400 connections, by clients who do not care for Retry-After; then half of the peak, to see how soon all is as before.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import click

from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.conftest import home_at
from tests.e2e.people import Person

CLIENTS, CROWD = 32, 400
PATH = "/api/v1/wallet/balance"
UNLIMITED = dict.fromkeys(("RATE_USER_PER_MINUTE", "RATE_ADDRESS_PER_MINUTE", "RATE_ANONYMOUS_PER_QUARTER"), "0")
_SLOT_S = 0.25


@dataclass(frozen=True)
class Phase:
    """What was asked and answered within some seconds."""

    seconds: float
    answers: list[tuple[float, int, float, bool]]  # moment, status, milliseconds, whether Retry-After was there

    @property
    def good(self) -> list[float]:
        """Return the milliseconds of what was accepted and answered."""
        return [took for _, status, took, _ in self.answers if status == 200]

    @property
    def goodput(self) -> float:
        """Return the good answers a second."""
        return len(self.good) / self.seconds

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of the good answers."""
        return quantiles(self.good, n=100)[-1] if len(self.good) > 1 else float("nan")

    @property
    def others(self) -> dict[int, int]:
        """Return how many answers there were of each other status; 0 is a connection that broke."""
        statuses = [status for _, status, _, _ in self.answers if status != 200]
        return {each: statuses.count(each) for each in sorted(set(statuses))}

    @property
    def untold(self) -> int:
        """Return how many refusals did not say when to come back."""
        return sum(status != 200 and not told for _, status, _, told in self.answers)

    def well_after_s(self, p99_ms: float) -> float:
        """Return after how many seconds everything was accepted and in time, to the end."""
        bad = [at for at, status, took, _ in self.answers if status != 200 or took > p99_ms]
        slots = sorted({int(at / _SLOT_S) for at in bad if sum(abs(each - at) < _SLOT_S for each in bad) > 1})
        return (slots[-1] + 1) * _SLOT_S if slots else 0.0


async def load(port: int, token: str, *, rate: float, connections: int, seconds: float) -> Phase:
    """Return what a generator process found; rate 0 asks again as soon as an answer is there."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    said = {"port": port, "request": request, "rate": rate, "connections": connections, "seconds": seconds}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.gateway.overload_load"],
        input=json.dumps(said).encode(),
        capture_output=True,
        check=True,
    )
    return Phase(seconds, [tuple(each) for each in json.loads(done.stdout)])


@asynccontextmanager
async def mesh_to_load(**settings: str) -> AsyncIterator[tuple[RunningMesh, str]]:
    """Run a mesh without limits on rate, and yield it with somebody's token."""
    root = Path(tempfile.mkdtemp(prefix="cadenza-overload-", dir="/var/tmp"))
    try:
        async with (
            running_mesh(home_at(root / "home", **UNLIMITED, **settings)) as mesh,
            Person(mesh.base_url) as person,
        ):
            await person.arrive()
            yield mesh, person.token
    finally:
        shutil.rmtree(root, ignore_errors=True)


def row(name: str, phase: Phase) -> str:
    """Return a line of the table."""
    asked = len(phase.answers) / phase.seconds
    return f"| {name} | {asked:.0f} | {phase.goodput:.0f} | {phase.p99_ms:.1f} | {phase.others} | {phase.untold} |"


async def _measure(*, times: float, seconds: float) -> bool:
    async with mesh_to_load() as (mesh, token):
        port = mesh.home.ports.gateway

        async def phase(rate: float, connections: int) -> Phase:
            return await load(port, token, rate=rate, connections=connections, seconds=seconds)

        await phase(0, CLIENTS)
        peak = await phase(0, CLIENTS)
        over = await phase(times * peak.goodput, CROWD)
        after = await phase(peak.goodput / 2, CLIENTS)
    click.echo("| | asked a second | answered 200 a second | p99 ms of these | others | without Retry-After |")
    click.echo("|---|---|---|---|---|---|")
    for name, each in (("peak", peak), (f"{times:g} times the peak", over), ("half of the peak, after", after)):
        click.echo(row(name, each))
    goodput, p99 = over.goodput / peak.goodput, over.p99_ms / peak.p99_ms
    recovery = after.well_after_s(3 * peak.p99_ms)
    click.echo(f"goodput {goodput:.0%} of the peak (90 asked), p99 {p99:.1f} times (3 asked), ", nl=False)
    click.echo(f"well again after {recovery:.2f} s (10 asked)")
    return goodput >= 0.9 and p99 <= 3 and recovery <= 10 and not over.untold


@click.command()
@click.option("--times", default=5.0, help="How many times the peak is asked.")
@click.option("--seconds", default=8.0, help="How long each phase lasts.")
def main(**options: Any) -> None:
    """Measure goodput, p99 and recovery; the status is 1 when one of them misses what is asked."""
    sys.exit(0 if asyncio.run(_measure(**options)) else 1)


if __name__ == "__main__":
    main()
