"""Empty jobs: how many one worker process does in a second, and how long one waits for its start, beside plain RQ.

Ours commits each job, its log, its lease and its end to a server that flushes to the disk, and with entries in the
ledger also its hold and its settlement, through the use cases of Wallet; RQ's SimpleWorker keeps everything in memory.
Both workers have one place, and the same Valkey.
"""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count, cycle
from pathlib import Path

from redis import Redis as SyncRedis
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.storage.tables import jobs as tables
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.kit.redis import connect
from services.mesh.valkey import Valkey
from services.wallet.usecases.credit import Credits
from tests.bench import job_workers
from tests.bench.job_workers import CHARGED, FREE, PRICE_KIND, STARTED
from tests.bench.rounds import Figures, Row, Trial, median
from tests.bench.wallet import ACCOUNTS, furnished, person

JOBS = 200
WARM = 20
CALLERS = 8
IDLE_JOBS = 20
HALF_LOAD_JOBS = 60
_IDLE_PAUSE_S = 0.05
_POLL_S = 0.01
_ANSWER_S = 120.0
_DISPATCH_P95_MS = 25.0

Submit = Callable[[], Awaitable[str]]
"""Hands in one job and returns its id."""
AllDone = Callable[[], Awaitable[bool]]
"""Returns whether nothing that was handed in is still to be done."""


async def measure(trial: Trial) -> list[Row]:
    """Return the rows; a wait is that from the call that hands a job in to the first line of its handler."""
    valkey = Valkey(trial.folder / "valkey")
    redis_url = await asyncio.to_thread(valkey.start)
    try:
        async with (
            furnished(trial.folder / "postgres") as (url, db),
            _worker("ours", url, redis_url),
            _worker("rq", url, redis_url),
        ):
            return await _measure(trial, db, redis_url)
    finally:
        await asyncio.to_thread(valkey.remove)


async def _measure(trial: Trial, db: Database, redis_url: str) -> list[Row]:
    """Measure both workers in turn."""
    redis, client = connect(redis_url), SyncRedis.from_url(redis_url)
    mine, theirs = _Ours(db, redis), _Rq(client)
    late: dict[str, list[float]] = {"ours_idle": [], "ours_half": [], "rq_idle": [], "rq_half": []}

    async def ours() -> Figures:
        charged_ms = await _through(redis, mine.charged, mine.all_done)
        ms = await _through(redis, mine.free, mine.all_done)
        return {"ms": ms, "charged_ms": charged_ms, **await waits("ours", mine.free, mine.all_done, ms)}

    async def reference() -> Figures:
        ms = await _through(redis, theirs.submit, theirs.all_done)
        return {"ms": ms, "charged_ms": ms, **await waits("rq", theirs.submit, theirs.all_done, ms)}

    async def waits(who: str, submit: Submit, all_done: AllDone, ms: float) -> Figures:
        idle = await _idle(redis, submit, all_done)
        half = await _half_load(redis, submit, all_done, every_s=2 * ms / 1e3)
        late[f"{who}_idle"] += idle
        late[f"{who}_half"] += half
        return {"idle": median(idle), "half": median(half)}

    try:
        for submit, all_done in ((mine.charged, mine.all_done), (theirs.submit, theirs.all_done)):
            await _through(redis, submit, all_done, jobs=WARM)
        series = await trial.in_turn(ours, reference)
    finally:
        mine.close()
        await redis.aclose()
        client.close()
    return _rows(series.ours, series.reference, late)


def _rows(
    ours: dict[str, tuple[float, ...]], reference: dict[str, tuple[float, ...]], late: dict[str, list[float]]
) -> list[Row]:
    """Return two rows of work and four of waiting."""
    rows = []
    for figure, key in (("empty job", "ms"), ("empty job, held and settled", "charged_ms")):
        note = f"{1e3 / median(ours[key]):.0f} jobs a second, one place; RQ {1e3 / median(reference[key]):.0f}"
        rows.append(Row("jobs", figure, "ms", "RQ SimpleWorker, in memory", ours[key], reference[key], note=note))
    for name, key, limit in (("idle", "idle", _DISPATCH_P95_MS), ("at half of its own load", "half", None)):
        figure = f"from handing in to start, {name}"
        rows.append(Row("jobs", figure, "ms", "RQ SimpleWorker", ours[key], reference[key]))
        pooled = tuple(late[f"ours_{key}"]), tuple(late[f"rq_{key}"])
        rows.append(Row("jobs", figure, "ms", "RQ SimpleWorker", *pooled, share=0.95, limit=limit))
    return rows


