"""The smallest service with jobs: counts to a number in steps, and tells its outbox how it ended.

Run as a program it is a worker process: `python -m tests.kit.tiny_service DATABASE REDIS QUEUE`.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import Column, Integer, Table, Text, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from services.kit.clock import Clock, now
from services.kit.config import ProcessConfig, load
from services.kit.db.engine import Database, asyncpg_url
from services.kit.db.metadata import id_column, schema_metadata
from services.kit.ids import new_id
from services.kit.jobs.heart import Heart, ThreadHeart
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.policy import Policy
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import Handler, JobFailed, JobRun, Runner
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.sweeper import Sweeper
from services.kit.jobs.table import job_tables
from services.kit.jobs.turns import Level
from services.kit.jobs.worker import WorkerParts, together, work
from services.kit.redis import connect

metadata = schema_metadata("tiny")
tables = job_tables(metadata)
store = PostgresJobs("tiny", tables)
# Every time a step's work really runs it leaves a line here, outside any fence.
traces = Table("traces", metadata, id_column("trace_id", primary_key=True), id_column("job_id"), Column("word", Text))
# What the handlers write in the transaction that finishes the job.
products = Table("products", metadata, id_column("job_id", primary_key=True), Column("total", Integer))
# What the outbox delivered.
deliveries = Table(
    "deliveries", metadata, id_column("job_id", primary_key=True), Column("word", Text), Column("count", Integer)
)


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 30.0) -> None:
    """Return once the condition holds; raises TimeoutError when it does not come true."""
    async with asyncio.timeout(within_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


def create_tables(database_url: str) -> None:
    """Make the schema and its tables."""

    async def make() -> None:
        engine = create_async_engine(asyncpg_url(database_url), poolclass=NullPool)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA tiny"))
            await connection.run_sync(metadata.create_all)
        await engine.dispose()

    with asyncio.Runner() as runner:
        runner.run(make())


async def on_end(tx: AsyncConnection, job: Job) -> None:
    """Write what must reach another service because the job ended."""
    await store.outbox.put(tx, "ended", {"job_id": job.job_id, "state": job.state.value}, key=job.job_id)


class TinyService:
    """The service's queue with what tests ask of it."""

    def __init__(self, db: Database, redis: Redis, clock: Clock, *, queue_name: str) -> None:
        self.db = db
        self.clock = clock
        self.queue_name = queue_name
        policies = {
            "count": Policy(kind="count", queue=queue_name, max_attempts=3, backoff_s=2.0, deadline_s=60.0),
            "few": Policy(kind="few", queue=f"{queue_name}-few", most_running=2),
            "once": Policy(kind="once", queue=queue_name, max_attempts=1),
        }
        self.queue = JobQueue(store, policies, RedisSignals(redis), clock, on_end=on_end)
        self.dispatcher = Dispatcher(db, store.outbox, {"ended": self.deliver}, clock)

    def runner(
        self,
        handler: Handler | None = None,
        *,
        lease_s: float = 6.0,
        heartbeat_s: float = 0.05,
        heart: Heart | None = None,
    ) -> Runner:
        """Return a runner for both kinds of job."""
        handlers = dict.fromkeys(("count", "once", "few"), handler or self.count)
        return Runner(
            self.queue,
            self.db,
            handlers,
            dispatcher=self.dispatcher,
            heart=heart,
            lease_s=lease_s,
            heartbeat_s=heartbeat_s,
        )

    async def submit(self, *, kind: str = "count", user_id: str = "", level: Level = Level.FREE, **params: Any) -> Job:
        """Return a queued job that no worker has been told of, of a new person unless one is named."""
        owner = user_id or new_id()
        async with self.db.transaction() as tx:
            job = await self.queue.create(tx, kind=kind, user_id=owner, subject_id=new_id(), params=params, level=level)
            return await self.queue.enqueue(tx, job.job_id)

    async def cancel(self, job_id: str) -> Job:
        """Cancel as the owner would."""
        async with self.db.transaction() as tx:
            job = await self.queue.cancel(tx, job_id)
        await self.queue.push(job)
        return job

    async def job(self, job_id: str) -> Job:
        """Return the job as it stands."""
        async with self.db.transaction() as tx:
            return await self.queue.get(tx, job_id)

    async def events(self, job_id: str) -> tuple[JobEvent, ...]:
        """Return the whole log."""
        async with self.db.transaction() as tx:
            return await self.queue.events(tx, job_id)

    async def trace(self, job_id: str, word: str) -> None:
        """Leave a line, whatever lease its writer has."""
        async with self.db.transaction() as tx:
            await tx.execute(insert(traces).values(trace_id=new_id(), job_id=job_id, word=word))

    async def traced(self, job_id: str) -> list[str]:
        """Return the lines of a job in the order in which they were left."""
        query = select(traces.c.word).where(traces.c.job_id == job_id).order_by(traces.c.trace_id)
        async with self.db.transaction() as tx:
            return [str(word) for word in (await tx.execute(query)).scalars()]

    async def product(self, job_id: str) -> int | None:
        """Return what the job made, if its making was committed."""
        async with self.db.transaction() as tx:
            found: int | None = await tx.scalar(select(products.c.total).where(products.c.job_id == job_id))
            return found

    async def delivered(self) -> set[str]:
        """Return the jobs whose end has been told; a second message about one is refused by its key."""
        async with self.db.transaction() as tx:
            return set((await tx.execute(select(deliveries.c.job_id))).scalars())

    async def messages(self, job_id: str) -> list[str]:
        """Return the states that the outbox was given for a job."""
        query = select(tables.outbox.c.payload).where(tables.outbox.c.key == job_id)
        async with self.db.transaction() as tx:
            return [payload["state"] for payload in (await tx.execute(query)).scalars()]

    async def deliver(self, payload: dict[str, Any]) -> None:
        """Receive a message of the outbox."""
        async with self.db.transaction() as tx:
            await tx.execute(insert(deliveries).values(job_id=payload["job_id"], word=payload["state"], count=1))

    async def forget_all(self) -> None:
        """Empty every table."""
        async with self.db.transaction() as tx:
            for table in reversed(metadata.sorted_tables):
                await tx.execute(delete(table))

    async def expire_lease(self, job_id: str) -> None:
        """Make the job look as if its worker had died a while ago."""
        jobs = tables.jobs
        async with self.db.transaction() as tx:
            past = func.now() - text("interval '1 hour'")
            await tx.execute(update(jobs).where(jobs.c.job_id == job_id).values(lease_expire_time=past))

    async def count(self, run: JobRun) -> None:
        """Count up in two steps; `params` say how long and how it goes wrong."""
        if "fail" in run.params:
            raise JobFailed(run.params["fail"], "as was asked", kind=run.job.kind)
        if run.params.get("kill"):
            await self.trace(run.job.job_id, "kills")
            os.kill(os.getpid(), signal.SIGKILL)
        # Nothing else of this event loop goes on meanwhile.
        time.sleep(run.params.get("block_s", 0.0))  # noqa: ASYNC251  # what a careless handler does
        pause_s = run.params.get("pause_s", 0.0)

        async def first() -> dict[str, Any]:
            await self.trace(run.job.job_id, "first")
            return {"total": 1}

        async def second() -> dict[str, Any]:
            await self.trace(run.job.job_id, "second begins")
            for percent in range(0, 100, 10):
                await run.progress(percent)
                await asyncio.sleep(pause_s / 10)
            return {"total": 2}

        total = (await run.step("first", (0, 40), first))["total"]
        total += (await run.step("second", (40, 100), second))["total"]
        async with run.finish({"total": total}) as tx:
            await tx.execute(insert(products).values(job_id=run.job.job_id, total=total))


@asynccontextmanager
async def parts(database_url: str, redis_url: str, queue_name: str) -> AsyncIterator[WorkerParts]:
    """Open what a worker process of this service needs, with short leases."""
    db = Database(database_url)
    redis = connect(redis_url)
    service = TinyService(db, redis, now, queue_name=queue_name)
    heart = ThreadHeart(lambda: Database(database_url, pool_size=1, max_overflow=1))
    runner = service.runner(lease_s=1.5, heartbeat_s=0.3, heart=heart)
    sweeper = Sweeper(runner, db, interval_s=0.2)
    try:
        yield WorkerParts("tiny", runner, sweeper, service.dispatcher, (queue_name,))
    finally:
        await heart.close()
        service.queue.close()
        await redis.aclose()
        await db.close()


def main() -> None:
    """Be a worker process."""
    database_url, redis_url, queue_name = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    places = load(ProcessConfig).worker_concurrency
    work([queue_name], together(lambda: parts(database_url, redis_url, queue_name)), redis_url, places=places)


if __name__ == "__main__":
    main()
