"""Named queries of accounts that are to be erased."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.storage.tables import (
    identities,
    logins,
    messages,
    notification_preferences,
    notifications,
    passwords,
    profiles,
    sessions,
    users,
)

_OF_A_PERSON = (identities, passwords, profiles, notifications, notification_preferences, logins, messages)


async def set_erase_time(tx: AsyncConnection, user_id: str, erase_time: datetime | None, *, at: datetime) -> None:
    """Note when an account is to be erased, or that it stays."""
    statement = update(users).where(users.c.user_id == user_id)
    await tx.execute(statement.values(erase_time=erase_time, update_time=at))


async def next_due(tx: AsyncConnection, *, at: datetime) -> str | None:
    """Return an account that is to be erased by now, locked; None when there is none that nobody else erases."""
    statement = select(users.c.user_id).where(users.c.erase_time <= at, users.c.delete_time.is_(None))
    statement = statement.order_by(users.c.erase_time).limit(1).with_for_update(skip_locked=True)
    return (await tx.execute(statement)).scalar()


async def with_merged(tx: AsyncConnection, user_id: str) -> list[str]:
    """Return a user and all that have become it."""
    found, frontier = [user_id], [user_id]
    while frontier:
        rows = await tx.execute(select(users.c.user_id).where(users.c.merged_into.in_(frontier)))
        frontier = [each for each in rows.scalars() if each not in found]
        found += frontier
    return found


async def erase(tx: AsyncConnection, user_id: str, *, at: datetime) -> None:
    """Leave nothing of a person but the id, which other services' books name."""
    for table in _OF_A_PERSON:
        await tx.execute(delete(table).where(table.c.user_id == user_id))
    await tx.execute(update(sessions).where(sessions.c.user_id == user_id).values(address="", agent=""))
    statement = update(users).where(users.c.user_id == user_id)
    names: dict[str, Any] = {"display_name": "", "avatar_url": "", "username": None, "username_key": None}
    await tx.execute(statement.values(**names, roles=[], erase_time=None, delete_time=at, update_time=at))
