"""What follows a job in the rows of the thing that it makes, whichever kind of thing that is."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain import export as export_domain
from services.composer.domain import lyrics as lyrics_domain
from services.composer.domain import track as track_domain
from services.composer.storage import export, lyrics, track
from services.kit.jobs.job import Job


async def settle_state(tx: AsyncConnection, job: Job, now: datetime) -> None:
    """Set the state of what the job makes to the one that belongs to the job's own."""
    if job.kind == lyrics_domain.LYRICS:
        await lyrics.settle_state(tx, job.job_id, lyrics_domain.state_after(job.state), now)
    elif job.kind == export_domain.EXPORT:
        state = export_domain.state_after(job.state)
        failed = state is export_domain.ExportState.FAILED
        reason = (job.error_reason or job.state.value.upper()) if failed else ""
        await export.settle_state(tx, job.job_id, state, now, error_reason=reason)
    else:
        await track.settle_state(tx, job.job_id, track_domain.state_after(job.state), now)


async def price(tx: AsyncConnection, job: Job, cost_credits: int, remaining_credits: int, *, now: datetime) -> None:
    """Keep with what the job makes its price, and with lyrics what was left to spend; an export has none."""
    if job.kind == lyrics_domain.LYRICS:
        await lyrics.change(tx, job.subject_id, now, cost_credits=cost_credits, remaining_credits=remaining_credits)
    elif job.kind != export_domain.EXPORT:
        await track.change(tx, job.subject_id, now, cost_credits=cost_credits)


async def remove(tx: AsyncConnection, job: Job) -> None:
    """Remove what the job would have made, as if it had never been asked for."""
    if job.kind == lyrics_domain.LYRICS:
        await lyrics.remove(tx, job.subject_id)
    elif job.kind == export_domain.EXPORT:
        await export.remove(tx, job.subject_id)
    else:
        await track.remove(tx, job.subject_id)
