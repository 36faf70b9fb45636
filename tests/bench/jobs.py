"""Empty jobs: how many one worker process does in a second, and how long one waits for its start, beside two others.

Ours commits each job, its log, its lease and its end to a server that flushes to the disk, and with entries in the
ledger also its hold and its settlement, through the use cases of Wallet. RQ's SimpleWorker keeps everything in memory;
procrastinate keeps its jobs in the same PostgreSQL as ours. No one of them does two jobs at once.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

from redis import Redis as SyncRedis
from redis.asyncio import Redis

from services.kit.db.engine import Database
from services.kit.redis import connect
from services.mesh.valkey import Valkey
from tests.bench.job_queues import Callers, HandedIn, Ours, Procrastinate, Rq, Submit
from tests.bench.job_workers import STARTED, procrastinate_tasks
from tests.bench.rounds import MEDIAN, Figures, Row, Side, Trial, median
from tests.bench.wallet import furnished
from tests.bench.workers import ended

JOBS = 200
WARM = 20
CALLERS = 8
IDLE_JOBS = 20
HALF_LOAD_JOBS = 60
_IDLE_PAUSE_S = 0.05
_POLL_S = 0.01
_ANSWER_S = 120.0
_DISPATCH_P95_MS = 25.0
_LOADS = {"idle": "idle", "half": "at half of its own load"}
_OTHERS = {"rq": "RQ SimpleWorker", "procrastinate": "procrastinate, in PostgreSQL"}


async def measure(trial: Trial) -> list[Row]:
    """Return the rows; dispatch is from the moment a job is queued for good to the first line of its handler."""
    valkey = Valkey(trial.folder / "valkey")
    redis_url = await asyncio.to_thread(valkey.start)
    try:
        async with furnished(trial.folder / "postgres") as (url, db):
            return await _measure(trial, db, url, redis_url)
    finally:
        await asyncio.to_thread(valkey.remove)


async def _measure(trial: Trial, db: Database, database_url: str, redis_url: str) -> list[Row]:
    """Measure ours against each other queue in turn."""
    redis, client = connect(redis_url), SyncRedis.from_url(redis_url)
    tasks = procrastinate_tasks(database_url, redis)
    mine = Ours(db, redis)
    rows = []
    async with AsyncExitStack() as stack:
        stack.callback(client.close)
        stack.push_async_callback(redis.aclose)
        stack.callback(mine.close)
        await stack.enter_async_context(tasks.app.open_async())
        await tasks.app.schema_manager.apply_schema_async()
        callers: dict[str, Callers] = {"ours": mine, "rq": Rq(client), "procrastinate": Procrastinate(tasks, db)}
        for name, each in callers.items():
            await stack.enter_async_context(_worker(name, database_url, redis_url))
            await _through(redis, each.charged, each, jobs=WARM)
        for name, words in _OTHERS.items():
            waits = _Waits()
            series = await trial.in_turn(
                _side(redis, mine, "ours", waits),
                _side(redis, callers[name], name, waits),
            )
            rows += _work_rows(series.ours, series.reference, words) + waits.rows(name)
    return rows


def _side(redis: Redis, callers: Callers, name: str, waits: "_Waits") -> Side:
    """Return the side of one queue: work when many hand in at once, then waiting when idle and at half load."""

    async def side() -> Figures:
        charged_ms = await _through(redis, callers.charged, callers)
        ms = await _through(redis, callers.free, callers)
        waits.add(name, "idle", await _idle(redis, callers))
        waits.add(name, "half", await _half_load(redis, callers, every_s=2 * ms / 1e3))
        return {"ms": ms, "charged_ms": charged_ms}

    return side


def _work_rows(ours: dict[str, tuple[float, ...]], reference: dict[str, tuple[float, ...]], against: str) -> list[Row]:
    """Return the two rows of work."""
    rows = []
    for figure, key in (("empty job", "ms"), ("empty job, held and settled", "charged_ms")):
        note = f"{1e3 / median(ours[key]):.0f} jobs a second, one place; theirs {1e3 / median(reference[key]):.0f}"
        rows.append(Row("jobs", figure, "ms", against, ours[key], reference[key], note=note))
    return rows


class _Waits:
    """What the jobs of both sides waited, by queue, load and from where on."""

    def __init__(self) -> None:
        self._ms: dict[tuple[str, str, str], list[float]] = {}

    def add(self, name: str, load: str, started: Sequence[tuple[HandedIn, int]]) -> None:
        """Note jobs and when they began; what began before its caller knew that it was queued has not waited."""
        for job, began_ns in started:
            for since, at_ns in (("queued", job.queued_ns), ("handed in", job.began_ns)):
                waited = max(0.0, (began_ns - at_ns) / 1e6)
                self._ms.setdefault((name, load, since), []).append(waited)

    def rows(self, other: str) -> list[Row]:
        """Return the median and the 95th percentile of each kind of wait against another queue."""
        rows = []
        for load, since in (("idle", "queued"), ("half", "queued"), ("idle", "handed in")):
            ours, theirs = (tuple(self._ms[name, load, since]) for name in ("ours", other))
            for share in (MEDIAN, 0.95):
                limit = _DISPATCH_P95_MS if (load, since, share) == ("idle", "queued", 0.95) else None
                figure = f"dispatch, from {since} to started, {_LOADS[load]}"
                rows.append(Row("jobs", figure, "ms", _OTHERS[other], ours, theirs, share=share, limit=limit))
        return rows


async def _through(redis: Redis, submit: Submit, callers: Callers, *, jobs: int = JOBS) -> float:
    """Return the milliseconds a job takes from handing in to its end when many are handed in at once."""
    left = count(1)
    began = time.monotonic()

    async def caller() -> None:
        while next(left) <= jobs:
            await submit()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await _until_done(callers)
    took_s = time.monotonic() - began
    await redis.delete(STARTED)
    return took_s / jobs * 1e3


async def _idle(redis: Redis, callers: Callers) -> list[tuple[HandedIn, int]]:
    """Return jobs that came one by one to a worker with nothing to do, and when they began."""
    started = []
    for _ in range(IDLE_JOBS):
        await asyncio.sleep(_IDLE_PAUSE_S)
        started += await _begun(redis, [await callers.free()])
        await _until_done(callers)
    return started


async def _half_load(redis: Redis, callers: Callers, *, every_s: float) -> list[tuple[HandedIn, int]]:
    """Return jobs that came at a steady pace, and when they began."""
    loop = asyncio.get_running_loop()
    first = loop.time()

    async def one(number: int) -> HandedIn:
        await asyncio.sleep(first + number * every_s - loop.time())
        return await callers.free()

    started = await _begun(redis, await asyncio.gather(*(one(number) for number in range(HALF_LOAD_JOBS))))
    await _until_done(callers)
    return started


async def _begun(redis: Redis, jobs: Sequence[HandedIn]) -> list[tuple[HandedIn, int]]:
    """Return the jobs with the time of their first line in ns since the epoch, once every one has begun."""
    begun: dict[str, int] = {}
    async with asyncio.timeout(_ANSWER_S):
        while len(begun) < len(jobs):
            told = await redis.blpop([STARTED], timeout=1)
            if told is not None:
                job_id, at, _pid = str(told[1]).split()
                begun[job_id] = int(at)
    return [(job, begun[job.job_id]) for job in jobs]


async def _until_done(callers: Callers) -> None:
    async with asyncio.timeout(_ANSWER_S):
        while True:
            if await callers.all_done():
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
        await ended(process)
