"""One look at a job for all watchers of this process that want the same at about the same moment.

A wake reaches every watcher of a job in one turn of the loop, and without wakes each of them looks once a second:
without this module each would ask the database.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.store import Transactions

if TYPE_CHECKING:
    from services.kit.jobs.queue import JobQueue

BATCH = 200

# How long a look that nobody is in a hurry for waits for others to join it, and how old a place may be.
_GATHER_S = 0.1
_PLACE_LASTS_S = 1.0

_Read = asyncio.Task[tuple[JobEvent, ...]]


class SharedReads:
    """The reads of one queue that have not begun yet."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int, bool], _Read] = {}
        self._places: dict[tuple[str, int], asyncio.Task[Job]] = {}

    async def events(
        self, queue: "JobQueue", db: Transactions, job_id: str, after: int, *, hurry: bool = True
    ) -> tuple[JobEvent, ...]:
        """Return the next events after the number, at most `BATCH`, read after this call was made.

        Without hurry the read begins up to a tenth of a second later. Raises JobNotFound when there is none because the
        job is gone, and what `JobQueue.events` raises.
        """
        key = (job_id, after, hurry)
        read = self._open.get(key)
        if read is None:
            read = asyncio.create_task(self._read(queue, db, key), name="job log")
            read.add_done_callback(_forget)
            self._open[key] = read
        # One watcher that leaves must not end the read of the others.
        return await asyncio.shield(read)

    async def placed(self, queue: "JobQueue", db: Transactions, job_id: str, sequence: int) -> Job:
        """Return the job with its place as it was at most a second ago, but not before its event of this number.

        Raises JobNotFound.
        """
        key = (job_id, sequence)
        look = self._places.get(key)
        if look is None or (look.done() and (look.cancelled() or look.exception() is not None)):
            look = asyncio.create_task(self._look(queue, db, job_id), name="job place")
            look.add_done_callback(_forget)
            self._places[key] = look
            asyncio.get_running_loop().call_later(_PLACE_LASTS_S, self._places.pop, key, None)
        return await asyncio.shield(look)

    async def _look(self, queue: "JobQueue", db: Transactions, job_id: str) -> Job:
        async with db.transaction() as tx:
            return await queue.line.placed(tx, await queue.get(tx, job_id))

    async def _read(self, queue: "JobQueue", db: Transactions, key: tuple[str, int, bool]) -> tuple[JobEvent, ...]:
        job_id, after, hurry = key
        # Whoever was woken in the same turn joins; whoever comes later could miss what woke it, and reads anew.
        await asyncio.sleep(0 if hurry else _GATHER_S)
        del self._open[key]
        async with db.transaction() as tx:
            events = await queue.events(tx, job_id, after, most=BATCH)
            if not events:
                await queue.get(tx, job_id)
        return events


def _forget(done: asyncio.Task[Any]) -> None:
    """Take note of a failure: its watchers may all have left by then."""
    if not done.cancelled():
        done.exception()
