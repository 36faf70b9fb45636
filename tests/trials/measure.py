"""`python -m tests.trials.measure`: what our side adds to a vendor's own time, and what a hundred such jobs take.

Runs the whole mesh as `cadenza up` does, with one worker process and stand-ins in this process. Times are those of the
job's row: from the lease to the end.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import click
import psutil

from services.mesh.home import Home
from services.mesh.up import RunningMesh, running_mesh
from tests.composer.vendors import KEY, WORDS, stand_in
from tests.e2e.people import Person, until
from tests.fakes.stand_in import Fault, served

if TYPE_CHECKING:
    from collections.abc import Sequence

FREE = dict.fromkeys(("GATEWAY_PORT", "EDGE_PORT", "METRICS_PORT"), "0") | dict.fromkeys(
    ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "PUBLIC_URL"), ""
)
_SONGS_EACH = 5
_TIMES = "SELECT extract(epoch FROM finish_time - start_time) FROM composer.jobs WHERE job_id = ANY($1::uuid[])"

_CHANGES = """
SELECT extract(epoch FROM min(second.create_time) - first.create_time)
FROM composer.vendor_tasks first JOIN composer.vendor_tasks second ON second.job_id = first.job_id
WHERE first.vendor = 'suno' AND second.vendor = 'minimax'
GROUP BY first.vendor_task_id ORDER BY first.vendor_task_id DESC LIMIT $1
"""


class Bench:
    """A mesh, its stand-ins, and people who order songs."""

    def __init__(self, mesh: RunningMesh, stands: dict[str, Any]) -> None:
        self.mesh = mesh
        self.stands = stands

    @property
    def worker(self) -> psutil.Process:
        """Return the worker process."""
        return psutil.Process(self.mesh.pids["worker-1"])

    async def order(self, count: int) -> list[str]:
        """Order so many songs at once and return the ids of their jobs."""
        jobs: list[str] = []
        for start in range(0, count, _SONGS_EACH):
            async with Person(self.mesh.base_url) as person:
                await person.arrive()
                wishes = {"lyrics": WORDS, "duration_s": 30}
                asked = (
                    person.call("POST", "/api/music/generate", wishes) for _ in range(min(_SONGS_EACH, count - start))
                )
                jobs += [created["job_id"] for created in await asyncio.gather(*asked)]
        return jobs

    async def count(self, jobs: Sequence[str], state: str) -> int:
        """Return how many of the jobs stand so."""
        query = "SELECT count(*) FROM composer.jobs WHERE job_id = ANY($1::uuid[]) AND state = $2"
        return int(await self._value(query, jobs, state))

    async def wait(self, jobs: Sequence[str]) -> None:
        """Return when all of them are completed."""
        await until(lambda: self.count(jobs, "completed"), lambda found: found == len(jobs), patience_s=600)

    async def seconds(self, jobs: Sequence[str]) -> list[float]:
        """Return how long each job took from its lease to its end."""
        connection = await asyncpg.connect(self._url)
        try:
            return sorted(float(row[0]) for row in await connection.fetch(_TIMES, jobs))
        finally:
            await connection.close()

    async def alone(self, times: int) -> list[float]:
        """Return the seconds of so many songs, one after the other."""
        found: list[float] = []
        for _ in range(times):
            jobs = await self.order(1)
            await self.wait(jobs)
            found += await self.seconds(jobs)
        return sorted(found)

    async def changes(self, count: int) -> list[float]:
        """Return how long after the first vendor the second one was asked, in the newest jobs; sorted."""
        connection = await asyncpg.connect(self._url)
        try:
            return sorted(float(row[0]) for row in await connection.fetch(_CHANGES, count))
        finally:
            await connection.close()

    @property
    def _url(self) -> str:
        assert self.mesh.postgres is not None
        return self.mesh.postgres.url

    async def _value(self, query: str, *values: Any) -> Any:
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval(query, *values)
        finally:
            await connection.close()


def at(values: Sequence[float], share: float) -> float:
    """Return the value below which so large a share of the sorted values lies."""
    return values[min(len(values) - 1, round(share * (len(values) - 1)))]


async def crowd(bench: Bench, jobs: int, seconds: float) -> None:
    """Let so many songs be in the making at once, and say what that takes of the worker."""
    stand = bench.stands["suno"]
    stand.seconds, stand.song_s = seconds, 11.0
    # The pace of the adapter is the vendor's limit for orders, which is not what is measured here.
    worker = bench.worker
    idle_mb, idle_threads = worker.memory_full_info().pss / 1e6, worker.num_threads()
    began = time.monotonic()
    made = await bench.order(jobs)
    await until(lambda: bench.count(made, "running"), lambda found: found == jobs, patience_s=seconds)
    took_s = time.monotonic() - began
    await asyncio.sleep(5)
    worker.cpu_percent()
    await asyncio.sleep(5)
    busy = worker.cpu_percent()
    memory = worker.memory_full_info()
    click.echo(
        f"{jobs} songs in the making in one worker process after {took_s:.1f} s: {memory.pss / 1e6:.0f} MB "
        f"(idle {idle_mb:.0f}), {worker.num_threads()} threads (idle {idle_threads}), {busy:.0f} % of a core"
    )
    await bench.wait(made)
    found = await bench.seconds(made)
    click.echo(
        f"all completed {time.monotonic() - began:.1f} s after the first was ordered; from lease to end "
        f"p50 {at(found, 0.5):.1f} s, p99 {at(found, 0.99):.1f} s, the vendor's own time {seconds:.0f} s"
    )


async def overhead(bench: Bench, times: int, song_s: float) -> None:
    """Say what is added to the vendor's own time, and what it adds that the first vendor fails."""
    suno, minimax = bench.stands["suno"], bench.stands["minimax"]
    suno.seconds = minimax.seconds = 1.0
    suno.song_s = minimax.song_s = song_s
    plain = [each - 1.0 for each in await bench.alone(times)]
    click.echo(
        f"songs of {song_s:.0f} s: beyond the vendor's own time p50 {at(plain, 0.5):.2f} s, p99 {at(plain, 0.99):.2f} s"
        f" (n={times})"
    )
    # A refusal that says nothing about the vendor's health, since a breaker that opens would skip it.
    refusal = Fault(status=200, body={"code": 400, "msg": "not this one", "data": None}, on="/api/v1/generate")
    for what, fault, own_s in (("a refusal", refusal, 0.0), ("a failed task", "GENERATE_AUDIO_FAILED", 1.0)):
        suno.fail(fault, times=times)
        found = await bench.alone(times)
        suno.faults.clear()
        added = [each - own_s for each in await bench.changes(times)]
        beyond = at(found, 0.5) - 1.0 - own_s
        click.echo(
            f"  after {what} the second vendor is asked p50 {at(added, 0.5):.2f} s, p99 {at(added, 0.99):.2f} s later "
            f"(n={len(added)}); beyond both vendors' own time p50 {beyond:.2f} s"
        )


