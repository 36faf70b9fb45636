"""What a person owns in one service, moved to another person and back, or erased: the service's part of merging.

A row belongs to whoever stands in its owner column. A move notes each row that it takes, under the merge it is for, so
that undoing it gives back exactly those which are still where they were put. Both can be repeated: a move takes what
has come since, and one that was undone takes nothing any more.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Executable, MetaData, Table, Text, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.metadata import id_column, time_column


@dataclass(frozen=True)
class Owned:
    """A table whose rows belong to people.

    `noun` is what they are called, `shown` which of them are counted (None for none), `forget` the column of the
    client's request id, which means nothing with another owner and could be one that the other has used.

    When their owner is erased the rows go, but for the `busy` ones, which must end first; or they stay, with what
    `left` gives written over them, and as they are where that is nothing. `below` gives what else is to be done then
    for the rows that a condition names, before anything happens to them.
    """

    noun: str
    table: Table
    key: str
    shown: ColumnElement[bool] | None = None
    forget: str = ""
    busy: ColumnElement[bool] | None = None
    left: Callable[[datetime], Mapping[str, Any]] | None = None
    below: Callable[[ColumnElement[bool]], Sequence[Executable]] | None = None


@dataclass(frozen=True)
class Moves:
    """The tables that note merges and the rows that they took."""

    merges: Table
    rows: Table


def move_tables(metadata: MetaData) -> Moves:
    """Return the two tables, which every service that owns things has in its schema."""
    merges = Table(
        "merges",
        metadata,
        id_column("merge_id", primary_key=True),
        time_column("create_time"),
        # From then on nothing is moved for this merge any more.
        time_column("undo_time", nullable=True),
    )
    rows = Table(
        "moved_rows",
        metadata,
        id_column("merge_id", primary_key=True),
        Column("noun", Text, primary_key=True),
        id_column("row_id", primary_key=True),
    )
    return Moves(merges, rows)


class Ownership:
    """What people own in one service."""

    def __init__(self, db: Database, moves: Moves, things: Sequence[Owned], clock: Clock) -> None:
        """Keep the collaborators and the tables that have owners."""
        self._db = db
        self._moves = moves
        self._things = things
        self._clock = clock

    async def count(self, user_id: str) -> dict[str, int]:
        """Return how much of each kind that is counted a person owns."""
        found = {}
        async with self._db.transaction() as tx:
            for thing in self._things:
                if thing.shown is not None:
                    mine = select(func.count()).where(thing.table.c.user_id == user_id, thing.shown)
                    found[thing.noun] = int((await tx.execute(mine)).scalar() or 0)
        return found

    async def move(self, merge_id: str, *, source: str, target: str) -> int:
        """Give everything that one person owns to another; return how many rows, 0 once the merge was undone."""
        moved = 0
        async with self._db.transaction() as tx:
            if await self._undone(tx, merge_id):
                return 0
            for thing in self._things:
                moved += await self._take(tx, thing, merge_id, source=source, target=target)
        return moved

    async def undo(self, merge_id: str, *, source: str, target: str) -> int:
        """Give back what a merge took and is still where it was put; return how many rows. `source` had it before."""
        moved, rows, merges = 0, self._moves.rows, self._moves.merges
        async with self._db.transaction() as tx:
            if await self._undone(tx, merge_id):
                return 0
            for thing in self._things:
                table = thing.table
                noted = select(rows.c.row_id).where(rows.c.merge_id == merge_id, rows.c.noun == thing.noun)
                back = update(table).where(table.c.user_id == target, table.c[thing.key].in_(noted))
                moved += (await tx.execute(back.values(user_id=source))).rowcount
            await tx.execute(delete(rows).where(rows.c.merge_id == merge_id))
            await tx.execute(update(merges).where(merges.c.merge_id == merge_id).values(undo_time=self._clock()))
        return moved

    async def erase(self, user_id: str) -> int:
        """Remove what a person owns, or of it what others do not need; return how many rows must end before."""
        busy = 0
        async with self._db.transaction() as tx:
            for thing in self._things:
                table = thing.table
                mine = table.c.user_id == user_id
                if thing.busy is not None:
                    count = select(func.count()).where(mine, thing.busy)
                    busy += int((await tx.execute(count)).scalar() or 0)
                    mine &= ~thing.busy
                for statement in thing.below(mine) if thing.below is not None else ():
                    await tx.execute(statement)
                if thing.left is None:
                    await tx.execute(delete(table).where(mine))
                elif values := thing.left(self._clock()):
                    await tx.execute(update(table).where(mine).values(**values))
        return busy

    async def _take(self, tx: AsyncConnection, thing: Owned, merge_id: str, *, source: str, target: str) -> int:
        """Give the rows of one table to the target and note them; return how many."""
        table, rows = thing.table, self._moves.rows
        values: dict[str, str | None] = {"user_id": target}
        if thing.forget:
            values[thing.forget] = None if table.c[thing.forget].nullable else ""
        taken = update(table).where(table.c.user_id == source).values(values).returning(table.c[thing.key])
        found = list((await tx.execute(taken)).scalars())
        if found:
            lines = [{"merge_id": merge_id, "noun": thing.noun, "row_id": each} for each in found]
            await tx.execute(upsert(rows).on_conflict_do_nothing(), lines)
        return len(found)

    async def _undone(self, tx: AsyncConnection, merge_id: str) -> bool:
        """Return whether a merge was undone, its line locked: moves and undoings of one merge wait for each other."""
        merges = self._moves.merges
        made = upsert(merges).values(merge_id=merge_id, create_time=self._clock())
        held = made.on_conflict_do_update(index_elements=["merge_id"], set_={"merge_id": merge_id})
        return (await tx.execute(held.returning(merges.c.undo_time))).scalar_one() is not None
