"""Named queries of notices and of who wishes to hear of what."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.notification import Kind, Notice, Preferences
from services.auth.storage.tables import notification_preferences as preferences
from services.auth.storage.tables import notifications


async def add(tx: AsyncConnection, user_id: str, notice: Notice, *, most: int, shown: bool = True) -> bool:
    """Write a notice and forget the oldest beyond `most`; False when its subject was told of before."""
    statement = (
        insert(notifications)
        .values(
            notification_id=notice.notification_id,
            user_id=user_id,
            kind=notice.kind.value,
            facts=dict(notice.facts),
            subject_id=notice.subject_id or None,
            shown=shown,
            create_time=notice.create_time,
        )
        .on_conflict_do_nothing(index_elements=["user_id", "kind", "subject_id"])
        .returning(notifications.c.notification_id)
    )
    if (await tx.execute(statement)).first() is None:
        return False
    mine = select(notifications.c.notification_id).where(notifications.c.user_id == user_id)
    oldest = mine.order_by(notifications.c.notification_id.desc()).offset(most)
    await tx.execute(delete(notifications).where(notifications.c.notification_id.in_(oldest)))
    return True


async def page(
    tx: AsyncConnection, user_id: str, *, before: str = "", most: int, unread_only: bool = False
) -> list[Notice]:
    """Return a person's notices with ids below `before` ("" for all), the newest first."""
    statement = select(notifications).where(notifications.c.user_id == user_id, notifications.c.shown)
    if before:
        statement = statement.where(notifications.c.notification_id < before)
    if unread_only:
        statement = statement.where(notifications.c.read_time.is_(None))
    rows = await tx.execute(statement.order_by(notifications.c.notification_id.desc()).limit(most))
    return [
        Notice(
            row.notification_id,
            Kind(row.kind),
            row.facts,
            row.create_time,
            row.subject_id or "",
            row.read_time is not None,
        )
        for row in rows
    ]


async def count_unread(tx: AsyncConnection, user_id: str) -> int:
    """Return how many notices a person has not read."""
    statement = select(func.count()).where(
        notifications.c.user_id == user_id, notifications.c.shown, notifications.c.read_time.is_(None)
    )
    return int((await tx.execute(statement)).scalar() or 0)


async def exists(tx: AsyncConnection, user_id: str, notification_id: str) -> bool:
    """Return whether a person has a notice."""
    statement = select(notifications.c.notification_id).where(
        notifications.c.user_id == user_id,
        notifications.c.notification_id == notification_id,
        notifications.c.shown,
    )
    return (await tx.execute(statement)).first() is not None


async def read(tx: AsyncConnection, user_id: str, *, notification_id: str = "", at: datetime) -> int:
    """Note that a person read one notice, or all; return how many were unread."""
    statement = update(notifications).where(
        notifications.c.user_id == user_id, notifications.c.shown, notifications.c.read_time.is_(None)
    )
    if notification_id:
        statement = statement.where(notifications.c.notification_id == notification_id)
    return (await tx.execute(statement.values(read_time=at))).rowcount


async def preferences_of(tx: AsyncConnection, user_id: str) -> Preferences:
    """Return by which ways a person hears of songs."""
    row = (await tx.execute(select(preferences).where(preferences.c.user_id == user_id))).first()
    return Preferences() if row is None else Preferences(row.songs_in_inbox, row.songs_by_mail)


async def set_preferences(tx: AsyncConnection, user_id: str, *, at: datetime, **wished: Any) -> None:
    """Change by which ways a person hears of songs; what is not named stays."""
    statement = insert(preferences).values(user_id=user_id, create_time=at, update_time=at, **wished)
    await tx.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_={**wished, "update_time": at}))


async def purge(tx: AsyncConnection, *, before: datetime) -> int:
    """Remove the notices written before then; return how many."""
    return (await tx.execute(delete(notifications).where(notifications.c.create_time < before))).rowcount
