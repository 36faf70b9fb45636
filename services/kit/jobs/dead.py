"""The dead letters: jobs that failed for good although nobody wanted it, for an administrator to put back or drop."""

from collections.abc import Sequence
from datetime import timedelta

from services.kit.errors import DomainError
from services.kit.jobs.errors import JobNotDead
from services.kit.jobs.job import Attempt, Job, Note
from services.kit.jobs.queue import PENDING_S, JobQueue, failure
from services.kit.jobs.states import Event
from services.kit.jobs.store import Tx


class DeadLetters:
    """The dead letters of one service's jobs."""

    def __init__(self, queue: JobQueue) -> None:
        """Keep the queue whose jobs they are."""
        self._queue = queue

    async def page(self, tx: Tx, *, kind: str, before: str, most: int) -> Sequence[Job]:
        """Return dead letters with ids below `before`, the newest first; what is empty does not narrow."""
        return await self._queue.store.dead_letters(tx, kind, before, most)

    async def read(self, tx: Tx, job_id: str) -> tuple[Job, Sequence[Attempt]]:
        """Return a dead letter with every attempt at it; raises JobNotFound, and JobNotDead for any other job."""
        job = await self._queue.rows.read(tx, job_id)
        self._check(job)
        return job, await self._queue.store.attempts(tx, job_id)

    async def revive(self, tx: Tx, job_id: str, request_id: str) -> tuple[Job, bool]:
        """Return the job, pending with all its attempts before it, and whether this call did it.

        Finished steps and orders stay, so nothing is done or bought again. A repeat with the same request id changes
        nothing. The caller holds the price anew and queues the job. Raises JobNotFound and JobNotDead.
        """
        queue = self._queue
        job = await queue.rows.lock(tx, job_id)
        if request_id and job.revival_request_id == request_id:
            return job, False
        self._check(job)
        at = queue.clock()
        await queue.store.reopen_log(tx, job_id)
        revived = await queue.rows.move(
            tx,
            job,
            Event.REVIVE,
            at,
            note=Note("put back"),
            attempt=0,
            kills=0,
            dead_time=None,
            quarantined=False,
            cancel_requested=False,
            revivals=job.revivals + 1,
            revival_request_id=request_id,
            error_reason="",
            error_message="",
            error_metadata={},
            start_time=None,
            finish_time=None,
            run_after=at + timedelta(seconds=PENDING_S),
            deadline_time=at + timedelta(seconds=queue.policies[job.kind].waiting_s),
        )
        return revived, True

    async def refuse(self, tx: Tx, job: Job, error: DomainError) -> Job:
        """Return a locked pending job, among the dead letters again because of what kept it from being paid."""
        queue = self._queue
        at = queue.clock()
        why = failure(error.reason, error.message, error.metadata)
        return await queue.rows.move(tx, job, Event.FAIL, at, note=Note(error.message), dead_time=at, **why)

    async def drop(self, tx: Tx, job_id: str) -> Job:
        """Return the failed job, no dead letter any more; a repeat changes nothing. Raises JobNotFound, JobNotDead."""
        job = await self._queue.rows.lock(tx, job_id)
        if job.dead_time is None and job.state.finished:
            return job
        self._check(job)
        return await self._queue.rows.change(tx, job_id, self._queue.clock(), note=None, dead_time=None)

    def _check(self, job: Job) -> None:
        if job.dead_time is None:
            message = "the job is not among the dead letters"
            raise JobNotDead(message, job_id=job.job_id, state=job.state.value)
