"""Named queries of the ledger.

Every money write locks in one order, so that no two can wait for each other: the hold first, then the spendable account
of the user, which stands for all accounts of that user. The writes of the hot path do the same inside one statement
(`storage.perform`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.credit import (
    AccountKind,
    Answer,
    Balance,
    EntryLine,
    Hold,
    HoldState,
    Operation,
    TransferKind,
)
from services.wallet.domain.ledger import Account, Entry, Posted


@dataclass(frozen=True)
class Transfer:
    """What is remembered of one money write for ever."""

    transfer_id: str
    operation: Operation
    request_id: str
    kind: TransferKind
    user_id: str
    input_hash: bytes
    answer: Answer
    description: str
    reference_id: str
    create_time: datetime


@dataclass(frozen=True)
class Earlier:
    """The first call under a client-made id: the hash of its input and what it answered."""

    input_hash: bytes
    answer: Answer


_EARLIER = text(
    "SELECT input_hash, answer FROM wallet.transfers WHERE operation = :operation AND request_id = :request_id"
)

_OPEN_ACCOUNTS = text("SELECT wallet.open_accounts(ARRAY[CAST(:owner_id AS uuid)])")

_LOCK_USER = text("""
SELECT account_id FROM wallet.accounts WHERE owner_id = CAST(:user_id AS uuid) AND kind = 'user' FOR NO KEY UPDATE
""")

# A statement of its own: its snapshot is younger than the lock.
_ACCOUNTS = text("""
SELECT account_id, owner_id, kind, balance, version, last_hash FROM wallet.accounts
WHERE owner_id = CAST(:user_id AS uuid)
""")

_LOCK_HOLD = text("""
SELECT hold_id, user_id, price_kind, amount, settled, state, price_version, expire_time FROM wallet.holds
WHERE hold_id = CAST(:hold_id AS uuid) FOR UPDATE
""")

# One round trip: without the first row, because another call has taken the id, nothing is written at all.
_WRITE = text("""
WITH transfer AS (
  INSERT INTO wallet.transfers (transfer_id, operation, request_id, kind, user_id, input_hash, answer,
                                description, reference_id, create_time)
  VALUES (CAST(:transfer_id AS uuid), :operation, :request_id, :kind, CAST(:user_id AS uuid),
          decode(:input_hash, 'hex'), CAST(:answer AS jsonb), :description, :reference_id,
          CAST(:create_time AS timestamptz))
  ON CONFLICT (operation, request_id) DO NOTHING
  RETURNING transfer_id, create_time
), entry AS (
  INSERT INTO wallet.entries (entry_id, account_id, version, transfer_id, amount, balance_after,
                              previous_hash, hash, create_time)
  SELECT e.entry_id, e.account_id, e.version, transfer.transfer_id, e.amount, e.balance_after,
         decode(e.previous_hash, 'hex'), decode(e.hash, 'hex'), transfer.create_time
  FROM transfer, jsonb_to_recordset(CAST(:entries AS jsonb)) AS e (
    entry_id uuid, account_id uuid, version bigint, amount bigint, balance_after bigint,
    previous_hash text, hash text)
  RETURNING account_id, version, balance_after, hash, create_time
), account AS (
  UPDATE wallet.accounts AS a
  SET balance = entry.balance_after, version = entry.version, last_hash = entry.hash,
      update_time = entry.create_time
  FROM entry WHERE a.account_id = entry.account_id
), hold AS (
  INSERT INTO wallet.holds (hold_id, user_id, price_kind, amount, settled, state, price_version, expire_time,
                            create_time, update_time)
  SELECT h.hold_id, h.user_id, h.price_kind, h.amount, h.settled, h.state, h.price_version, h.expire_time,
         transfer.create_time, transfer.create_time
  FROM transfer, jsonb_to_recordset(CAST(:holds AS jsonb)) AS h (
    hold_id uuid, user_id uuid, price_kind text, amount bigint, settled bigint, state text,
    price_version bigint, expire_time timestamptz)
  ON CONFLICT (hold_id) DO UPDATE
  SET settled = excluded.settled, state = excluded.state, update_time = excluded.update_time
)
SELECT count(*) FROM transfer
""")

_BALANCE = text("""
SELECT coalesce(sum(balance) FILTER (WHERE kind = 'user'), 0)::bigint,
       coalesce(sum(balance) FILTER (WHERE kind = 'user_held'), 0)::bigint,
       max(update_time) FILTER (WHERE version > 0)
FROM wallet.accounts WHERE owner_id = CAST(:user_id AS uuid)
""")

_ENTRIES = text("""
SELECT e.entry_id, e.version, t.kind, e.amount, e.balance_after, t.description, t.reference_id, e.create_time
FROM wallet.accounts AS a
JOIN wallet.entries AS e ON e.account_id = a.account_id
JOIN wallet.transfers AS t ON t.transfer_id = e.transfer_id
WHERE a.owner_id = CAST(:user_id AS uuid) AND a.kind = 'user' AND e.version < :before
  AND (CAST(:kind AS text) IS NULL OR t.kind = CAST(:kind AS text))