class _Ours:
    """Hands jobs in as the use cases of Composer do, each for another person."""

    def __init__(self, db: Database, redis: Redis) -> None:
        self._db = db
        self._queue = job_workers.job_queue(redis)
        self._wallet = Credits(db, now, signup_grant_credits=1)
        self._people = cycle(range(1, ACCOUNTS + 1))

    async def free(self) -> str:
        """Make and queue a job that costs nothing."""
        async with self._db.transaction() as tx:
            job = await self._create(tx, FREE, person(next(self._people)))
            job = await self._queue.enqueue(tx, job.job_id)
        await self._queue.push(job)
        return job.job_id

    async def charged(self) -> str:
        """Make a job, hold its price, and only then queue it."""
        user_id = person(next(self._people))
        async with self._db.transaction() as tx:
            job = await self._create(tx, CHARGED, user_id)
        await self._wallet.hold(request_id=job.job_id, user_id=user_id, price_kind=PRICE_KIND)
        async with self._db.transaction() as tx:
            job = await self._queue.enqueue(tx, job.job_id)
        await self._queue.push(job)
        return job.job_id

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


class _Rq:
    """Hands jobs in as a program that uses RQ does."""

    def __init__(self, client: SyncRedis) -> None:
        self._queue = job_workers.rq_queue(client)
        self._handed_in = 0

    async def submit(self) -> str:
        """Queue a job."""
        self._handed_in += 1
        job_id = new_id()
        await asyncio.to_thread(self._queue.enqueue, job_workers.empty_rq_job, job_id)
        return job_id

    async def all_done(self) -> bool:
        """Return whether RQ lists every job among the finished ones; they stay there longer than the benchmark."""
        finished = await asyncio.to_thread(self._queue.finished_job_registry.get_job_count, cleanup=False)
        return int(finished) == self._handed_in


async def _through(redis: Redis, submit: Submit, all_done: AllDone, *, jobs: int = JOBS) -> float:
    """Return the milliseconds a job takes from handing in to its end when many are handed in at once."""
    left = count(1)
    began = time.monotonic()

    async def caller() -> None:
        while next(left) <= jobs:
            await submit()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await _until(all_done)
    took_s = time.monotonic() - began
    await redis.delete(STARTED)
    return took_s / jobs * 1e3


async def _idle(redis: Redis, submit: Submit, all_done: AllDone) -> list[float]:
    """Return how long jobs wait that come one by one to a worker that has nothing to do, in milliseconds."""
    waited = []
    for _ in range(IDLE_JOBS):
        await asyncio.sleep(_IDLE_PAUSE_S)
        handed_in = {}
        at = time.time_ns()
        handed_in[await submit()] = at
        waited += await _waits(redis, handed_in)
        await _until(all_done)
    return waited


async def _half_load(redis: Redis, submit: Submit, all_done: AllDone, *, every_s: float) -> list[float]:
    """Return how long jobs wait that come at a steady pace, in milliseconds."""
    handed_in: dict[str, int] = {}
    loop = asyncio.get_running_loop()
    first = loop.time()

    async def one(number: int) -> None:
        await asyncio.sleep(first + number * every_s - loop.time())
        at = time.time_ns()
        handed_in[await submit()] = at

    await asyncio.gather(*(one(number) for number in range(HALF_LOAD_JOBS)))
    waited = await _waits(redis, handed_in)
    await _until(all_done)
    return waited


async def _waits(redis: Redis, handed_in: dict[str, int]) -> list[float]:
    """Return the waits of the jobs, once every one has begun."""
    begun: dict[str, int] = {}
    async with asyncio.timeout(_ANSWER_S):
        while len(begun) < len(handed_in):
            told = await redis.blpop([STARTED], timeout=1)
            if told is not None:
                job_id, at, _pid = str(told[1]).split()
                begun[job_id] = int(at)
    return [(begun[job_id] - at) / 1e6 for job_id, at in handed_in.items()]


async def _until(all_done: AllDone) -> None:
    async with asyncio.timeout(_ANSWER_S):
        while True:
            if await all_done():
                return
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _worker(role: str, database_url: str, redis_url: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.job_workers", role, database_url, redis_url),
        cwd=Path(__file__).parents[2],
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
