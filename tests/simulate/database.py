"""A database in memory that keeps the promises which our SQL leans on, and breaks only those that PostgreSQL breaks.

Rows are immutable values under a key. Reading sees what is committed and one's own writes (READ
COMMITTED); writing takes the row's lock, for which others wait and then see the newest row; a
commit happens whole at one instant. A killed process loses its open transactions, a lost
connection may hide whether the commit took place, and a circle of waiting transactions is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy.exc import IntegrityError, OperationalError

from services.kit.crash import AnyAct
from tests.simulate.loop import Process, SimulatedLoop, here

_LOCK_TIMEOUT_S = 5.0
# What a server does to a client that was stopped inside a transaction.
_IDLE_TIMEOUT_S = 30.0


class Killed(BaseException):
    """The process that asks is dead or was forgotten by the server."""


@dataclass
class Table:
    """The rows of one table, and which of them somebody has locked."""

    name: str
    rows: dict[Any, Any] = field(default_factory=dict)
    locks: dict[Any, "Transaction"] = field(default_factory=dict)


_ABSENT = object()


@dataclass
class Trouble:
    """How often the way to the database fails, and how slow it is."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    broken: float = 0.0
    slow_s: float = 0.002


class Transaction:
    """One open transaction of one process."""

    __slots__ = ("began", "database", "handle", "held", "process", "state", "waiter", "waits_for", "writes")

    def __init__(self, database: "MemoryDatabase", process: Process) -> None:
        self.database = database
        self.process = process
        self.state = "open"
        self.writes: dict[tuple[str, Any], tuple[Table, Any]] = {}
        self.held: list[tuple[Table, Any]] = []
        self.waits_for: Transaction | None = None
        self.waiter: list[asyncio.Future[None]] = []
        self.began = database.loop.now

    async def trip(self) -> None:
        """Spend the time of one statement; raises what the connection may raise."""
        await self.database.trip(self)

    def get(self, table: Table, key: Any) -> Any:
        """Return the row as this transaction sees it, or None."""
        written = self.writes.get((table.name, key))
        if written is not None:
            return None if written[1] is _ABSENT else written[1]
        return table.rows.get(key)

    def scan(self, table: Table) -> Iterator[tuple[Any, Any]]:
        """Yield all rows that this transaction sees."""
        mine = {key: row for (name, key), (_, row) in self.writes.items() if name == table.name}
        if not mine:
            yield from table.rows.items()
            return
        for key, row in table.rows.items():
            if key not in mine:
                yield key, row
        for key, row in mine.items():
            if row is not _ABSENT:
                yield key, row

    async def lock(self, table: Table, key: Any) -> Any:
        """Return the newest row under its lock, or None when there is none; waits for whoever has the lock."""
        while True:
            holder = table.locks.get(key)
            if holder is self:
                return self.get(table, key)
            if holder is None:
                if key not in table.rows:
                    return None
                return self.take(table, key)
            await self._wait(holder)

    def try_lock(self, table: Table, key: Any) -> Any:
        """Return the row under its lock, or None when another one has the lock or there is no row."""
        holder = table.locks.get(key)
        if holder is None and key in table.rows:
            return self.take(table, key)
        return self.get(table, key) if holder is self else None

    def take(self, table: Table, key: Any) -> Any:
        """Return the row after locking a key that is free."""
        table.locks[key] = self
        self.held.append((table, key))
        return table.rows.get(key)

    async def claim(self, table: Table, key: Any) -> bool:
        """Return whether the key is free for a new row of this transaction; waits for another one's insertion."""
        while True:
            holder = table.locks.get(key)
            if holder is self:
                return self.get(table, key) is None
            if holder is not None:
                await self._wait(holder)
                continue
            if key in table.rows:
                return False
            self.take(table, key)
            return True

    def write(self, table: Table, key: Any, row: Any) -> None:
        """Replace a row that this transaction has locked."""
        self._own(table, key)
        self.writes[table.name, key] = (table, row)

    async def insert(self, table: Table, key: Any, row: Any) -> None:
        """Add a row; raises IntegrityError when its key is taken."""
        if not await self.claim(table, key):
            raise IntegrityError(f"{table.name} has the key {key}", None, Exception("unique"))
        self.writes[table.name, key] = (table, row)

    def delete(self, table: Table, key: Any) -> None:
        """Remove a row that this transaction has locked."""
        self._own(table, key)
        self.writes[table.name, key] = (table, _ABSENT)

    def _own(self, table: Table, key: Any) -> None:
        if self.state != "open":
            raise Killed
        if table.locks.get(key) is not self:
            message = f"{table.name} {key} is written without its lock"
            raise AssertionError(message)

    async def _wait(self, holder: "Transaction") -> None:
        """Wait until the other transaction has ended, at most for the lock time-out."""
        at: Transaction | None = holder
        while at is not None:
            if at is self:
                self.database.deadlocks += 1
                self.database.abort(self)
                raise OperationalError("deadlock detected", None, Exception("deadlock"))
            at = at.waits_for
        future = self.database.loop.create_future()
        holder.waiter.append(future)
        self.waits_for = holder
        try:
            async with asyncio.timeout(_LOCK_TIMEOUT_S):
                await future
        except TimeoutError:
            self.database.lock_timeouts += 1
            self.database.abort(self)
            raise OperationalError("lock timeout", None, Exception("lock timeout")) from None
        finally:
            self.waits_for = None
        self.database.check(self)


