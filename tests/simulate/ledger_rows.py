"""The ledger in memory: the operations of `services.wallet.storage.credit`, kept without SQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.wallet.domain.credit import AccountKind, Balance, EntryLine, Hold, Operation, TransferKind
from services.wallet.domain.ledger import GENESIS, Account, Entry, Posted
from services.wallet.storage.credit import Earlier, Transfer
from tests.simulate.database import Table, Transaction

if TYPE_CHECKING:
    from datetime import datetime


# The spendable account first, which stands for all of its owner.
_LOCK_ORDER = tuple(AccountKind)


class Undecided:
    """A store without the statement that makes many writes: each is left to the use case, and so to `MemoryLedger`."""

    @staticmethod
    async def perform(_db: object, writes: Sequence[object], **_when: object) -> list[None]:
        """Return that nothing was decided."""
        return [None] * len(writes)


@dataclass(frozen=True)
class MemoryLedger:
    """Accounts, transfers, entries and holds; the names of the methods are those of the storage module."""

    accounts: Table = field(default_factory=lambda: Table("accounts"))
    touched: Table = field(default_factory=lambda: Table("account_times"))
    transfers: Table = field(default_factory=lambda: Table("transfers"))
    entries: Table = field(default_factory=lambda: Table("entries"))
    holds: Table = field(default_factory=lambda: Table("holds"))

    async def find_earlier(self, tx: Transaction, operation: Operation, request_id: str) -> Earlier | None:
        """Return the first call under the id, None when there was none."""
        await tx.trip()
        transfer: Transfer | None = tx.get(self.transfers, (operation, request_id))
        return None if transfer is None else Earlier(transfer.input_hash, transfer.answer)

    async def open_accounts(self, tx: Transaction, user_id: str) -> None:
        """Make the accounts of a user unless they exist."""
        await tx.trip()
        for kind in _LOCK_ORDER:
            if await tx.claim(self.accounts, (user_id, kind)):
                account = Account(f"{user_id}:{kind}", user_id, kind, 0, 0, GENESIS)
                tx.write(self.accounts, (user_id, kind), account)

    async def lock_accounts(self, tx: Transaction, user_id: str) -> dict[AccountKind, Account]:
        """Return the accounts of a user, locked until the transaction ends."""
        await tx.trip()
        found: dict[AccountKind, Account] = {}
        for kind in _LOCK_ORDER:
            account: Account | None = await tx.lock(self.accounts, (user_id, kind))
            if account is not None:
                found[kind] = account
        return found

    async def lock_hold(self, tx: Transaction, hold_id: str) -> Hold | None:
        """Return a hold locked until the transaction ends, None when there is none."""
        await tx.trip()
        hold: Hold | None = await tx.lock(self.holds, hold_id)
        return hold

    async def write(self, tx: Transaction, transfer: Transfer, posted: Posted) -> bool:
        """Write a transfer with its entries, accounts and hold; False, and nothing written, when its id is taken."""
        await tx.trip()
        key = (transfer.operation, transfer.request_id)
        if not await tx.claim(self.transfers, key):
            return False
        tx.write(self.transfers, key, transfer)
        for entry in posted.entries:
            await tx.insert(self.entries, (entry.account_id, entry.version), entry)
        for account in posted.accounts:
            tx.write(self.accounts, (account.owner_id, account.kind), account)
            tx.writes[self.touched.name, account.account_id] = (self.touched, transfer.create_time)
        hold = transfer.answer.hold
        if hold is not None:
            if not await tx.claim(self.holds, hold.hold_id):
                await tx.lock(self.holds, hold.hold_id)
            tx.write(self.holds, hold.hold_id, hold)
        return True

    async def get_balance(self, tx: Transaction, user_id: str) -> Balance:
        """Return the balance of a user; zeros for one who never had credits."""
        await tx.trip()
        kinds = (AccountKind.USER, AccountKind.USER_HELD)
        found: list[Account] = [a for kind in kinds if (a := tx.get(self.accounts, (user_id, kind))) is not None]
        times: list[datetime] = [at for a in found if (at := tx.get(self.touched, a.account_id)) is not None]
        balances = {account.kind: account.balance for account in found}
        return Balance(balances.get(kinds[0], 0), balances.get(kinds[1], 0), max(times, default=None))

    async def list_entries(
        self, tx: Transaction, user_id: str, *, before: int, most: int, kind: TransferKind | None = None
    ) -> list[EntryLine]:
        """Return up to `most` lines of the spendable account with a version below `before`, the newest first."""
        await tx.trip()
        account: Account | None = tx.get(self.accounts, (user_id, AccountKind.USER))
        if account is None:
            return []
        by_id = {transfer.transfer_id: transfer for _, transfer in tx.scan(self.transfers)}
        lines = []
        for version in range(min(before - 1, account.version), 0, -1):
            entry: Entry = tx.get(self.entries, (account.account_id, version))
            transfer = by_id[entry.transfer_id]
            if kind is None or transfer.kind is kind:
                lines.append(_line(entry, transfer))
        return lines[:most]

    async def read_chain(self, tx: Transaction, account_id: str) -> list[Entry]:
        """Return every entry of an account, the oldest first."""
        await tx.trip()
        return self.chain(account_id)

    def chain(self, account_id: str) -> list[Entry]:
        """Return the committed entries of an account, the oldest first."""
        found: list[Any] = [entry for key, entry in self.entries.rows.items() if key[0] == account_id]
        return sorted(found, key=lambda entry: entry.version)


def _line(entry: Entry, transfer: Transfer) -> EntryLine:
    return EntryLine(
        entry_id=entry.entry_id,
        version=entry.version,
        kind=transfer.kind,
        amount=entry.amount,
        balance_after=entry.balance_after,
        description=transfer.description,
        reference_id=transfer.reference_id,
        create_time=transfer.create_time,
    )
