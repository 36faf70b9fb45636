"""The proof of the books finds whatever was changed, by whomever, and nothing where nothing was."""

import struct
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.ledger import Ledger, Proof
from tests.conftest import SettableClock

pytestmark = pytest.mark.timeout(180)

_MINE = "(SELECT account_id FROM wallet.accounts WHERE owner_id = CAST(:user AS uuid) AND kind = 'user')"
_ENTRY = f"account_id = {_MINE} AND version = 3"

_ADD_EMPTY_TRANSFER = (
    "INSERT INTO wallet.transfers SELECT gen_random_uuid(), operation, gen_random_uuid()::text, kind, user_id,"
    " input_hash, answer, description, reference_id, create_time FROM wallet.transfers"
    " WHERE user_id = CAST(:user AS uuid) LIMIT 1"
)


@pytest.fixture
async def user_id(db: Database, clock: SettableClock) -> str:
    """Return a user who was granted, held, settled and released something: five entries."""
    credits_, user_id = Credits(db, clock, signup_grant_credits=100), new_id()
    await credits_.grant_signup(request_id=user_id, user_id=user_id)
    first, second = new_id(), new_id()
    for job_id in (first, second):
        await credits_.hold(request_id=job_id, user_id=user_id, price_kind="music")
    await credits_.settle(request_id=first, hold_id=first, amount=15)
    await credits_.release(request_id=second, hold_id=second, description="")
    return user_id


async def _proof(db: Database) -> Proof:
    return await Ledger(db).verify(lambda _done, _total: None)


async def _tamper(db: Database, statement: str, **values: object) -> None:
    """Change the books as a superuser can: no trigger fires and no foreign key is checked."""
    async with db.transaction() as tx:
        await tx.execute(text("SET LOCAL session_replication_role = replica"))
        await tx.execute(text(statement), values)


@dataclass(frozen=True)
class _Field:
    """One stored field of an entry: how its bytes are read and written back."""

    name: str
    length: int

    def cast(self, place: str) -> str:
        """Return SQL that writes the bytes of parameter `place`, in hexadecimal, as they are stored."""
        raw = f"decode(:{place}, 'hex')"
        if self.name in {"previous_hash", "hash"}:
            return raw
        if self.name.endswith("_id"):
            return f"CAST(encode({raw}, 'hex') AS uuid)"
        number = f"CAST(CAST(CAST('x' || encode({raw}, 'hex') AS text) AS bit(64)) AS bigint)"
        if self.name == "create_time":
            # Stored as microseconds since 2000.
            seconds, rest = (
                f"({number} / 1000000) * INTERVAL '1 second'",
                f"({number} % 1000000) * INTERVAL '1 microsecond'",
            )
            return f"TIMESTAMPTZ '2000-01-01 00:00Z' + {seconds} + {rest}"
        return number


FIELDS = (
    *(_Field(name, 16) for name in ("entry_id", "account_id", "transfer_id")),
    *(_Field(name, 8) for name in ("version", "amount", "balance_after", "create_time")),
    *(_Field(name, 32) for name in ("previous_hash", "hash")),
)


def _stored(value: object) -> bytes:
    """Return the bytes by which PostgreSQL keeps a value of an entry."""
    match value:
        case UUID():
            return value.bytes
        case bytes():
            return value
        case datetime():
            since = value - datetime(2000, 1, 1, tzinfo=value.tzinfo)
            return struct.pack(">q", (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
        case int():
            return struct.pack(">q", value)
    raise TypeError(value)


async def test_a_whole_ledger_is_whole(db: Database, user_id: str) -> None:
    """Every entry is read in both passes, progress ends at the total, and there is no flaw."""
    told: list[tuple[int, int]] = []
    proof = await Ledger(db).verify(lambda done, total: told.append((done, total)))

    assert user_id
    assert proof.flaw is None
    async with db.transaction() as tx:
        counts = (await tx.execute(text("SELECT count(*), count(DISTINCT transfer_id) FROM wallet.entries"))).one()
    assert (proof.entries, proof.transfers) == tuple(counts)
    assert told[-1] == (2 * proof.entries, 2 * proof.entries)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
async def test_any_byte_of_an_entry_that_is_changed_is_found(db: Database, user_id: str, field: _Field) -> None:
    """Each stored byte of each field, changed alone in the middle of a chain, breaks the proof or is refused."""
    async with db.transaction() as tx:
        query = text(f"SELECT entry_id, {field.name} AS value FROM wallet.entries WHERE {_ENTRY}")
        row = (await tx.execute(query, {"user": user_id})).mappings().one()
    value = row["value"]
    before = _stored(UUID(str(value)) if field.name.endswith("_id") else value)
    assert len(before) == field.length
    found = 0
    for place in range(field.length):
        changed = bytearray(before)
        changed[place] ^= 0x55
        new = changed.hex()
        key = {"id": str(UUID(bytes=bytes(changed)))} if field.name == "entry_id" else {"id": str(row["entry_id"])}
        change = f"UPDATE wallet.entries SET {field.name} = {field.cast('new')} WHERE entry_id = CAST(:id AS uuid)"
        try:
            await _tamper(db, change, new=new, id=str(row["entry_id"]))
        except DBAPIError:
            found += 1  # not even a superuser can store it, a time beyond the end of time for instance
            continue
        proof = await _proof(db)
        found += proof.flaw is not None
        await _tamper(db, change, new=before.hex(), **key)
    assert found == field.length
    assert (await _proof(db)).flaw is None


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (f"DELETE FROM wallet.entries WHERE {_ENTRY}", "version 3 should come here, not 4"),
        (f"DELETE FROM wallet.entries WHERE account_id = {_MINE} AND version = 5", "an entry that is missing"),
        (f"UPDATE wallet.accounts SET balance = balance + 1 WHERE account_id = {_MINE}", "the account says"),
        (
            f"UPDATE wallet.accounts SET last_hash = decode(repeat('07', 32), 'hex') WHERE account_id = {_MINE}",
            "another hash",
        ),
        (f"DELETE FROM wallet.accounts WHERE account_id = {_MINE}", "its account does not exist"),
        (
            f"DELETE FROM wallet.transfers WHERE transfer_id = (SELECT transfer_id FROM wallet.entries WHERE {_ENTRY})",
            "its transfer does not exist",
        ),
        (_ADD_EMPTY_TRANSFER, "the transfer has no entries"),
    ],
)
async def test_what_is_missing_or_too_much_is_named(database_url: str, user_id: str, statement: str, what: str) -> None:
    """A lost entry, account or transfer, an account that disagrees and a transfer without entries are each told."""
    database = Database(database_url)
    try:
        async with database.engine.connect() as connection:
            copies = ("accounts", "transfers", "entries")
            outer = await connection.begin()
            for table in copies:
                await connection.execute(text(f"CREATE TEMP TABLE kept_{table} AS TABLE wallet.{table}"))
            await outer.commit()
            try:
                await _tamper(database, statement, user=user_id)
                proof = await _proof(database)
            finally:
                await connection.execute(text("SET session_replication_role = replica"))
                for table in copies:
                    await connection.execute(text(f"DELETE FROM wallet.{table}"))
                for table in copies:
                    await connection.execute(text(f"INSERT INTO wallet.{table} SELECT * FROM kept_{table}"))
                    await connection.execute(text(f"DROP TABLE kept_{table}"))
                await connection.execute(text("SET session_replication_role = origin"))
                await connection.commit()
    finally:
        await database.close()
    assert proof.flaw is not None
    assert what in proof.flaw.what
