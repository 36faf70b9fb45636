"""The statements on the ledger of objects: announced before the bytes come, kept or dropped after."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.domain.errors import UploadIncomplete
from services.media.storage.tables import objects


async def announce(tx: AsyncConnection, key: str, *, at: datetime, delete_after: datetime) -> None:
    """Write down a key whose bytes are about to come; they go at `delete_after` unless kept."""
    await tx.execute(insert(objects).values(object_key=key, create_time=at, delete_after=delete_after))


async def keep(tx: AsyncConnection, key: str) -> None:
    """Keep the object for good; raises UploadIncomplete when it has been given up already."""
    statement = update(objects).where(objects.c.object_key == key).values(delete_after=None)
    if (await tx.execute(statement)).rowcount != 1:
        raise UploadIncomplete.at("file", "the file came too late and was given up")


async def is_kept(tx: AsyncConnection, key: str) -> bool:
    """Return whether an asset keeps the object."""
    query = select(objects.c.object_key).where(objects.c.object_key == key, objects.c.delete_after.is_(None))
    return (await tx.execute(query)).one_or_none() is not None


async def drop(tx: AsyncConnection, keys: Sequence[str], *, delete_after: datetime) -> None:
    """Let the objects go at the instant given."""
    if keys:
        statement = update(objects).where(objects.c.object_key.in_(keys)).values(delete_after=delete_after)
        await tx.execute(statement)


async def take_due(tx: AsyncConnection, at: datetime, most: int) -> Sequence[str]:
    """Return keys whose time has come, removed from the ledger; the caller sees to their bytes."""
    due = (
        select(objects.c.object_key)
        .where(objects.c.delete_after <= at)
        .order_by(objects.c.delete_after)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    statement = delete(objects).where(objects.c.object_key == due.c.object_key).returning(objects.c.object_key)
    return (await tx.execute(statement)).scalars().all()
