"""Worker processes of a benchmark, and the jobs that it hands to them."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.watch import watch
from tests.bench.job_workers import STARTED, job_queue

_ANSWER_S = 60.0
# A watcher has begun to listen by then.
_WATCHED_S = 0.1


class Workers:
    """The worker processes of one benchmark."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._arguments = ("-m", "tests.bench.job_workers", "ours", database_url, redis_url)
        self._running: dict[int, asyncio.subprocess.Process] = {}

    async def keep(self, count: int) -> None:
        """Start as many as are missing."""
        while len(self._running) < count:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *self._arguments, cwd=Path(__file__).parents[2]
            )
            self._running[process.pid] = process

    async def kill(self, pid: int) -> int:
        """Kill one; return the moment in nanoseconds."""
        process = self._running.pop(pid)
        at = time.time_ns()
        process.kill()
        await process.wait()
        return at

    async def end(self) -> None:
        """End them all."""
        ending = list(self._running.values())
        self._running.clear()
        for process in ending:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in ending:
            await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and kill it when it has not after ten seconds."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class Jobs:
    """Hands in jobs and hears when and where they start."""

    def __init__(self, db: Database, redis: Redis) -> None:
        self._db = db
        self._redis = redis
        self._queue = job_queue(redis)

    def close(self) -> None:
        """Close the queue."""
        self._queue.close()

    async def submit(self, kind: str) -> str:
        """Return the id of a new job."""
        async with self._db.transaction() as tx:
            job = await self._queue.create(tx, kind=kind, user_id=new_id(), subject_id=new_id(), params={})
            job = await self._queue.enqueue(tx, job.job_id)
        await self._queue.push(job)
        return job.job_id

    async def starts(self, job_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Return when in nanoseconds, and in which process, each of the jobs has begun."""
        waited = set(job_ids)
        begun: dict[str, tuple[int, int]] = {}
        async with asyncio.timeout(_ANSWER_S):
            while begun.keys() != waited:
                told = await self._redis.blpop([STARTED], timeout=1)
                job_id, at, pid = str(told[1]).split() if told else ("", "0", "0")
                # A job whose worker was ended before it wrote the end comes once more.
                if job_id in waited:
                    begun[job_id] = int(at), int(pid)
        return begun

    async def cancelled_s(self, job_id: str) -> float:
        """Cancel the job as its owner would; return the seconds until a watcher has its last event."""
        async with self._db.transaction() as tx:
            known = (await self._queue.get(tx, job_id)).last_sequence
        heard = asyncio.create_task(self._last_event(job_id, known))
        await asyncio.sleep(_WATCHED_S)
        at = time.monotonic()
        async with self._db.transaction() as tx:
            job = await self._queue.cancel(tx, job_id)
        await self._queue.push(job)
        return await heard - at

    async def _last_event(self, job_id: str, known: int) -> float:
        async with asyncio.timeout(_ANSWER_S):
            async for _ in watch(self._queue, self._db, job_id, known):
                pass
        return time.monotonic()
