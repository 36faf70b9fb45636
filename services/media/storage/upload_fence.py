"""The statements on the fences that keep an attempt whose job was taken over from storing files."""

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.storage.tables import upload_fences


async def advance(tx: AsyncConnection, job_id: str, lease_token: int, at: datetime) -> bool:
    """Return whether no later attempt at the job is known; this one is the latest known then.

    The fence stays locked until the transaction ends, so that a takeover comes before it or after it and never amid.
    """
    statement = insert(upload_fences).values(job_id=job_id, lease_token=lease_token, update_time=at)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=["job_id"],
        set_={"lease_token": new.lease_token, "update_time": new.update_time},
        where=upload_fences.c.lease_token <= new.lease_token,
    )
    return (await tx.execute(statement)).rowcount == 1


async def remove_old(tx: AsyncConnection, before: datetime, most: int) -> int:
    """Return how many fences were removed of jobs that stored nothing since the instant."""
    chosen = (
        select(upload_fences.c.job_id)
        .where(upload_fences.c.update_time < before)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    statement = delete(upload_fences).where(upload_fences.c.job_id == chosen.c.job_id)
    return (await tx.execute(statement)).rowcount
