"""Named queries about the life of one balance."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.balance import Line, Position
from services.wallet.domain.credit import AccountKind, Balance, TransferKind

_NOW = text("""
SELECT coalesce(max(version) FILTER (WHERE kind = 'user'), 0)::bigint AS user_version,
       coalesce(max(version) FILTER (WHERE kind = 'user_held'), 0)::bigint AS held_version,
       coalesce(sum(balance) FILTER (WHERE kind = 'user'), 0)::bigint AS available,
       coalesce(sum(balance) FILTER (WHERE kind = 'user_held'), 0)::bigint AS held,
       max(update_time) FILTER (WHERE version > 0) AS update_time
FROM wallet.accounts WHERE owner_id = CAST(:user_id AS uuid)
""")

_THEN = text("""
SELECT coalesce(max(e.balance_after) FILTER (WHERE a.kind = 'user'), 0)::bigint AS available,
       coalesce(max(e.balance_after) FILTER (WHERE a.kind = 'user_held'), 0)::bigint AS held,
       max(e.create_time) AS update_time
FROM wallet.accounts AS a
JOIN wallet.entries AS e ON e.account_id = a.account_id
 AND e.version = CASE a.kind WHEN 'user' THEN CAST(:user_version AS bigint) ELSE CAST(:held_version AS bigint) END
WHERE a.owner_id = CAST(:user_id AS uuid) AND a.kind IN ('user', 'user_held')
""")

_LINES = text("""
SELECT a.kind AS account, e.version, partner.version AS partner, e.amount, e.balance_after,
       t.kind, t.description, t.reference_id, e.create_time
FROM wallet.accounts AS a
JOIN LATERAL (
  SELECT * FROM wallet.entries AS each
  WHERE each.account_id = a.account_id AND each.version
    > CASE a.kind WHEN 'user' THEN CAST(:user_version AS bigint) ELSE CAST(:held_version AS bigint) END
  ORDER BY each.version LIMIT :most
) AS e ON true
JOIN wallet.transfers AS t ON t.transfer_id = e.transfer_id
LEFT JOIN wallet.accounts AS b
  ON b.owner_id = a.owner_id AND b.kind = CASE a.kind WHEN 'user' THEN 'user_held' ELSE 'user' END
LEFT JOIN wallet.entries AS partner ON partner.transfer_id = e.transfer_id AND partner.account_id = b.account_id
WHERE a.owner_id = CAST(:user_id AS uuid) AND a.kind IN ('user', 'user_held')
ORDER BY a.kind, e.version
""")


async def position_now(tx: AsyncConnection, user_id: str) -> Position:
    """Return where a user's balance stands; zeros for one who never had credits."""
    row = (await tx.execute(_NOW, {"user_id": user_id})).one()
    return Position(row.user_version, row.held_version, Balance(row.available, row.held, row.update_time))


async def position_then(tx: AsyncConnection, user_id: str, *, user_version: int, held_version: int) -> Position:
    """Return where a user's balance stood when its accounts had so many lines."""
    values = {"user_id": user_id, "user_version": user_version, "held_version": held_version}
    row = (await tx.execute(_THEN, values)).one()
    return Position(user_version, held_version, Balance(row.available, row.held, row.update_time))


async def lines_after(tx: AsyncConnection, user_id: str, after: Position, *, most: int) -> list[Line]:
    """Return up to `most` lines of each account behind a place, in the order of each account."""
    values = {"user_id": user_id, "user_version": after.user_version, "held_version": after.held_version, "most": most}
    return [
        Line(
            account=AccountKind(row.account),
            version=row.version,
            partner=row.partner,
            amount=row.amount,
            balance_after=row.balance_after,
            kind=TransferKind(row.kind),
            description=row.description,
            reference_id=row.reference_id,
            create_time=row.create_time,
        )
        for row in await tx.execute(_LINES, values)
    ]
