"""Named queries of codes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.code import Purpose, Recent, Sent
from services.auth.storage.tables import codes

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(encode(:place, 'hex'), 0))")


async def lock(tx: AsyncConnection, *places: bytes) -> None:
    """Wait until nobody else sends to these targets or for these addresses; until the transaction ends nobody will."""
    for place in sorted(places):
        await tx.execute(_LOCK, {"place": place})


async def recent(tx: AsyncConnection, *, target_hash: bytes, address_hash: bytes | None, since: datetime) -> Recent:
    """Return what was sent to a target and asked for from an address since then; no address counts nothing."""
    rows = select(func.count(), func.min(codes.c.create_time), func.max(codes.c.create_time)).where(
        codes.c.create_time > since
    )
    count, oldest, newest = (await tx.execute(rows.where(codes.c.target_hash == target_hash))).one()
    asked, oldest_asked = 0, None
    if address_hash is not None:
        asked, oldest_asked, _ = (await tx.execute(rows.where(codes.c.address_hash == address_hash))).one()
    known = [each for each in (oldest, oldest_asked) if each is not None]
    return Recent(newest, count, asked, max(known, default=None))


async def add(
    tx: AsyncConnection, sent: Sent, *, purpose: Purpose, target_hash: bytes, address_hash: bytes, at: datetime
) -> None:
    """Write a new code; the ones before it for the same target and purpose end."""
    older = update(codes).where(
        codes.c.target_hash == target_hash, codes.c.purpose == purpose.value, codes.c.expire_time > at
    )
    await tx.execute(older.values(expire_time=at))
    await tx.execute(
        insert(codes).values(
            code_id=sent.code_id,
            purpose=purpose.value,
            target_hash=target_hash,
            code_hash=sent.code_hash,
            address_hash=address_hash,
            expire_time=sent.expire_time,
            create_time=at,
        )
    )


async def lock_newest(
    tx: AsyncConnection, target_hashes: Sequence[bytes], purpose: Purpose, *, since: datetime
) -> Sent | None:
    """Return the newest code for a target and purpose since then, locked: tries of one code wait for each other."""
    statement = (
        select(codes)
        .where(codes.c.target_hash.in_(target_hashes), codes.c.purpose == purpose.value, codes.c.create_time > since)
        .order_by(codes.c.create_time.desc(), codes.c.code_id.desc())
        .limit(1)
        .with_for_update()
    )
    row = (await tx.execute(statement)).first()
    if row is None:
        return None
    return Sent(row.code_id, bytes(row.code_hash), row.try_count, row.expire_time, row.used_time)


async def count_try(tx: AsyncConnection, code_id: str) -> None:
    """Count one try of a code."""
    statement = update(codes).where(codes.c.code_id == code_id)
    await tx.execute(statement.values(try_count=codes.c.try_count + 1))


async def spend(tx: AsyncConnection, code_id: str, *, at: datetime) -> bool:
    """Mark a code as used; False when somebody else used it first."""
    statement = update(codes).where(codes.c.code_id == code_id, codes.c.used_time.is_(None))
    return (await tx.execute(statement.values(used_time=at))).rowcount == 1


async def purge(tx: AsyncConnection, *, before: datetime) -> int:
    """Remove the codes made before then; return how many."""
    return (await tx.execute(delete(codes).where(codes.c.create_time < before))).rowcount
