"""Queries for webhooks; every one takes the open transaction first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.webhook import EventKind, PauseReason, Webhook
from services.composer.storage.tables import webhooks

_FIELDS = tuple(each.name for each in fields(Webhook))


def _webhook(row: Mapping[Any, Any]) -> Webhook:
    values = {name: row[name] for name in _FIELDS}
    values["event_kinds"] = tuple(EventKind(each) for each in values["event_kinds"])
    values["pause_reason"] = PauseReason(values["pause_reason"])
    return Webhook(**values)


async def lock_user(tx: AsyncConnection, user_id: str) -> None:
    """Make other creations of the same user wait until this transaction ends, so that the limit is exact."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"composer.webhooks:{user_id}", 0))))


async def count(tx: AsyncConnection, user_id: str) -> int:
    """Return how many webhooks the user has."""
    query = select(func.count()).select_from(webhooks).where(webhooks.c.user_id == user_id)
    return int((await tx.execute(query)).scalar_one())


async def add(tx: AsyncConnection, webhook: Webhook) -> None:
    """Write a new webhook."""
    values = {name: getattr(webhook, name) for name in _FIELDS}
    values["event_kinds"] = [each.value for each in webhook.event_kinds]
    values["pause_reason"] = webhook.pause_reason.value
    await tx.execute(insert(webhooks).values(**values))


async def find(tx: AsyncConnection, user_id: str, webhook_id: str, *, lock: bool = False) -> Webhook | None:
    """Return the user's webhook or None; with *lock* its row is kept until the transaction ends."""
    query = select(webhooks).where(webhooks.c.webhook_id == webhook_id, webhooks.c.user_id == user_id)
    if lock:
        query = query.with_for_update(key_share=True)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _webhook(row)


async def find_by_request(tx: AsyncConnection, user_id: str, request_id: str) -> Webhook | None:
    """Return what this user's request has made, or None."""
    query = select(webhooks).where(webhooks.c.user_id == user_id, webhooks.c.request_id == request_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _webhook(row)


async def page(tx: AsyncConnection, user_id: str, *, before: str, size: int) -> Sequence[Webhook]:
    """Return the user's webhooks with a smaller id than *before*, the newest first."""
    query = select(webhooks).where(webhooks.c.user_id == user_id).order_by(webhooks.c.webhook_id.desc()).limit(size)
    if before:
        query = query.where(webhooks.c.webhook_id < before)
    return [_webhook(row) for row in (await tx.execute(query)).mappings()]


async def change(tx: AsyncConnection, webhook_id: str, **values: Any) -> Webhook | None:
    """Return the webhook with new values in its columns, or None when it is gone."""
    statement = update(webhooks).where(webhooks.c.webhook_id == webhook_id).values(**values).returning(webhooks)
    row = (await tx.execute(statement)).mappings().first()
    return None if row is None else _webhook(row)


async def remove(tx: AsyncConnection, user_id: str, webhook_id: str) -> bool:
    """Remove the user's webhook with its deliveries; say whether there was one."""
    statement = delete(webhooks).where(webhooks.c.webhook_id == webhook_id, webhooks.c.user_id == user_id)
    return (await tx.execute(statement)).rowcount == 1


async def listening(tx: AsyncConnection, user_id: str, kind: EventKind) -> Sequence[str]:
    """Return the ids of the user's webhooks that are told of this kind now.

    They cannot be deleted before the transaction ends; one that is being deleted is left out and not waited for.
    """
    query = (
        select(webhooks.c.webhook_id)
        .where(
            webhooks.c.user_id == user_id,
            webhooks.c.pause_reason == PauseReason.NONE.value,
            webhooks.c.event_kinds.contains([kind.value]),
        )
        .with_for_update(read=True, key_share=True, skip_locked=True)
    )
    return [str(each) for each in (await tx.execute(query)).scalars()]
