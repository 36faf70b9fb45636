"""Named queries of the price table. Versions are only ever added."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.credit import Price

# The older ones are of no use to anybody but the reader of old holds.
_NEWEST = 100

_VERSIONS = text("""
SELECT kind, amount, version, valid_from, steps FROM wallet.prices WHERE kind = :kind ORDER BY version DESC LIMIT :most
""")

_CURRENT = text("""
SELECT DISTINCT ON (kind) kind, amount, version, valid_from, steps FROM wallet.prices
WHERE valid_from <= :now ORDER BY kind, version DESC
""")

_ADD = text("""
INSERT INTO wallet.prices (kind, version, amount, valid_from, steps)
VALUES (:kind, :version, :amount, :valid_from, CAST(:steps AS jsonb))
ON CONFLICT (kind, version) DO NOTHING
""")

_HELD = text("""
SELECT p.kind, p.amount, p.version, p.valid_from, p.steps FROM wallet.holds AS h
JOIN wallet.prices AS p ON p.kind = h.price_kind AND p.version = h.price_version
WHERE h.hold_id = CAST(:hold_id AS uuid)
""")


async def versions(tx: AsyncConnection, kind: str) -> list[Price]:
    """Return the newest versions of a price, the newest first; none for an unknown kind."""
    rows = await tx.execute(_VERSIONS, {"kind": kind, "most": _NEWEST})
    return [_price(row) for row in rows]


async def current(tx: AsyncConnection, now: datetime) -> list[Price]:
    """Return the version of every price that holds at an instant, by kind."""
    rows = await tx.execute(_CURRENT, {"now": now})
    return [_price(row) for row in rows]


async def of_hold(tx: AsyncConnection, hold_id: str) -> Price | None:
    """Return the version of the price that a hold was made at; None when there is no such hold."""
    row = (await tx.execute(_HELD, {"hold_id": hold_id})).first()
    return None if row is None else _price(row)


async def add(tx: AsyncConnection, price: Price) -> bool:
    """Add a version; False when somebody else has just added the same one."""
    values = {"kind": price.kind, "version": price.version, "amount": price.amount, "valid_from": price.valid_from}
    values["steps"] = json.dumps(dict(price.steps))
    return (await tx.execute(_ADD, values)).rowcount == 1


def _price(row: Any) -> Price:
    return Price(row.kind, row.amount, row.version, row.valid_from, tuple(sorted(row.steps.items())))
