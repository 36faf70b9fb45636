"""Keeps the lease of a running job, apart from the work.

In a worker process the heart is a thread with an event loop and a connection of its own, so neither a long
computation nor a handler that blocks the process's event loop loses the lease. It stands still with the process when
that is stopped, and it stops by itself soon after the job's deadline, so a job that hangs keeps nothing.
"""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from services.kit.crash import Act
from services.kit.jobs.errors import LeaseLost
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.run import JobRun, Stop
from services.kit.jobs.store import Transactions

_log = logging.getLogger(__name__)

# How long after its deadline a job may take to be ended by its own worker.
_AFTER_DEADLINE = timedelta(seconds=10)
_LOOP_ANSWERS_S = 5.0
_HUNG_EXIT_CODE = 70


@dataclass(frozen=True)
class Rhythm:
    """How long a lease lasts and how often it is extended."""

    lease: timedelta
    every_s: float


async def beat(run: JobRun, queue: JobQueue, db: Transactions, rhythm: Rhythm) -> None:
    """Extend the run's lease until cancelled, it is lost, or the deadline is long over.

    Stops the run when the lease is lost or its owner has cancelled the job.
    """
    while queue.clock() < run.job.deadline_time + _AFTER_DEADLINE:
        await asyncio.sleep(rhythm.every_s)
        try:
            async with asyncio.timeout(rhythm.lease.total_seconds()), db.transaction(Act.LEASE_EXTEND) as tx:
                at = queue.clock()
                values = {"lease_expire_time": at + rhythm.lease}
                job = await queue.rows.change(tx, run.job.job_id, at, note=None, token=run.lease_token, **values)
        except LeaseLost:
            run.lose()
            return
        except Exception as error:  # noqa: BLE001  # nobody else can take the job while the database is away
            _log.warning("the lease of job %s was not extended: %r", run.job.job_id, error)
            continue
        if job.cancel_requested:
            run.stop(Stop.CANCELLED)


class Beating(Protocol):
    """A heart that beats for one run."""

    def cancel(self) -> object:
        """Make it stop."""
        ...


class Heart(Protocol):
    """Where leases are kept."""

    def start(self, run: JobRun, queue: JobQueue, rhythm: Rhythm) -> Beating:
        """Begin to keep the run's lease."""
        ...


class LoopHeart:
    """Beats in the event loop of the work itself; for processes whose handlers never block it."""

    def __init__(self, db: Transactions) -> None:
        """Use the pool of the work."""
        self._db = db

    def start(self, run: JobRun, queue: JobQueue, rhythm: Rhythm) -> Beating:
        """Begin to keep the run's lease in a task."""
        return asyncio.create_task(beat(run, queue, self._db, rhythm), name=f"heartbeat {run.job.job_id}")


class Pool(Transactions, Protocol):
    """A pool of connections that can be closed."""

    async def close(self) -> None:
        """Close every connection."""
        ...


class ThreadHeart:
    """Beats in a thread of its own, over connections of its own; the thread starts with the first job."""

    def __init__(self, open_db: Callable[[], Pool], leave: Callable[[int], object] = os._exit) -> None:
        """Open the connections with `open_db` in the thread; end the process by `leave` when a job hangs it."""
        self._open_db = open_db
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._db: Pool | None = None

    def start(self, run: JobRun, queue: JobQueue, rhythm: Rhythm) -> Beating:
        """Begin to keep the run's lease in the thread."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="heart", daemon=True)
            self._thread.start()
        work = self._beat(run, queue, rhythm, asyncio.get_running_loop())
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def close(self) -> None:
        """Stop the thread and close its connections."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        with contextlib.suppress(Exception):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(), loop))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(self._thread.join, 2.0)
        if not self._thread.is_alive():
            loop.close()

    async def _end(self) -> None:
        """Let the beats unwind, then close the connections; runs in the thread."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._db is not None:
            await self._db.close()

    async def _beat(self, run: JobRun, queue: JobQueue, rhythm: Rhythm, worker: asyncio.AbstractEventLoop) -> None:
        """Keep the lease; a run that is still there long after its deadline has hung the process, which then ends."""
        if self._db is None:
            self._db = self._open_db()
        await beat(run, queue, self._db, rhythm)
        if run.lost or run.finished:
            return
        answered = threading.Event()
        with contextlib.suppress(RuntimeError):
            worker.call_soon_threadsafe(answered.set)
        for _ in range(50):
            await asyncio.sleep(_LOOP_ANSWERS_S / 50)
            if answered.is_set():
                return
        _log.critical("job %s has hung its process past its deadline; the process ends", run.job.job_id)
        self._leave(_HUNG_EXIT_CODE)
