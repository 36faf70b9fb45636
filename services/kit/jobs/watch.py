"""Reads a job's log as it grows: the whole job first, then every event, then the end.

The log is in PostgreSQL, so any process can serve any watcher and a watcher that comes back
with the last sequence number it saw misses nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from services.kit.errors import ParamInvalid
from services.kit.jobs.forecast import Place
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.reads import BATCH
from services.kit.jobs.states import State
from services.kit.jobs.store import Transactions

_POLL_S = 1.0
# How often a watcher looks where the job stands, and how much more seldom for each job before it.
_LOOK_S = 2.0
_LOOK_LATER_S = 0.02
_LONGEST_LOOK_S = 30.0
_WAITING = frozenset({State.PENDING, State.QUEUED})


async def watch(
    queue: JobQueue, db: Transactions, job_id: str, after_sequence: int = 0
) -> AsyncIterator[tuple[Job | None, JobEvent]]:
    """Yield the job as it stands, then each event behind `after_sequence` in order, to the final one.

    The first item's event repeats the job under the sequence number that was asked for (from 0 on,
    under the one before the log's first) and is final only if nothing follows it. No connection is
    held while waiting. Raises JobNotFound, also when the job is deleted meanwhile, ParamInvalid for
    a number that the log has not reached, EventsGone for one behind which lines are missing by now,
    and what the database raises when it goes away. While the job waits, its state is repeated under the
    last sequence number when its place in the queue has changed: every two seconds at the head of the
    queue, every half minute at most far behind it.
    """
    # Listening begins before the first look, so nothing falls between the two.
    async with queue.signals.listen(job_id) as woken:
        async with db.transaction() as tx:
            job = await queue.line.placed(tx, await queue.get(tx, job_id))
            if not 0 <= after_sequence <= job.last_sequence:
                raise ParamInvalid.of("after_sequence", f"must be between 0 and {job.last_sequence}")
            events = await queue.events(tx, job_id, after_sequence, most=BATCH)
        start = events[0].sequence - 1 if events else after_sequence
        first = _snapshot(job, start)
        yield job, first
        final, last = first.final, start
        places = _Places(queue, db, job)
        while not final:
            waiting = await places.look(events, last)
            for event in events:
                last, final = event.sequence, event.final
                yield None, replace(event, place=waiting.place) if waiting and event is events[-1] else event
            if final:
                return
            if waiting and not events:
                yield waiting, _snapshot(waiting, last)
            if len(events) < BATCH:
                # Whatever is written after the read below has begun sets this again.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await woken.wait()
            hurry = woken.is_set() or len(events) == BATCH
            woken.clear()
            events = await queue.reads.events(queue, db, job_id, last, hurry=hurry)


class _Places:
    """What a watcher has been told of the job's place, and when it is time to look again."""

    def __init__(self, queue: JobQueue, db: Transactions, job: Job) -> None:
        self._queue, self._db, self._job_id = queue, db, job.job_id
        self._loop = asyncio.get_running_loop()
        self._waits = job.state in _WAITING
        self._tell(job)

    async def look(self, events: Sequence[JobEvent], last: int) -> Job | None:
        """Return the job if it waits and its place is news; raises JobNotFound when the job is gone.

        `events` are those that are just to be told, `last` is the number of the last one that was.
        """
        due = self._waits and self._loop.time() >= self._next_at
        if events:
            due = self._waits = events[-1].state in _WAITING
        if not due:
            return None
        sequence = events[-1].sequence if events else last
        job = await self._queue.reads.placed(self._queue, self._db, self._job_id, sequence)
        if job.state not in _WAITING:
            return None
        news = bool(events) or (job.place is not None and self._moved(job.place))
        self._tell(job)
        return job if news else None

    def _moved(self, place: Place) -> bool:
        """Return whether a new place differs by more than the passing of time makes out."""
        told = self._told
        if told is None or told.position != place.position:
            return True
        then, now = told.expected_start_time, place.expected_start_time
        return (then is None) != (now is None)

    def _tell(self, job: Job) -> None:
        self._told = job.place
        position = job.place.position if job.place else 0
        self._next_at = self._loop.time() + min(_LOOK_S + position * _LOOK_LATER_S, _LONGEST_LOOK_S)


def _snapshot(job: Job, sequence: int) -> JobEvent:
    """Return the job's present state in the form of an event."""
    return JobEvent(
        job_id=job.job_id,
        sequence=sequence,
        event_time=job.update_time,
        state=job.state,
        step=job.step,
        step_progress_percent=0,
        progress_percent=job.progress_percent,
        message="",
        final=job.state.finished and sequence == job.last_sequence,
        place=job.place,
    )
