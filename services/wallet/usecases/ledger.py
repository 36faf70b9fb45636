"""The proof of the books: every entry of every account read again and compared with what it must be."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.db.engine import Database
from services.wallet.domain.ledger import GENESIS, Account, Entry, flaw_of
from services.wallet.storage import ledger as storage

_REPORT_EVERY = 2_000


@dataclass(frozen=True)
class Flaw:
    """The first place where the books are wrong; an entry or transfer that is missing has an empty id."""

    what: str
    account_id: str = ""
    version: int = 0
    entry_id: str = ""
    transfer_id: str = ""


@dataclass(frozen=True)
class Proof:
    """What was read, and the first flaw; None when the books are whole."""

    entries: int
    accounts: int
    transfers: int
    flaw: Flaw | None


Progress = Callable[[int, int], None]


class Ledger:
    """The books as a whole."""

    def __init__(self, db: Database) -> None:
        """Keep the database."""
        self._db = db

    async def verify(self, progress: Progress) -> Proof:
        """Return the proof of the whole ledger as it stands at one moment, while others may go on writing.

        Chains first, account by account: versions without gaps, balances, hashes, and the account equal to its last
        entry; then every transfer: two entries or more whose sum is zero. Reading stops at the first flaw. `progress`
        hears how many rows are done of how many: each entry is read twice.
        """
        async with self._db.transaction() as tx:
            await storage.fix_moment(tx)
            steps = _Steps(progress, 2 * await storage.count_entries(tx))
            accounts, flaw = await _chains(tx, steps)
            entries = steps.done
            transfers = 0
            if flaw is None:
                transfers, flaw = await _transfers(tx, steps)
            steps.tell()
        return Proof(entries, accounts, transfers, flaw)


class _Steps:
    """Counts rows and tells now and then."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._total = total
        self.done = 0

    def add(self, rows: int) -> None:
        before, self.done = self.done, self.done + rows
        if before // _REPORT_EVERY != self.done // _REPORT_EVERY:
            self.tell()

    def tell(self) -> None:
        self._progress(self.done, self._total)


async def _chains(tx: AsyncConnection, steps: _Steps) -> tuple[int, Flaw | None]:
    """Return the number of accounts and the first entry or account that is wrong."""
    count, account, last = 0, None, None
    async for at, entry in storage.accounts_with_entries(tx):
        if account is None or at.account_id != account.account_id:
            if account is not None and (flaw := _end(account, last)):
                return count, flaw
            count, account, last = count + 1, at, None
        if entry is None:
            continue
        if what := flaw_of(entry, last):
            return count, Flaw(what, at.account_id, entry.version, entry.entry_id, entry.transfer_id)
        last = entry
        steps.add(1)
    if account is not None and (flaw := _end(account, last)):
        return count, flaw
    homeless = await storage.homeless_entry(tx)
    if homeless is not None:
        entry_id, account_id, version = homeless
        return count, Flaw("its account does not exist", account_id, version, entry_id)
    return count, None


def _end(account: Account, last: Entry | None) -> Flaw | None:
    """Return what is wrong between an account and its last entry, None when they agree."""
    version, balance, newest = (last.version, last.balance_after, last.hash) if last else (0, 0, GENESIS)
    entry_id = last.entry_id if last else ""
    if account.version > version:
        return Flaw("the account has taken in an entry that is missing", account.account_id, version + 1)
    if (account.version, account.balance) != (version, balance):
        what = (
            f"the account says {account.balance} after {account.version} entries, the chain {balance} after {version}"
        )
        return Flaw(what, account.account_id, version, entry_id)
    if account.last_hash != newest:
        return Flaw("the account carries another hash than its last entry", account.account_id, version, entry_id)
    return None


async def _transfers(tx: AsyncConnection, steps: _Steps) -> tuple[int, Flaw | None]:
    """Return the number of transfers and the first one whose entries are wrong."""
    count = 0
    async for each in storage.totals(tx):
        if not each.known or each.total or each.lines < 2:  # noqa: PLR2004  # double entry
            what = (
                f"its transfer has {each.lines} entries that sum to {each.total}"
                if each.known
                else "its transfer does not exist"
            )
            entry_id, account_id, version = await storage.first_entry_of(tx, each.transfer_id)
            return count, Flaw(what, account_id, version, entry_id, each.transfer_id)
        count += 1
        steps.add(each.lines)
    empty = await storage.empty_transfer(tx)
    return count, None if empty is None else Flaw("the transfer has no entries", transfer_id=empty)
