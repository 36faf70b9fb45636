"""The books: how postings become entries, each chained by hash to the one before it.

The chain is per account. Whoever changes, drops or inserts a line afterwards has to change
every later line of that account and the account itself, and `first_broken` finds the place.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.wallet.domain.credit import AccountKind, Postings

# What stands before the first entry of every account.
GENESIS = bytes(32)
# Credits come into the world through these, so they alone may be below zero.
_SOURCES = frozenset({AccountKind.GRANTS, AccountKind.ADJUSTMENTS})


@dataclass(frozen=True)
class Account:
    """One account at one moment; `version` is the number of its entries, `last_hash` the newest one's."""

    account_id: str
    owner_id: str
    kind: AccountKind
    balance: int
    version: int
    last_hash: bytes


@dataclass(frozen=True)
class Entry:
    """One signed line of one account; `version` counts the lines of the account from 1."""

    entry_id: str
    account_id: str
    version: int
    transfer_id: str
    amount: int
    balance_after: int
    create_time: datetime
    previous_hash: bytes
    hash: bytes


@dataclass(frozen=True)
class Posted:
    """What a transfer leaves behind: its entries and the accounts as they stand after it."""

    entries: tuple[Entry, ...]
    accounts: tuple[Account, ...]

    def balance_of(self, kind: AccountKind, before: Mapping[AccountKind, Account]) -> int:
        """Return the balance of an account after the transfer, touched by it or not."""
        for account in self.accounts:
            if account.kind is kind:
                return account.balance
        return before[kind].balance


def post(
    accounts: Mapping[AccountKind, Account],
    postings: Postings,
    *,
    transfer_id: str,
    entry_ids: Mapping[AccountKind, str],
    at: datetime,
) -> Posted:
    """Return the entries and the new accounts of one transfer.

    Raises ValueError when the postings do not sum to zero, move nothing, or would overdraw an
    account of a user; the use cases decide before, so that only a defect can meet it.
    """
    if sum(postings.values()) != 0 or not all(postings.values()) or not postings:
        msg = f"postings must be non-zero and sum to zero: {dict(postings)}"
        raise ValueError(msg)
    entries, after = [], []
    for kind, amount in sorted(postings.items()):
        account = accounts[kind]
        if account.balance + amount < 0 and kind not in _SOURCES:
            msg = f"{amount} would overdraw the account {kind}"
            raise ValueError(msg)
        entry = _entry(account, amount, transfer_id=transfer_id, entry_id=entry_ids[kind], at=at)
        entries.append(entry)
        after.append(replace(account, balance=entry.balance_after, version=entry.version, last_hash=entry.hash))
    return Posted(tuple(entries), tuple(after))


def first_broken(entries: Iterable[Entry]) -> Entry | None:
    """Return the first entry of one account, oldest first, that does not continue the chain; None when whole."""
    before = None
    for entry in entries:
        if flaw_of(entry, before):
            return entry
        before = entry
    return None


def flaw_of(entry: Entry, before: Entry | None) -> str:
    """Return in words why an entry does not continue the one before it on its account, empty when it does."""
    version, balance, previous = (before.version, before.balance_after, before.hash) if before else (0, 0, GENESIS)
    if entry.version != version + 1:
        return f"version {version + 1} should come here, not {entry.version}"
    if entry.previous_hash != previous:
        return "it does not carry the hash of the entry before it"
    if entry.balance_after != balance + entry.amount:
        return f"{balance} and {entry.amount} make {balance + entry.amount}, not {entry.balance_after}"
    if entry.hash != _hash(entry):
        return "its hash is not the hash of its fields"
    return ""


def _entry(account: Account, amount: int, *, transfer_id: str, entry_id: str, at: datetime) -> Entry:
    """Return the next entry of the account with its hash."""
    entry = Entry(
        entry_id=entry_id,
        account_id=account.account_id,
        version=account.version + 1,
        transfer_id=transfer_id,
        amount=amount,
        balance_after=account.balance + amount,
        create_time=at,
        previous_hash=account.last_hash,
        hash=b"",
    )
    return replace(entry, hash=_hash(entry))


def _hash(entry: Entry) -> bytes:
    """Return SHA-256 over every field of the entry and the hash before it, in a fixed text form."""
    fields = (
        entry.previous_hash.hex(),
        entry.entry_id,
        entry.account_id,
        str(entry.version),
        entry.transfer_id,
        str(entry.amount),
        str(entry.balance_after),
        entry.create_time.astimezone(UTC).isoformat(timespec="microseconds"),
    )
    return hashlib.sha256("\n".join(fields).encode()).digest()