class MemoryDatabase:
    """The server with all its tables; every process opens its transactions here."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self.loop = loop
        self.trouble = Trouble()
        self.deadlocks = 0
        self.lock_timeouts = 0
        self.lost_answers = 0
        self.commits = 0
        self.away = False
        self.on_commit: Callable[[Process, list[tuple[Table, Any, Any, Any]]], None] = _nobody_looks
        self.on_failure: Callable[[Process, BaseException], None] = _nobody_cares
        self._roll = chance.random
        self._open: dict[Transaction, None] = {}

    @asynccontextmanager
    async def transaction(self, _act: AnyAct | None = None, /) -> AsyncIterator[Transaction]:
        """Yield a transaction that commits at the end and rolls back on any exception."""
        process = here()
        if self.away:
            await self.loop.pause(0.001)
            raise ConnectionRefusedError("the server is away")
        tx = Transaction(self, process)
        self._open[tx] = None
        try:
            yield tx
        except BaseException as error:
            self.abort(tx)
            if isinstance(error, Exception):
                self.on_failure(process, error)
            raise
        await self._commit(tx)

    async def trip(self, tx: Transaction) -> None:
        """Spend the time of one statement; raises what the connection may raise."""
        self.check(tx)
        roll = self._roll()
        trouble = self.trouble
        if roll < trouble.broken:
            self.abort(tx)
            raise ConnectionResetError("the connection broke")
        # Half of the statements answer before anybody else gets a turn.
        if roll < 0.5:
            return
        await self.loop.pause(trouble.slow_s * 4 * (roll - 0.5) ** 2)
        self.check(tx)

    def check(self, tx: Transaction) -> None:
        """Raise when the transaction cannot go on."""
        if tx.state == "open":
            return
        if not tx.process.alive or self.loop.is_closed():
            raise Killed
        raise ConnectionResetError("the server ended this session")

    async def _commit(self, tx: Transaction) -> None:
        """Make the writes true at one instant; what the caller learns of it is another matter."""
        self.check(tx)
        if not tx.writes:
            self._end(tx, "committed")
            return
        trouble, roll = self.trouble, self._roll()
        if roll < trouble.lost_before:
            self.abort(tx)
            raise ConnectionResetError("the connection broke before the commit")
        tx.state = "committing"
        lost = roll < trouble.lost_before + trouble.lost_after
        try:
            await self.loop.pause(trouble.slow_s * self._roll())
        except BaseException:
            # Cancelled while the server was at it: it may have happened all the same.
            if tx.state == "committing":
                if self._roll() < 0.5:
                    self._apply(tx)
                else:
                    self.abort(tx)
            raise
        if tx.state != "committing":
            if not tx.process.alive or self.loop.is_closed():
                raise Killed
            raise ConnectionResetError("the server went away during the commit")
        self._apply(tx)
        if lost:
            self.lost_answers += 1
            raise ConnectionResetError("the connection broke after the commit")
        if self._roll() < 0.3:
            await self.loop.pause(trouble.slow_s * self._roll())

    def _apply(self, tx: Transaction) -> None:
        changes = []
        for (_, key), (table, row) in tx.writes.items():
            before = table.rows.get(key)
            if row is _ABSENT:
                table.rows.pop(key, None)
                changes.append((table, key, before, None))
            else:
                table.rows[key] = row
                changes.append((table, key, before, row))
        self.commits += 1
        self._end(tx, "committed")
        self.on_commit(tx.process, changes)

    def abort(self, tx: Transaction) -> None:
        """Undo the transaction."""
        if tx.state in {"open", "committing"}:
            self._end(tx, "aborted")

    def _end(self, tx: Transaction, state: str) -> None:
        tx.state = state
        self._open.pop(tx, None)
        for table, key in tx.held:
            del table.locks[key]
        tx.held.clear()
        for future in tx.waiter:
            if not future.done():
                future.set_result(None)

    def forget(self, process: Process) -> None:
        """End the transactions of a killed process; a commit that was on its way may have arrived."""
        for tx in [tx for tx in self._open if tx.process is process]:
            if tx.state == "committing" and self._roll() < 0.5:
                self._apply(tx)
            else:
                self.abort(tx)

    def forget_idle(self) -> None:
        """End the transactions that have been open for too long, as the server does with stopped clients."""
        for tx in [tx for tx in self._open if self.loop.now - tx.began > _IDLE_TIMEOUT_S]:
            self.abort(tx)

    def restart(self) -> None:
        """End every open transaction: the server stops."""
        for tx in list(self._open):
            self.abort(tx)


def _nobody_looks(_process: Process, _changes: list[tuple[Table, Any, Any, Any]]) -> None:
    """Let a commit pass."""


def _nobody_cares(_process: Process, _error: BaseException) -> None:
    """Let a failure pass."""