@click.command()
@click.option("--jobs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seconds", type=float, default=60.0, show_default=True, help="the vendor's own time for the crowd")
@click.option("--times", type=click.IntRange(1), default=30, show_default=True, help="songs of each figure")
@click.option("--part", type=click.Choice(["crowd", "overhead"]), default=None)
def main(jobs: int, seconds: float, times: int, part: str | None) -> None:
    """Measure."""
    asyncio.run(_main(jobs, seconds, times, part))


async def _main(jobs: int, seconds: float, times: int, part: str | None) -> None:
    # The account that runs PostgreSQL must reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="cadenza-measure-", dir="/var/tmp"))
    try:
        async with AsyncExitStack() as stack:
            stands = {
                name: await stack.enter_async_context(served(stand_in(name, song_s=20.0)))
                for name in ("suno", "minimax")
            }
            settings = {
                "WORKERS": "1",
                "MESH_PROCESSES": "1",
                "ACTIVE_JOBS_PER_USER": "10",
                "MUSIC_PROVIDERS": "suno,minimax",
                "SUNO_URL": stands["suno"].url,
                "SUNO_KEY": KEY,
                "MINIMAX_URL": stands["minimax"].url,
                "MINIMAX_KEY": KEY,
            }
            home = Home(folder / "mesh", {**Home(folder / "mesh").environ, **FREE, **settings})
            mesh = await stack.enter_async_context(running_mesh(home))
            bench = Bench(mesh, stands)
            if part != "crowd":
                await overhead(bench, times, 30.0)
                await overhead(bench, max(4, times // 3), 180.0)
            if part != "overhead":
                await crowd(bench, jobs, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
