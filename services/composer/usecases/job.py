"""Jobs as their owner sees them: read, listed, watched, cancelled."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import cast

from services.composer.usecases.charge import Charge
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.jobs.errors import JobNotCancellable, JobNotFound
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.log_page import log_page
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.states import State
from services.kit.jobs.watch import watch

_Lines = AsyncGenerator[tuple[Job | None, JobEvent], None]


class Jobs:
    """Everything an owner can do with jobs."""

    def __init__(self, *, db: Database, queue: JobQueue, charge: Charge) -> None:
        self._db = db
        self._queue = queue
        self._charge = charge

    async def get(self, user_id: str, job_id: str) -> Job:
        """Return the user's job, with its place while it waits; raises JobNotFound, for other people's jobs too."""
        async with self._db.transaction() as tx:
            job = await self._queue.line.placed(tx, await self._queue.get(tx, job_id))
        if job.user_id != user_id:
            raise JobNotFound("no such job", kind="job", id=job_id)
        return job

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[Sequence[Job], str]:
        """Return one page of the user's jobs, newest first, and the token of the next page or an empty one."""
        async with self._db.transaction() as tx:
            jobs, token = await self._queue.list(tx, user_id, page_size=page_size, page_token=page_token)
            return [await self._queue.line.placed(tx, job) for job in jobs], token

    async def log(
        self, user_id: str, job_id: str, *, after: int, page_size: int, page_token: str
    ) -> tuple[Job, Sequence[JobEvent], str]:
        """Return the job, the next lines of its log after *after*, and a token when there are more lines now."""
        await self.get(user_id, job_id)
        return await log_page(self._queue, self._db, job_id, after=after, page_size=page_size, page_token=page_token)

    async def watch(self, user_id: str, job_id: str, after: int) -> _Lines:
        """Yield the job as it stands, then every line of its log after *after*, live, until the last one."""
        await self.get(user_id, job_id)
        # Closed at once when the reader goes, so that its place among the listeners is free again.
        lines = cast("_Lines", watch(self._queue, self._db, job_id, after))
        async with aclosing(lines):
            async for job, event in lines:
                yield job or (await self.get(user_id, job_id) if event.final else None), event

    async def cancel(self, user_id: str, job_id: str) -> Job:
        """Return the job, cancelled at once or told to stop; a repeat is answered alike.

        Raises JobNotCancellable when it has ended otherwise.
        """
        job = await self.get(user_id, job_id)
        if job.state is State.CANCELLED:
            return job
        try:
            async with self._db.transaction(Act.JOB_CANCEL) as tx:
                job = await self._queue.cancel(tx, job_id)
        except JobNotCancellable:
            # Its worker may have carried out an earlier cancellation since the look above.
            job = await self.get(user_id, job_id)
            if job.state is not State.CANCELLED:
                raise
            return job
        await self._queue.push(job)
        self._charge.kick()
        return job
