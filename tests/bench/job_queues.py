"""The callers of the benchmark of jobs: each hands empty jobs in to one kind of queue and knows when all are done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Protocol

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.storage.tables import jobs as tables
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.wallet.usecases.credit import Credits
from tests.bench import job_workers
from tests.bench.job_workers import CHARGED, FREE, PRICE_KIND
from tests.bench.wallet import ACCOUNTS, person


@dataclass(frozen=True)
class HandedIn:
    """A job that was handed in: when its caller began, and when the queue had it for good, in ns since the epoch."""

    job_id: str
    began_ns: int
    queued_ns: int


Submit = Callable[[], Awaitable[HandedIn]]
"""Hands in one job."""


class Callers(Protocol):
    """A kind of queue as its callers see it."""

    async def charged(self) -> HandedIn:
        """Hand in a job that costs credits, where the queue knows credits."""
        ...

    async def free(self) -> HandedIn:
        """Hand in a job that costs nothing."""
        ...

    async def all_done(self) -> bool:
        """Return whether nothing that was handed in is still to be done."""
        ...


class Ours:
    """Hands jobs in as the use cases of Composer do, each for another person."""

    def __init__(self, db: Database, redis: Redis) -> None:
        """Use the database that Wallet and the jobs share here."""
        self._db = db
        self._queue = job_workers.job_queue(redis)
        self._wallet = Credits(db, now, signup_grant_credits=1)
        self._people = cycle(range(1, ACCOUNTS + 1))

    async def free(self) -> HandedIn:
        """Make and queue a job that costs nothing, in one transaction."""
        began_ns = time.time_ns()
        async with self._db.transaction() as tx:
            job = await self._create(tx, FREE, person(next(self._people)))
            job = await self._queue.enqueue(tx, job.job_id)
        return await self._push(job, began_ns)

    async def charged(self) -> HandedIn:
        """Make a job, hold its price, and only then queue it."""
        began_ns = time.time_ns()
        user_id = person(next(self._people))
        async with self._db.transaction() as tx:
            job = await self._create(tx, CHARGED, user_id)
        await self._wallet.hold(request_id=job.job_id, user_id=user_id, price_kind=PRICE_KIND)
        async with self._db.transaction() as tx:
            job = await self._queue.enqueue(tx, job.job_id)
        return await self._push(job, began_ns)

    async def all_done(self) -> bool:
        """Return whether every job has ended and every hold is settled."""
        messages = select(func.count()).select_from(tables.outbox).where(tables.outbox.c.done_time.is_(None))
        async with self._db.transaction() as tx:
            return not await self._queue.active_count(tx) and not await tx.scalar(messages)

    def close(self) -> None:
        """Close the queue."""
        self._queue.close()

    async def _create(self, tx: AsyncConnection, kind: str, user_id: str) -> Job:
        return await self._queue.create(tx, kind=kind, user_id=user_id, subject_id=new_id(), params={})

    async def _push(self, job: Job, began_ns: int) -> HandedIn:
        queued_ns = time.time_ns()
        await self._queue.push(job)
        return HandedIn(job.job_id, began_ns, queued_ns)


class Rq:
    """Hands jobs in as a program that uses RQ does; knows no credits."""

    def __init__(self, client: SyncRedis) -> None:
        """Use the Redis of the worker."""
        self._queue = job_workers.rq_queue(client)
        self._handed_in = 0

    async def free(self) -> HandedIn:
        """Queue a job."""
        self._handed_in += 1
        job_id, began_ns = new_id(), time.time_ns()
        await asyncio.to_thread(self._queue.enqueue, job_workers.empty_rq_job, job_id)
        return HandedIn(job_id, began_ns, time.time_ns())

    charged = free

    async def all_done(self) -> bool:
        """Return whether RQ lists every job among the finished ones; they stay there longer than the benchmark."""
        finished = await asyncio.to_thread(self._queue.finished_job_registry.get_job_count, cleanup=False)
        return int(finished) == self._handed_in


class Procrastinate:
    """Hands jobs in as a program that uses procrastinate does; knows no credits."""

    def __init__(self, tasks: job_workers.ProcrastinateTasks, db: Database) -> None:
        """Use the tasks of an open app; `db` is the same database."""
        self._tasks, self._db = tasks, db

    async def free(self) -> HandedIn:
        """Queue a job, in one transaction."""
        job_id, began_ns = new_id(), time.time_ns()
        await self._tasks.empty.defer_async(job_id=job_id)
        return HandedIn(job_id, began_ns, time.time_ns())

    charged = free

    async def all_done(self) -> bool:
        """Return whether its table holds no job that waits or runs."""
        rows = await self._db.prepared.fetch(
            "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        return not rows[0][0]
