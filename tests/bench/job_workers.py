"""The worker processes of the benchmarks of jobs: `python -m tests.bench.job_workers ours|rq|procrastinate DB REDIS`.

A job of any does nothing but say when it began and in which process; a long one is only done in its second attempt.
Ours has the leases, heartbeats and sweeps of every service.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from procrastinate import App, PsycopgConnector
from procrastinate.tasks import Task
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from rq import Queue, SimpleWorker, get_current_job
from rq.serializers import JSONSerializer
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.storage.tables import jobs as tables
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.jobs.heart import ThreadHeart
from services.kit.jobs.job import Job
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.policy import Policy
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.run import JobRun
from services.kit.jobs.runner import Runner
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.sweeper import Sweeper
from services.kit.jobs.worker import WorkerParts, together, work
from services.kit.redis import connect
from services.wallet.usecases.credit import Credits

STARTED = "bench:started"
QUEUE, RQ_QUEUE, PROCRASTINATE_QUEUE = "bench", "bench-rq", "bench-procrastinate"
FREE, CHARGED, LONG = "free", "charged", "long"
PRICE_KIND = "lyrics"
_SETTLE = "bench.settle"
_LONG_S = 60.0

store = PostgresJobs("composer", tables)


def job_queue(redis: Redis) -> JobQueue:
    """Return the queue of empty jobs; the end of a charged one leaves a message to settle its hold."""

    async def on_end(tx: AsyncConnection, job: Job) -> None:
        if job.kind == CHARGED:
            await store.outbox.put(tx, _SETTLE, {"job_id": job.job_id}, key=job.job_id)

    policies = {kind: Policy(kind=kind, queue=QUEUE) for kind in (FREE, CHARGED, LONG)}
    return JobQueue(store, policies, RedisSignals(redis), now, on_end=on_end)


def _start(job_id: str) -> str:
    return f"{job_id} {time.time_ns()} {os.getpid()}"


@asynccontextmanager
async def _parts(database_url: str, redis_url: str) -> AsyncIterator[WorkerParts]:
    db, redis = Database(database_url), connect(redis_url)
    queue = job_queue(redis)
    wallet = Credits(db, now, signup_grant_credits=1)

    async def settle(message: dict[str, Any]) -> None:
        await wallet.settle(request_id="s" + message["job_id"], hold_id=message["job_id"], amount=None)

    async def empty(run: JobRun) -> None:
        await redis.rpush(STARTED, _start(run.job.job_id))
        async with run.finish({}):
            pass

    async def long(run: JobRun) -> None:
        await redis.rpush(STARTED, _start(run.job.job_id))
        if run.job.attempt == 1:
            await asyncio.sleep(_LONG_S)
        async with run.finish({}):
            pass

    dispatcher = Dispatcher(db, store.outbox, {_SETTLE: settle}, now)
    heart = ThreadHeart(lambda: Database(database_url, pool_size=1, max_overflow=1))
    handlers = {FREE: empty, CHARGED: empty, LONG: long}
    runner = Runner(queue, db, handlers, dispatcher=dispatcher, heart=heart)
    try:
        yield WorkerParts("composer", runner, Sweeper(runner, db), dispatcher, (QUEUE,))
    finally:
        await heart.close()
        queue.close()
        await redis.aclose()
        await db.close()


def empty_rq_job(job_id: str) -> None:
    """Be the empty job of RQ."""
    job = get_current_job()
    assert job is not None
    job.connection.rpush(STARTED, _start(job_id))


def rq_queue(client: SyncRedis) -> Queue:
    """Return the queue of plain RQ."""
    return Queue(RQ_QUEUE, connection=client, serializer=JSONSerializer)


@dataclass(frozen=True)
class ProcrastinateTasks:
    """An app of procrastinate and its only task."""

    app: App
    empty: Task[..., Any, Any]


def procrastinate_tasks(database_url: str, redis: Redis) -> ProcrastinateTasks:
    """Return an app that is still closed; its tables lie in the schema `public`."""
    app = App(connector=PsycopgConnector(conninfo=database_url))

    @app.task(name="bench.empty", queue=PROCRASTINATE_QUEUE)
    async def empty(job_id: str) -> None:
        await redis.rpush(STARTED, _start(job_id))

    return ProcrastinateTasks(app, empty)


async def _procrastinate_worker(database_url: str, redis_url: str) -> None:
    # It warns of an app that is made in the main module: its tasks would be named after that, had ours no name.
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    redis = connect(redis_url)
    tasks = procrastinate_tasks(database_url, redis)
    try:
        async with tasks.app.open_async():
            await tasks.app.run_worker_async(queues=[PROCRASTINATE_QUEUE], concurrency=1)
    finally:
        await redis.aclose()


def main() -> None:
    """Be a worker until SIGTERM."""
    role, database_url, redis_url = sys.argv[1:]
    if role == "ours":
        work((QUEUE,), together(lambda: _parts(database_url, redis_url)), redis_url)
        return
    if role == "procrastinate":
        asyncio.run(_procrastinate_worker(database_url, redis_url))
        return
    client = SyncRedis.from_url(redis_url)
    SimpleWorker([rq_queue(client)], connection=client, serializer=JSONSerializer).work(logging_level="WARNING")


if __name__ == "__main__":
    main()
