"""Named queries of the failures of accounts and network addresses."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.guard import Guard
from services.auth.storage.tables import guards


async def lock(tx: AsyncConnection, guard_hash: bytes, *, at: datetime) -> Guard:
    """Return a guard, locked until the transaction ends, made if there is none."""
    # One statement: between an insert and a look for the row another login could forget it.
    made = insert(guards).values(guard_hash=guard_hash, failure_count=0, lock_count=0, update_time=at)
    locked = made.on_conflict_do_update(index_elements=["guard_hash"], set_={"update_time": at}).returning(guards)
    row = (await tx.execute(locked)).one()
    return Guard(row.failure_count, row.first_time, row.lock_count, row.locked_until_time)


async def put(tx: AsyncConnection, guard_hash: bytes, guard: Guard, *, at: datetime) -> None:
    """Write a guard."""
    values = {
        "failure_count": guard.failure_count,
        "first_time": guard.first_time,
        "lock_count": guard.lock_count,
        "locked_until_time": guard.locked_until_time,
        "update_time": at,
    }
    statement = insert(guards).values(guard_hash=guard_hash, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["guard_hash"], set_=values))


async def forget(tx: AsyncConnection, guard_hash: bytes) -> None:
    """Forget the failures of one account."""
    await tx.execute(delete(guards).where(guards.c.guard_hash == guard_hash))


async def purge(tx: AsyncConnection, *, before: datetime) -> int:
    """Remove the guards that nobody has met since then; return how many."""
    return (await tx.execute(delete(guards).where(guards.c.update_time < before))).rowcount
