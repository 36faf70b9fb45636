"""Queries for plays; every one takes the open transaction first."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.share.storage.tables import plays, shares

_MOST_PURGED = 1000


async def heard(tx: AsyncConnection, share_id: str, listener: str, *, at: datetime, gap: timedelta) -> bool:
    """Note that somebody listens now; return False when the same one has within the gap, which changes nothing."""
    statement = insert(plays).values(share_id=share_id, listener=listener, play_time=at)
    statement = statement.on_conflict_do_update(
        index_elements=["share_id", "listener"], set_={"play_time": at}, where=plays.c.play_time <= at - gap
    )
    return (await tx.execute(statement.returning(plays.c.listener))).first() is not None


async def count(tx: AsyncConnection, share_id: str) -> int:
    """Return how often the share was played, one more than before."""
    statement = update(shares).where(shares.c.share_id == share_id).values(play_count=shares.c.play_count + 1)
    return int((await tx.execute(statement.returning(shares.c.play_count))).scalar_one())


async def purge(tx: AsyncConnection, before: datetime) -> None:
    """Forget listeners of an earlier time, a thousand at once at most."""
    old = select(plays.c.share_id, plays.c.listener).where(plays.c.play_time < before).limit(_MOST_PURGED).subquery()
    gone = (plays.c.share_id == old.c.share_id) & (plays.c.listener == old.c.listener)
    await tx.execute(delete(plays).where(gone))
