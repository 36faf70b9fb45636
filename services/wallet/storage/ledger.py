"""Reading the whole ledger, in the order of its proof and never more of it than a page in memory."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.credit import AccountKind
from services.wallet.domain.ledger import Account, Entry

_PAGE_ROWS = 4_000
_NO_TIME = datetime(1, 1, 2, tzinfo=UTC)

# Both passes must see the same moment of a ledger that goes on being written. Walking the indexes
# needs no memory and gives the first rows at once; a sort of millions of rows gives neither.
_ONE_MOMENT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET LOCAL enable_hashjoin = off",
    "SET LOCAL enable_hashagg = off",
    "SET LOCAL enable_sort = off",
)

_ROWS = text("""
SELECT a.account_id, a.owner_id, a.kind, a.balance, a.version, a.last_hash,
       e.entry_id, e.version AS place, e.transfer_id, e.amount, e.balance_after, e.previous_hash, e.hash,
       CASE WHEN e.create_time >= '0001-01-02' AND e.create_time < '9999-12-31' THEN e.create_time END AS create_time
FROM wallet.accounts AS a LEFT JOIN wallet.entries AS e ON e.account_id = a.account_id
ORDER BY a.account_id, e.version
""")

_HOMELESS = text("""
SELECT e.entry_id, e.account_id, e.version FROM wallet.entries AS e
WHERE NOT EXISTS (SELECT FROM wallet.accounts AS a WHERE a.account_id = e.account_id)
ORDER BY e.account_id, e.version LIMIT 1
""")

_TOTALS = text("""
SELECT transfer_id, lines, total, t.transfer_id IS NOT NULL AS known
FROM (SELECT transfer_id, count(*) AS lines, sum(amount) AS total FROM wallet.entries GROUP BY transfer_id) AS e
LEFT JOIN wallet.transfers AS t USING (transfer_id)
ORDER BY transfer_id
""")

_EMPTY_TRANSFER = text("""
SELECT t.transfer_id FROM wallet.transfers AS t
WHERE NOT EXISTS (SELECT FROM wallet.entries AS e WHERE e.transfer_id = t.transfer_id)
ORDER BY t.transfer_id LIMIT 1
""")


@dataclass(frozen=True)
class Total:
    """What the entries of one transfer add up to, and whether the transfer itself is there."""

    transfer_id: str
    lines: int
    total: int
    known: bool


async def fix_moment(tx: AsyncConnection) -> None:
    """Let everything that this fresh transaction reads be of one moment; it cannot write."""
    for statement in _ONE_MOMENT:
        await tx.execute(text(statement))


async def count_entries(tx: AsyncConnection) -> int:
    """Return the number of entries in the ledger."""
    return int((await tx.execute(text("SELECT count(*) FROM wallet.entries"))).scalar_one())


async def accounts_with_entries(tx: AsyncConnection) -> AsyncIterator[tuple[Account, Entry | None]]:
    """Yield every account with each of its entries, the oldest first; with None when it has no entry."""
    async with tx.stream(_ROWS, execution_options={"yield_per": _PAGE_ROWS}) as rows:
        async for row in rows:
            account_id = str(row.account_id)
            account = Account(
                account_id, str(row.owner_id), AccountKind(row.kind), row.balance, row.version, bytes(row.last_hash)
            )
            if row.entry_id is None:
                yield account, None
                continue
            yield (
                account,
                Entry(
                    entry_id=str(row.entry_id),
                    account_id=account_id,
                    version=row.place,
                    transfer_id=str(row.transfer_id),
                    amount=row.amount,
                    balance_after=row.balance_after,
                    # A time that no clock of ours can show hashes to nothing that was ever written.
                    create_time=row.create_time or _NO_TIME,
                    previous_hash=bytes(row.previous_hash),
                    hash=bytes(row.hash),
                ),
            )


async def homeless_entry(tx: AsyncConnection) -> tuple[str, str, int] | None:
    """Return entry, account and version of the first entry whose account does not exist, None when there is none."""
    row = (await tx.execute(_HOMELESS)).first()
    return None if row is None else (str(row.entry_id), str(row.account_id), row.version)


async def totals(tx: AsyncConnection) -> AsyncIterator[Total]:
    """Yield what the entries of each transfer add up to."""
    async with tx.stream(_TOTALS, execution_options={"yield_per": _PAGE_ROWS}) as rows:
        async for row in rows:
            yield Total(str(row.transfer_id), row.lines, int(row.total), row.known)


async def empty_transfer(tx: AsyncConnection) -> str | None:
    """Return the first transfer without entries, None when there is none."""
    row = (await tx.execute(_EMPTY_TRANSFER)).first()
    return None if row is None else str(row.transfer_id)


async def first_entry_of(tx: AsyncConnection, transfer_id: str) -> tuple[str, str, int]:
    """Return entry, account and version of one entry of the transfer."""
    query = text(
        "SELECT entry_id, account_id, version FROM wallet.entries WHERE transfer_id = CAST(:transfer_id AS uuid)"
        " ORDER BY entry_id LIMIT 1"
    )
    row = (await tx.execute(query, {"transfer_id": transfer_id})).one()
    return str(row.entry_id), str(row.account_id), row.version