ORDER BY e.version DESC LIMIT :most
""").bindparams(bindparam("before", type_=BigInteger))

_CHAIN = text("""
SELECT entry_id, account_id, version, transfer_id, amount, balance_after, create_time, previous_hash, hash
FROM wallet.entries WHERE account_id = CAST(:account_id AS uuid) ORDER BY version
""")


async def find_earlier(tx: AsyncConnection, operation: Operation, request_id: str) -> Earlier | None:
    """Return what the first call under this id left, None when there was none."""
    found = await tx.execute(_EARLIER, {"operation": operation.value, "request_id": request_id})
    row = found.first()
    return None if row is None else Earlier(bytes(row.input_hash), answer_from(row.answer))


async def open_accounts(tx: AsyncConnection, user_id: str) -> None:
    """Make the accounts of a user where they are missing, with nothing in them."""
    await tx.execute(_OPEN_ACCOUNTS, {"owner_id": user_id})


async def lock_accounts(tx: AsyncConnection, user_id: str) -> dict[AccountKind, Account]:
    """Return the accounts of a user, locked until the transaction ends; empty for one who never had credits."""
    await tx.execute(_LOCK_USER, {"user_id": user_id})
    rows = await tx.execute(_ACCOUNTS, {"user_id": user_id})
    return {
        AccountKind(row.kind): Account(
            account_id=str(row.account_id),
            owner_id=str(row.owner_id),
            kind=AccountKind(row.kind),
            balance=row.balance,
            version=row.version,
            last_hash=bytes(row.last_hash),
        )
        for row in rows
    }


async def lock_hold(tx: AsyncConnection, hold_id: str) -> Hold | None:
    """Return a hold locked until the transaction ends, None when there is none."""
    row = (await tx.execute(_LOCK_HOLD, {"hold_id": hold_id})).first()
    if row is None:
        return None
    return Hold(
        hold_id=str(row.hold_id),
        user_id=str(row.user_id),
        price_kind=row.price_kind,
        amount=row.amount,
        settled=row.settled,
        state=HoldState(row.state),
        price_version=row.price_version,
        expire_time=row.expire_time,
    )


async def write(tx: AsyncConnection, transfer: Transfer, posted: Posted) -> bool:
    """Write a transfer with its entries, accounts and hold; False, and nothing written, when its id is taken."""
    hold = transfer.answer.hold
    parameters = {
        "transfer_id": transfer.transfer_id,
        "operation": transfer.operation.value,
        "request_id": transfer.request_id,
        "kind": transfer.kind.value,
        "user_id": transfer.user_id,
        "input_hash": transfer.input_hash.hex(),
        "answer": json.dumps(_answer_to(transfer.answer)),
        "description": transfer.description,
        "reference_id": transfer.reference_id,
        "create_time": transfer.create_time,
        "entries": json.dumps([_entry_to(entry) for entry in posted.entries]),
        "holds": json.dumps([] if hold is None else [_hold_to(hold)]),
    }
    written: int = (await tx.execute(_WRITE, parameters)).scalar_one()
    return written == 1


async def get_balance(tx: AsyncConnection, user_id: str) -> Balance:
    """Return the balance of a user; zeros for one who never had credits."""
    row = (await tx.execute(_BALANCE, {"user_id": user_id})).one()
    return Balance(row[0], row[1], row[2])


async def list_entries(
    tx: AsyncConnection, user_id: str, *, before: int, most: int, kind: TransferKind | None = None
) -> list[EntryLine]:
    """Return up to `most` lines of the spendable account with a version below `before`, the newest first.

    A kind leaves out the lines of all others.
    """
    values = {"user_id": user_id, "before": before, "most": most, "kind": kind.value if kind else None}
    rows = await tx.execute(_ENTRIES, values)
    return [
        EntryLine(
            entry_id=str(row.entry_id),
            version=row.version,
            kind=TransferKind(row.kind),
            amount=row.amount,
            balance_after=row.balance_after,
            description=row.description,
            reference_id=row.reference_id,
            create_time=row.create_time,
        )
        for row in rows
    ]


async def read_chain(tx: AsyncConnection, account_id: str) -> list[Entry]:
    """Return every entry of an account, the oldest first, for the check of its chain."""
    rows: Iterable[Any] = await tx.execute(_CHAIN, {"account_id": account_id})
    return [
        Entry(
            entry_id=str(row.entry_id),
            account_id=str(row.account_id),
            version=row.version,
            transfer_id=str(row.transfer_id),
            amount=row.amount,
            balance_after=row.balance_after,
            create_time=row.create_time,
            previous_hash=bytes(row.previous_hash),
            hash=bytes(row.hash),
        )
        for row in rows
    ]


def _entry_to(entry: Entry) -> dict[str, str | int]:
    return {
        "entry_id": entry.entry_id,
        "account_id": entry.account_id,
        "version": entry.version,
        "amount": entry.amount,
        "balance_after": entry.balance_after,
        "previous_hash": entry.previous_hash.hex(),
        "hash": entry.hash.hex(),
    }


def _hold_to(hold: Hold) -> dict[str, str | int | None]:
    return {
        "hold_id": hold.hold_id,
        "user_id": hold.user_id,
        "price_kind": hold.price_kind,
        "amount": hold.amount,
        "settled": hold.settled,
        "state": hold.state.value,
        "price_version": hold.price_version,
        "expire_time": None if hold.expire_time is None else hold.expire_time.isoformat(),
    }


def _answer_to(answer: Answer) -> dict[str, Any]:
    moment = answer.balance.update_time
    return {
        "available": answer.balance.available,
        "held": answer.balance.held,
        "update_time": None if moment is None else moment.isoformat(),
        "hold": None if answer.hold is None else _hold_to(answer.hold),
    }


def answer_from(plain: Mapping[str, Any]) -> Answer:
    """Return the answer that a transfer remembers."""
    moment, hold = plain["update_time"], plain["hold"]
    balance = Balance(plain["available"], plain["held"], None if moment is None else datetime.fromisoformat(moment))
    if hold is None:
        return Answer(balance)
    # Answers given before holds had dates have none.
    until = hold.get("expire_time")
    known = {"state": HoldState(hold["state"]), "expire_time": None if until is None else datetime.fromisoformat(until)}
    return Answer(balance, Hold(**{**hold, **known}))
