"""One look into a job's log for all watchers of this process that want the same lines at the same moment.

A wake reaches every watcher of a job in one turn of the loop; without this each of them would ask the database.
"""

import asyncio
from typing import TYPE_CHECKING

from services.kit.jobs.job import JobEvent
from services.kit.jobs.store import Transactions

if TYPE_CHECKING:
    from services.kit.jobs.queue import JobQueue

BATCH = 200

_Read = asyncio.Task[tuple[JobEvent, ...]]


class SharedReads:
    """The reads of one queue that have not begun yet."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Read] = {}

    async def events(self, queue: "JobQueue", db: Transactions, job_id: str, after: int) -> tuple[JobEvent, ...]:
        """Return the next events after the number, at most `BATCH`, read after this call was made.

        Raises JobNotFound when there is none because the job is gone, and what `JobQueue.events` raises.
        """
        key = (job_id, after)
        read = self._open.get(key)
        if read is None:
            read = asyncio.create_task(self._read(queue, db, key), name="job log")
            # Its watchers may all have left by the time it fails.
            read.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._open[key] = read
        # One watcher that leaves must not end the read of the others.
        return await asyncio.shield(read)

    async def _read(self, queue: "JobQueue", db: Transactions, key: tuple[str, int]) -> tuple[JobEvent, ...]:
        # Whoever was woken in the same turn joins; whoever comes later could miss what woke it, and reads anew.
        await asyncio.sleep(0)
        del self._open[key]
        job_id, after = key
        async with db.transaction() as tx:
            events = await queue.events(tx, job_id, after, most=BATCH)
            if not events:
                await queue.get(tx, job_id)
        return events
