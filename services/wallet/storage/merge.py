"""Named queries of merges: whose credits went to whom."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.storage.tables import merges


@dataclass(frozen=True)
class Merge:
    """What was moved for a merge and not given back, in how many moves, and whether it was undone."""

    moved: int
    moves: int
    undone: bool


async def lock(tx: AsyncConnection, merge_id: str, *, source: str, target: str, at: datetime) -> Merge:
    """Return a merge, locked until the transaction ends, made if there is none."""
    made = insert(merges).values(merge_id=merge_id, source_id=source, target_id=target, create_time=at)
    held = made.on_conflict_do_update(index_elements=["merge_id"], set_={"merge_id": merge_id}).returning(merges)
    row = (await tx.execute(held)).one()
    return Merge(row.moved, row.moves, row.undo_time is not None)


async def put(tx: AsyncConnection, merge_id: str, merge: Merge, *, undo_time: datetime | None = None) -> None:
    """Write what has become of a merge."""
    statement = update(merges).where(merges.c.merge_id == merge_id)
    await tx.execute(statement.values(moved=merge.moved, moves=merge.moves, undo_time=undo_time))


async def all_pairs(tx: AsyncConnection) -> list[tuple[str, str]]:
    """Return source and target of every merge, the oldest first, of those that were undone too."""
    rows = await tx.execute(select(merges.c.source_id, merges.c.target_id).order_by(merges.c.merge_id))
    return [(row.source_id, row.target_id) for row in rows]
