"""Dead letters as an administrator handles them: listed, read, put back for a price of their own, dropped."""

import logging
from collections.abc import Sequence

from services.composer.storage import subject
from services.composer.usecases.charge import FINAL_REFUSALS, Charge
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import RemoteError
from services.kit.jobs.dead import DeadLetters
from services.kit.jobs.job import Attempt, Job
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.states import State

_log = logging.getLogger(__name__)


class DeadJobs:
    """What an administrator can do with the dead letters of all users."""

    def __init__(self, *, db: Database, queue: JobQueue, charge: Charge) -> None:
        self._db = db
        self._queue = queue
        self._charge = charge
        self._letters = DeadLetters(queue)

    async def page(self, *, kind: str, page_size: int, page_token: str) -> tuple[Sequence[Job], str]:
        """Return a page of dead letters, the newest first, and the token of the next page or an empty one."""
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = await self._letters.page(tx, kind=kind, before=before, most=size + 1)
        return found[:size], encode_token(found[size - 1].job_id) if len(found) > size else ""

    async def get(self, job_id: str) -> tuple[Job, Sequence[Attempt]]:
        """Return a dead letter with every attempt at it; raises JobNotFound and JobNotDead."""
        async with self._db.transaction() as tx:
            return await self._letters.read(tx, job_id)

    async def requeue(self, operator_id: str, *, request_id: str, job_id: str) -> Job:
        """Return the job, queued again with its price held anew; a repeat of the request holds nothing more.

        Raises JobNotFound, JobNotDead, and what Wallet says when the price cannot be held, also to each repeat: then
        the job is among the dead letters as before. When Wallet does not answer, the job stays pending and the sweeper
        asks again.
        """
        async with self._db.transaction() as tx:
            job, fresh = await self._letters.revive(tx, job_id, request_id)
            if fresh:
                await subject.settle_state(tx, job, self._queue.clock())
        if fresh:
            _log.info("a dead letter was put back", extra={"job_id": job_id, "operator_id": operator_id})
            await self._queue.push(job)
        if job.state is State.PENDING:
            return (await self._charge.go_on(job)).job
        if job.state is State.FAILED and job.start_time is None and job.error_reason in FINAL_REFUSALS:
            raise RemoteError(job.error_reason, job.error_message, **job.error_metadata)
        return job

    async def drop(self, operator_id: str, job_id: str) -> Job:
        """Return the failed job, no dead letter any more; also to a repeat. Raises JobNotFound, JobNotDead."""
        async with self._db.transaction() as tx:
            job = await self._letters.drop(tx, job_id)
        _log.info("a dead letter was dropped", extra={"job_id": job_id, "operator_id": operator_id})
        return job
