"""Hundreds of jobs in real worker processes while a server dies: all are done, each once, by the same processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select

from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.outage import is_outage
from services.kit.ids import new_id
from services.kit.jobs.states import State
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.kit.tiny_service import TinyService, create_tables, products, tables, until

pytestmark = pytest.mark.timeout(400)
JOBS = 300
WORKERS, PLACES = 2, 4
PATIENCE_S = 240.0


@contextmanager
def working(
    service: TinyService, folder: Path, database: str, redis: str, *, count: int, places: int
) -> Iterator[None]:
    """Run worker processes; none of them has ended before the exit."""
    program = [sys.executable, "-m", "tests.kit.tiny_service", database, redis, service.queue_name]
    command = ["env", f"WORKER_CONCURRENCY={places}", *program]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for number in range(count):
            with (folder / f"outage-{number}.log").open("wb") as log:
                cwd = Path(__file__).parents[2]
                workers.append(subprocess.Popen(command, cwd=cwd, stdout=log, stderr=log))
        yield
        assert [each.poll() for each in workers] == [None] * count
    finally:
        for each in workers:
            each.kill()
            each.wait(10)


@asynccontextmanager
async def service_at(database_url: str, redis_url: str) -> AsyncIterator[TinyService]:
    """Yield the service at servers of our own."""
    client, db = connect(redis_url), Database(database_url)
    service = TinyService(db, client, now, queue_name=f"tiny-{new_id()}")
    try:
        yield service
        await service.forget_all()
    finally:
        service.queue.close()
        await client.aclose()
        await db.close()


async def ended(service: TinyService) -> int:
    """Return how many jobs are completed; zero while the database is away."""
    query = select(func.count()).where(tables.jobs.c.state == State.COMPLETED.value)
    try:
        async with service.db.transaction() as tx:
            return int(await tx.scalar(query) or 0)
    except Exception as error:
        if not is_outage(error):
            raise
        return 0


async def check_each_once(service: TinyService, job_ids: Sequence[str]) -> None:
    """Assert that each job was done once: one product, one whole log, one message delivered."""

    async def all_told() -> bool:
        return await ended(service) >= len(job_ids) and len(await service.delivered()) >= len(job_ids)

    await until(all_told, within_s=PATIENCE_S)
    assert await service.delivered() == set(job_ids)
    async with service.db.transaction() as tx:
        made = [tuple(row) for row in await tx.execute(select(products.c.job_id, products.c.total))]
    assert sorted(made) == sorted((job_id, 3) for job_id in job_ids)
    for job_id in job_ids:
        events = await service.events(job_id)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert [event.state for event in events if event.final] == [State.COMPLETED]
        assert await service.messages(job_id) == [State.COMPLETED.value]


async def test_the_database_is_restarted_under_load(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    """PostgreSQL is stopped at once, twice, under three hundred jobs: the same workers do each of them exactly once."""
    del redis
    server = Postgres(tmp_path / "postgres")
    url = await asyncio.to_thread(server.start)
    await asyncio.to_thread(create_tables, url)
    try:
        async with service_at(url, redis_url) as service:
            jobs = [await service.submit(pause_s=0.1) for _ in range(JOBS)]
            for job in jobs:
                await service.queue.push(job)
            with working(service, tmp_path, url, redis_url, count=WORKERS, places=PLACES):
                for share in (JOBS // 10, JOBS // 2):

                    async def reached(share: int = share) -> bool:
                        return await ended(service) >= share

                    await until(reached, within_s=PATIENCE_S)
                    await _stop_at_once(server)
                    await asyncio.to_thread(server.start)
                await check_each_once(service, [job.job_id for job in jobs])
    finally:
        await asyncio.to_thread(server.remove)


async def _stop_at_once(server: Postgres) -> None:
    """Make the server end without a word to anybody, as `pg_ctl stop -m immediate` does."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGQUIT)

    async def gone() -> bool:
        return server.crashed

    await until(gone)


async def test_the_queue_is_lost_under_load(tiny_database_url: str, tmp_path: Path) -> None:
    """Valkey is killed and comes back empty while jobs are handed in: each job whose row was committed is done once."""
    valkey = Valkey(tmp_path / "valkey")
    redis_url = await asyncio.to_thread(valkey.start)
    try:
        async with service_at(tiny_database_url, redis_url) as service:
            acknowledged: list[str] = []

            async def hand_in() -> None:
                while len(acknowledged) < JOBS:
                    job = await service.submit(pause_s=0.05)
                    acknowledged.append(job.job_id)
                    await service.queue.push(job)

            with working(service, tmp_path, tiny_database_url, redis_url, count=WORKERS, places=PLACES):
                people = asyncio.gather(*(hand_in() for _ in range(4)))
                for share in (JOBS // 4, JOBS // 2):

                    async def reached(share: int = share) -> bool:
                        return len(acknowledged) >= share

                    await until(reached, within_s=PATIENCE_S)
                    await asyncio.to_thread(valkey.kill)
                    await asyncio.sleep(1.0)
                    await asyncio.to_thread(valkey.start)
                    await _flush(redis_url)
                await people
                await check_each_once(service, acknowledged)
    finally:
        await asyncio.to_thread(valkey.remove)


async def _flush(redis_url: str) -> None:
    client = connect(redis_url)
    try:

        async def flushed() -> bool:
            try:
                return bool(await client.flushall())
            except (RedisError, OSError):
                return False

        await until(flushed)
    finally:
        await client.aclose()


async def test_a_worker_runs_as_many_as_it_has_places(tiny_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A worker process with WORKER_CONCURRENCY=3 and a backlog runs three jobs at once and never four."""
    async with service_at(tiny_database_url, redis_url) as service:
        jobs = [await service.submit(pause_s=0.5) for _ in range(12)]
        for job in jobs:
            await service.queue.push(job)
        with working(service, tmp_path, tiny_database_url, redis_url, count=1, places=3):
            await check_each_once(service, [job.job_id for job in jobs])
        done = [await service.job(job.job_id) for job in jobs]
    starts = [job.start_time for job in done if job.start_time is not None]
    spans = [(job.start_time, job.finish_time) for job in done if job.start_time and job.finish_time]
    assert len(spans) == len(jobs)
    assert max(sum(begin <= at < end for begin, end in spans) for at in starts) == 3
