"""Finds the jobs that nobody looks after and puts them back on their way.

Every worker runs one; they share the work by skipping rows that another one holds. Each job is
handled in a transaction of its own, so one that cannot be ended stops no other.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from services.kit.crash import Act
from services.kit.jobs import verdict
from services.kit.jobs.job import Job
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import Runner
from services.kit.jobs.store import Due, Transactions, Tx

_log = logging.getLogger(__name__)

_BATCH = 100
# How often the queues in RQ are compared with the rows, and the share whose loss is made good at once.
_LOOK_AGAIN = timedelta(seconds=3)
_SHARE_MISSED = 20
_REFILL_BATCH = 5000
_ASK_AGAIN = timedelta(seconds=10)
_PURGE_EVERY_S = 600.0

PendingHook = Callable[[Job], Awaitable[None]]


class Sweeper:
    """Sweeps the jobs of one service; `on_pending` settles a job that stayed pending for ten seconds."""

    def __init__(
        self,
        source: Runner | JobQueue,
        db: Transactions,
        on_pending: PendingHook | None = None,
        interval_s: float = 0.5,
        *,
        log_kept: timedelta | None = None,
    ) -> None:
        """Look every `interval_s`; the log of a job that ended longer ago than `log_kept` keeps its last line only."""
        self._queue = source.queue if isinstance(source, Runner) else source
        self._on_end = source.on_end
        self._dispatcher = source.dispatcher if isinstance(source, Runner) else None
        self._db = db
        self._on_pending = on_pending
        self._interval_s = interval_s
        self._looked_at: datetime | None = None
        self._log_kept = log_kept

    async def run(self) -> None:
        """Sweep for ever, also through outages; ends by cancellation."""
        loop = asyncio.get_running_loop()
        purge_at = loop.time()
        while True:
            try:
                await self.sweep()
                if loop.time() >= purge_at:
                    purge_at = loop.time() + _PURGE_EVERY_S
                    await self.purge()
            except Exception as error:  # noqa: BLE001  # the loop must outlive every fault
                _log.warning("the sweeper waits: %r", error)
            await asyncio.sleep(self._interval_s)

    async def sweep(self) -> int:
        """Return how many jobs were moved, pushed again or asked about."""
        return await self._end_or_requeue() + await self._push_again() + await self._ask_about_pending()

    async def purge(self) -> int:
        """Return of how many jobs the log was shortened because they ended long ago."""
        if self._log_kept is None:
            return 0
        shortened = 0
        while True:
            async with self._db.transaction() as tx:
                before = self._queue.clock() - self._log_kept
                batch = await self._queue.store.purge_events(tx, before, _BATCH)
            shortened += batch
            if batch < _BATCH:
                return shortened

    async def _end_or_requeue(self) -> int:
        """Deal with jobs whose lease or time has run out."""
        store, at = self._queue.store, self._queue.clock()
        moved = 0
        async with self._db.transaction() as tx:
            strays = await store.stray_ids(tx, at, _BATCH)
        for job_id in strays:
            try:
                async with self._db.transaction(Act.JOB_SWEEP) as tx:
                    job = await store.lock_stray(tx, job_id, at)
                    if job is None:
                        continue
                    after = await self._decide(tx, job, at)
            except Exception:  # noqa: BLE001  # the next job is swept all the same
                _log.exception("job %s could not be swept", job_id)
                continue
            moved += 1
            await self._queue.push(after)
            if self._dispatcher is not None:
                self._dispatcher.kick()
        return moved

    async def _decide(self, tx: Tx, job: Job, at: datetime) -> Job:
        """Return the job after what should happen to it now."""
        if job.cancel_requested:
            return await verdict.cancelled(self._queue, tx, job, self._on_end)
        if job.deadline_time < at:
            return await verdict.late(self._queue, tx, job, self._on_end)
        return await verdict.lost(self._queue, tx, job, self._on_end)

    async def _push_again(self) -> int:
        """Tell RQ again of due jobs when it has lost many: its queue is shorter than ours by a twentieth."""
        at = self._queue.clock()
        if self._looked_at is not None and self._looked_at <= at < self._looked_at + _LOOK_AGAIN:
            return 0
        self._looked_at = at
        return sum([await self._refill(queue_name) for queue_name in sorted(self._queue.line.queues)])

    async def _refill(self, queue_name: str) -> int:
        """Return how many pointers were pushed; workers that are idle look at the rows whatever is in Redis."""
        async with self._db.transaction() as tx:
            waiting = await self._queue.line.waiting(tx, queue_name)
        self._queue.line.show_length(queue_name, waiting)
        signals = self._queue.signals
        try:
            lost = waiting - await signals.pushed(queue_name) if waiting else 0
            if lost <= 0 or lost * _SHARE_MISSED < waiting:
                return 0
            return await signals.push_missing(self._queue.service, queue_name, self._due(queue_name))
        except (RedisError, OSError) as error:
            _log.warning("queue %s is not looked after, redis failed: %r", queue_name, error)
            return 0

    async def _due(self, queue_name: str) -> AsyncIterator[Sequence[Due]]:
        """Yield all due jobs of the queue in their order, a batch at a time."""
        after: Due | None = None
        while True:
            async with self._db.transaction() as tx:
                found = await self._queue.line.due(tx, queue_name, after, _REFILL_BATCH)
            if found:
                after = found[-1]
                yield found
            if len(found) < _REFILL_BATCH:
                return

    async def _ask_about_pending(self) -> int:
        """Ask the service about jobs whose creator did not get as far as queueing them."""
        if self._on_pending is None:
            return 0
        at = self._queue.clock()
        async with self._db.transaction() as tx:
            claimed = await self._queue.store.claim_pending(tx, at=at, ask_again=at + _ASK_AGAIN, most=_BATCH)
        for job in claimed:
            try:
                await self._on_pending(job)
            except Exception as error:  # noqa: BLE001  # asked again in a while, and ended by its deadline
                _log.warning("pending job %s: %r", job.job_id, error)
        return len(claimed)
