"""The one query that the kit's outbox leaves to its owner."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.storage.tables import outbox


async def mark_done(tx: AsyncConnection, topic: str, key: str, *, at: datetime) -> None:
    """Note that a message was delivered by its writer, so that no dispatcher sends it again."""
    statement = update(outbox).where(outbox.c.topic == topic, outbox.c.key == key, outbox.c.done_time.is_(None))
    await tx.execute(statement.values(done_time=at, last_error=""))
