"""Named queries about holds and their dates."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.credit import Hold, HoldState

_OPEN_OF = text("""
SELECT count(*) OVER () AS holds, hold_id FROM wallet.holds
WHERE user_id = CAST(:user_id AS uuid) AND state = 'held' ORDER BY hold_id LIMIT :most
""")

_DUE = text("""
SELECT hold_id FROM wallet.holds WHERE state = 'held' AND expire_time <= :now ORDER BY expire_time LIMIT :most
""")

_LOCK = text("""
SELECT hold_id, user_id, price_kind, amount, settled, state, price_version, expire_time, create_time
FROM wallet.holds WHERE hold_id = CAST(:hold_id AS uuid) FOR UPDATE
""")

_EXTEND = text("UPDATE wallet.holds SET expire_time = :expire_time WHERE hold_id = CAST(:hold_id AS uuid)")


@dataclass(frozen=True)
class Dated:
    """A hold and when it was made."""

    hold: Hold
    create_time: datetime


async def open_of(tx: AsyncConnection, user_id: str, *, most: int) -> tuple[int, list[str]]:
    """Return how many open holds a user has, and the ids of the oldest of them."""
    rows = (await tx.execute(_OPEN_OF, {"user_id": user_id, "most": most})).all()
    return (rows[0].holds if rows else 0), [str(row.hold_id) for row in rows]


async def due(tx: AsyncConnection, now: datetime, *, most: int) -> list[str]:
    """Return the ids of open holds whose date has passed, the longest overdue first."""
    return [str(each) for each in (await tx.execute(_DUE, {"now": now, "most": most})).scalars()]


async def lock(tx: AsyncConnection, hold_id: str) -> Dated | None:
    """Return a hold locked until the transaction ends, None when there is none."""
    row = (await tx.execute(_LOCK, {"hold_id": hold_id})).first()
    if row is None:
        return None
    hold = Hold(
        hold_id=str(row.hold_id),
        user_id=str(row.user_id),
        price_kind=row.price_kind,
        amount=row.amount,
        settled=row.settled,
        state=HoldState(row.state),
        price_version=row.price_version,
        expire_time=row.expire_time,
    )
    return Dated(hold, row.create_time)


async def extend(tx: AsyncConnection, hold_id: str, expire_time: datetime) -> None:
    """Move the date of a locked hold; the database refuses to move it back."""
    await tx.execute(_EXTEND, {"hold_id": hold_id, "expire_time": expire_time})
