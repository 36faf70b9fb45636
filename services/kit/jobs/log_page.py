"""A job's log in pages, for clients that poll: the same lines that watchers get, refused for the same reasons."""

from collections.abc import Sequence
from dataclasses import replace

from services.kit.db.paging import clamp_page_size, decode_token, encode_token
from services.kit.errors import ParamInvalid
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.store import Transactions

_USUAL = 100
_LONGEST = 500


async def log_page(
    queue: JobQueue, db: Transactions, job_id: str, *, after: int, page_size: int, page_token: str
) -> tuple[Job, Sequence[JobEvent], str]:
    """Return the job, the next lines of its log after *after*, and a token when there are more lines now.

    A token holds its place and wins over *after*. Raises JobNotFound, ParamInvalid for a token that is not of this log
    and for a number that the log has not reached, EventsGone for one behind which lines are missing by now.
    """
    values = decode_token(page_token)
    if values:
        # A place in one job's log is none in another's.
        log, *place = values
        if log != job_id or len(place) != 1 or not isinstance(place[0], int) or place[0] < 0:
            raise ParamInvalid.of("page_token", "is not one of this log")
        after = place[0]
    size = clamp_page_size(page_size, default=_USUAL, most=_LONGEST)
    async with db.transaction() as tx:
        job = await queue.line.placed(tx, await queue.get(tx, job_id))
        if after > job.last_sequence:
            raise ParamInvalid.of("after_sequence", f"must be between 0 and {job.last_sequence}")
        lines = await queue.events(tx, job_id, after, most=size + 1)
    token = encode_token(job_id, lines[size - 1].sequence) if len(lines) > size else ""
    if lines and not token and job.place is not None:
        lines = (*lines[:-1], replace(lines[-1], place=job.place))
    return job, lines[:size], token
