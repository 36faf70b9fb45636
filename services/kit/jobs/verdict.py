"""What becomes of a job after an attempt that did not complete it.

A failure of the job and the death of its worker are counted apart: the first uses up an attempt, the second is not
the job's fault until it has happened so often that the job must be what kills.
"""

import logging
from typing import Any

from services.kit.errors import DomainError
from services.kit.jobs.errors import JobFailed
from services.kit.jobs.job import Job, Note
from services.kit.jobs.queue import EndHook, JobQueue, failure
from services.kit.jobs.states import Event
from services.kit.jobs.store import Tx

_log = logging.getLogger(__name__)

OUT_OF_TIME = "the time for this kind of job is used up"
_GONE = "its worker is gone"


async def cancelled(queue: JobQueue, tx: Tx, job: Job, on_end: EndHook) -> Job:
    """Return the locked job, cancelled because its owner asked for it."""
    await queue.store.close_attempt(tx, job.job_id, job.lease_token, at=queue.clock(), outcome="cancelled")
    return await queue.end(tx, job, Event.CANCEL, note=Note("cancelled by its owner"), on_end=on_end)


async def given_back(queue: JobQueue, tx: Tx, job: Job) -> Job:
    """Return the locked job, queued again because its process stops; that costs no attempt."""
    await queue.store.close_attempt(tx, job.job_id, job.lease_token, at=queue.clock(), outcome="given_back")
    return await queue.requeue(tx, job, Note("given back"), attempt=job.attempt - 1)


async def failed(queue: JobQueue, tx: Tx, job: Job, on_end: EndHook, *, error: BaseException | None) -> Job:
    """Return the locked job after an attempt that raised: due again after its pause, or failed for good."""
    what = _columns(job, error)
    await _close(queue, tx, job, "failed", what)
    policy = queue.policies[job.kind]
    if isinstance(error, JobFailed):
        # The job itself says that another attempt is vain, and why: nothing for an administrator.
        return await _give_up(queue, tx, job, what, on_end, dead=False)
    if job.failures < job.max_attempts:
        pause_s = policy.pause_s(job.failures)
        _log.warning("job %s attempt %d failed", job.job_id, job.attempt, exc_info=error)
        note = Note(f"attempt {job.attempt} failed, the next one in {pause_s:.0f} s")
        return await queue.requeue(tx, job, note, pause_s=pause_s)
    _log.error("job %s failed: %s", job.job_id, what["error_reason"], exc_info=error)
    return await _give_up(queue, tx, job, what, on_end, dead=True)


async def late(queue: JobQueue, tx: Tx, job: Job, on_end: EndHook) -> Job:
    """Return the locked job, failed because its time is used up."""
    what = failure("JOB_DEADLINE_EXCEEDED", OUT_OF_TIME, {})
    await _close(queue, tx, job, "failed", what)
    return await _give_up(queue, tx, job, what, on_end, dead=True)


async def lost(queue: JobQueue, tx: Tx, job: Job, on_end: EndHook) -> Job:
    """Return the locked job whose lease ran out: queued again, cancelled if it was to be, or quarantined."""
    if job.cancel_requested:
        return await cancelled(queue, tx, job, on_end)
    kills = job.kills + 1
    what = failure("JOB_WORKER_LOST", f"the worker {job.lease_owner} died or was cut off", {})
    await _close(queue, tx, job, "killed", what)
    policy = queue.policies.get(job.kind)
    if policy is None or kills < policy.max_kills:
        _log.warning("job %s is taken from %s, whose lease ran out", job.job_id, job.lease_owner)
        return await queue.requeue(tx, job, Note(_GONE), kills=kills)
    _log.error("job %s is quarantined: %d workers died over it", job.job_id, kills)
    why = failure("JOB_QUARANTINED", f"{kills} workers died while they worked on it", {"kills": kills})
    return await _give_up(queue, tx, job, why, on_end, dead=True, kills=kills, quarantined=True)


async def _give_up(
    queue: JobQueue, tx: Tx, job: Job, what: dict[str, Any], on_end: EndHook, *, dead: bool, **values: Any
) -> Job:
    """Return the job, failed, and among the dead letters if an administrator should look at it."""
    if dead:
        values["dead_time"] = queue.clock()
    return await queue.end(tx, job, Event.FAIL, note=Note(what["error_message"]), on_end=on_end, **what, **values)


async def _close(queue: JobQueue, tx: Tx, job: Job, outcome: str, what: dict[str, Any]) -> None:
    reason, message = what["error_reason"], what["error_message"]
    await queue.store.close_attempt(
        tx, job.job_id, job.lease_token, at=queue.clock(), outcome=outcome, reason=reason, message=message
    )


def _columns(job: Job, error: BaseException | None) -> dict[str, Any]:
    """Return the columns that say what the handler raised."""
    if isinstance(error, (JobFailed, DomainError)):
        return failure(error.reason, error.message, error.metadata)
    # What went wrong inside is for the log and the administrator; the type alone gives nothing away.
    kind = type(error).__name__ if error is not None else "nothing"
    return failure("JOB_ATTEMPTS_EXHAUSTED", f"attempt {job.attempt} ended with {kind}", {"attempts": job.failures})
