"""The queue and log of webhook deliveries; every query takes the open transaction first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, exists, func, insert, literal, null, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.webhook import Claim, Delivery, DeliveryState, EventKind, Outcome, PauseReason, Verdict
from services.composer.storage.tables import webhook_deliveries as table
from services.composer.storage.tables import webhooks

_FIELDS = tuple(each.name for each in fields(Delivery))
_OPTIONAL_IDS = ("job_id", "replay_of")
_CLAIM_FIELDS = tuple(each.name for each in fields(Claim))
_IDS = ("delivery_id", "webhook_id", "event_id")
_PURGE_BATCH = 1000

_CLAIM = text("""
WITH due AS (
    SELECT waiting.delivery_id
    FROM composer.webhooks AS hook
    CROSS JOIN LATERAL (
        SELECT each.delivery_id, each.run_after
        FROM composer.webhook_deliveries AS each
        WHERE each.webhook_id = hook.webhook_id AND each.state = 'pending' AND each.run_after <= :at
        ORDER BY each.run_after, each.delivery_id
        LIMIT greatest(0, :at_once - (
            SELECT count(*) FROM composer.webhook_deliveries AS busy
            WHERE busy.webhook_id = hook.webhook_id AND busy.sending AND busy.run_after > :at
        ))
    ) AS waiting
    WHERE hook.pause_reason = ''
    ORDER BY waiting.run_after, waiting.delivery_id
    LIMIT :most
)
UPDATE composer.webhook_deliveries AS taken
SET attempts = taken.attempts + 1, sending = true, run_after = :until
FROM due, composer.webhooks AS hook
WHERE taken.delivery_id = due.delivery_id AND hook.webhook_id = taken.webhook_id AND taken.state = 'pending'
RETURNING taken.delivery_id, taken.webhook_id, taken.event_id, taken.body, taken.attempts,
    hook.url, hook.secret_sealed, hook.old_secret_sealed, hook.old_secret_expire_time
""")


def _delivery(row: Mapping[Any, Any]) -> Delivery:
    values = {name: row[name] for name in _FIELDS}
    values["event_kind"] = EventKind(values["event_kind"])
    values["state"] = DeliveryState(values["state"])
    for name in _OPTIONAL_IDS:
        values[name] = values[name] or ""
    return Delivery(**values)


async def put(tx: AsyncConnection, delivery: Delivery, *, most_waiting: int) -> Delivery:
    """Return the delivery, written: pending, or given up at once when as many as *most_waiting* are pending already."""
    waiting = (
        select(table.c.delivery_id)
        .where(table.c.webhook_id == delivery.webhook_id, table.c.state == DeliveryState.PENDING.value)
        .limit(most_waiting)
        .subquery()
    )
    full = select(func.count() >= most_waiting).select_from(waiting).scalar_subquery()
    values: dict[str, Any] = {name: getattr(delivery, name) for name in _FIELDS}
    values |= {name: values[name] or None for name in _OPTIONAL_IDS}
    values["event_kind"] = delivery.event_kind.value
    values["state"] = case((full, DeliveryState.FAILED.value), else_=DeliveryState.PENDING.value)
    values["error"] = case((full, "too many deliveries were waiting"), else_="")
    values["finish_time"] = case((full, literal(delivery.create_time)), else_=null())
    row = (await tx.execute(insert(table).values(**values).returning(table))).mappings().one()
    return _delivery(row)


async def find(tx: AsyncConnection, webhook_id: str, delivery_id: str) -> Delivery | None:
    """Return the webhook's delivery or None."""
    query = select(table).where(table.c.delivery_id == delivery_id, table.c.webhook_id == webhook_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _delivery(row)


async def find_by_request(tx: AsyncConnection, webhook_id: str, request_id: str) -> Delivery | None:
    """Return what this request has sent to the webhook, or None."""
    query = select(table).where(table.c.webhook_id == webhook_id, table.c.request_id == request_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _delivery(row)


async def page(tx: AsyncConnection, webhook_id: str, *, before: str, size: int) -> Sequence[Delivery]:
    """Return the webhook's deliveries with a smaller id than *before*, the newest first."""
    query = select(table).where(table.c.webhook_id == webhook_id).order_by(table.c.delivery_id.desc()).limit(size)
    if before:
        query = query.where(table.c.delivery_id < before)
    return [_delivery(row) for row in (await tx.execute(query)).mappings()]


async def is_due(tx: AsyncConnection, at: datetime) -> bool:
    """Say whether anything waits to be sent; one look into an index."""
    query = select(exists().where(table.c.state == DeliveryState.PENDING.value, table.c.run_after <= at))
    return bool((await tx.execute(query)).scalar_one())


async def claim(tx: AsyncConnection, at: datetime, *, until: datetime, at_once: int, most: int) -> Sequence[Claim]:
    """Return deliveries that are due, held until *until*; of one webhook at most *at_once* are held at any time.

    Senders claim one after the other, or two of them together could hold more than that.
    """
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("composer.webhook_deliveries", 0))))
    rows = await tx.execute(_CLAIM, {"at": at, "until": until, "at_once": at_once, "most": most})
    found: list[dict[str, Any]] = [
        {name: str(row[name]) if name in _IDS else row[name] for name in _CLAIM_FIELDS} for row in rows.mappings()
    ]
    return [Claim(**values) for values in found]


async def failing_since(tx: AsyncConnection, webhook_id: str) -> tuple[bool, datetime | None]:
    """Return whether the webhook is still there, its row kept until the transaction ends, and since when it fails."""
    query = select(webhooks.c.failing_since_time).where(webhooks.c.webhook_id == webhook_id)
    row = (await tx.execute(query.with_for_update(key_share=True))).first()
    return row is not None, row[0] if row else None


async def record(tx: AsyncConnection, claim: Claim, outcome: Outcome, verdict: Verdict, *, at: datetime) -> bool:
    """Write how an attempt went; False, and nothing written, when the delivery has another holder or has ended."""
    ended = verdict.state is not DeliveryState.PENDING
    statement = (
        update(table)
        .where(
            table.c.delivery_id == claim.delivery_id,
            table.c.attempts == claim.attempts,
            table.c.state == DeliveryState.PENDING.value,
        )
        .values(
            state=verdict.state.value,
            sending=False,
            run_after=verdict.run_after,
            status_code=outcome.status_code,
            error=outcome.error,
            latency_ms=outcome.latency_ms,
            finish_time=at if ended else None,
        )
    )
    if (await tx.execute(statement)).rowcount != 1:
        return False
    hook: dict[str, Any] = {"failing_since_time": verdict.failing_since_time}
    if verdict.pause_reason is not PauseReason.NONE:
        hook["pause_reason"] = case(
            # What the owner wanted stays.
            (webhooks.c.pause_reason == "", verdict.pause_reason.value),
            else_=webhooks.c.pause_reason,
        )
    changed = or_(
        webhooks.c.failing_since_time.is_distinct_from(verdict.failing_since_time),
        literal(verdict.pause_reason is not PauseReason.NONE),
    )
    await tx.execute(update(webhooks).where(webhooks.c.webhook_id == claim.webhook_id, changed).values(**hook))
    return True


async def purge(tx: AsyncConnection, before: datetime) -> int:
    """Return how many deliveries of events before the time were removed, at most a thousand."""
    old = select(table.c.delivery_id).where(table.c.create_time < before).limit(_PURGE_BATCH)
    return (await tx.execute(delete(table).where(table.c.delivery_id.in_(old)))).rowcount
