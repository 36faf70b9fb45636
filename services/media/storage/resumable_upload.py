"""The statements on files that come piece by piece. What writes under a lock says so, and learns when it lost it."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.domain.errors import AssetNotFound
from services.media.domain.resumable_upload import ResumableUpload, StoredPart
from services.media.storage.tables import resumable_tails as tails
from services.media.storage.tables import resumable_uploads as uploads

_PLAIN = tuple(name for name in ResumableUpload.__dataclass_fields__ if name != "parts")


def _upload(row: Mapping[Any, Any]) -> ResumableUpload:
    """Return the upload of a whole row."""
    parts = tuple(StoredPart(*each) for each in row["parts"])
    return ResumableUpload(parts=parts, **{name: row[name] for name in _PLAIN})


async def add(tx: AsyncConnection, upload: ResumableUpload) -> None:
    """Write down an upload of which nothing has come yet."""
    values = {"asset_id": upload.asset_id, "size_bytes": upload.size_bytes, "expire_time": upload.expire_time}
    await tx.execute(insert(uploads).values(values))


async def get(tx: AsyncConnection, asset_id: str) -> ResumableUpload:
    """Return how far the upload is; raises AssetNotFound when the asset came another way."""
    return await _one(tx, asset_id, for_update="")


async def lock(tx: AsyncConnection, asset_id: str) -> ResumableUpload:
    """Return how far the upload is, its row locked until the transaction ends; raises AssetNotFound."""
    return await _one(tx, asset_id, for_update="row")


async def _one(tx: AsyncConnection, asset_id: str, *, for_update: str) -> ResumableUpload:
    query = select(uploads).where(uploads.c.asset_id == asset_id)
    if for_update:
        query = query.with_for_update()
    row = (await tx.execute(query)).mappings().one_or_none()
    if row is None:
        raise AssetNotFound("there is no such upload", asset_id=asset_id)
    return _upload(row)


async def save(tx: AsyncConnection, upload: ResumableUpload) -> bool:
    """Return whether the upload was written: not when its lock was taken by another one or the upload is gone."""
    values: dict[str, Any] = {name: getattr(upload, name) for name in _PLAIN if name != "asset_id"}
    values["parts"] = [astuple(part) for part in upload.parts]
    mine = (uploads.c.asset_id == upload.asset_id, uploads.c.lock_token == upload.lock_token)
    return (await tx.execute(update(uploads).where(*mine).values(values))).rowcount == 1


async def take(tx: AsyncConnection, upload: ResumableUpload) -> None:
    """Write a lock over the one before; the row must be locked."""
    values = {"lock_token": upload.lock_token, "lock_until": upload.lock_until}
    await tx.execute(update(uploads).where(uploads.c.asset_id == upload.asset_id).values(values))


async def extend(tx: AsyncConnection, asset_id: str, lock_token: int, until: datetime) -> bool:
    """Return whether the lock was still held; it is, until the instant."""
    mine = (uploads.c.asset_id == asset_id, uploads.c.lock_token == lock_token)
    return (await tx.execute(update(uploads).where(*mine).values(lock_until=until))).rowcount == 1


async def arrived(tx: AsyncConnection, at: datetime, most: int) -> Sequence[str]:
    """Return uploads that have come whole, of which no asset was made and which nobody works on."""
    query = (
        select(uploads.c.asset_id)
        .where(
            uploads.c.offset_bytes == uploads.c.size_bytes,
            uploads.c.finish_time.is_(None),
            or_(uploads.c.lock_until.is_(None), uploads.c.lock_until <= at),
        )
        .limit(most)
    )
    return (await tx.execute(query)).scalars().all()


async def remove(tx: AsyncConnection, asset_id: str) -> bool:
    """Return whether there was an upload; whoever appends to it finds it gone."""
    return (await tx.execute(delete(uploads).where(uploads.c.asset_id == asset_id))).rowcount == 1


async def add_tail(tx: AsyncConnection, asset_id: str, start_bytes: int, data: bytes | bytearray) -> None:
    """Keep bytes that are too few for a part."""
    values = {"asset_id": asset_id, "start_bytes": start_bytes, "data": bytes(data)}
    await tx.execute(insert(tails).values(values))


async def tail(tx: AsyncConnection, asset_id: str) -> bytearray:
    """Return the bytes behind the stored parts."""
    query = select(tails.c.data).where(tails.c.asset_id == asset_id).order_by(tails.c.start_bytes)
    joined = bytearray()
    for data in (await tx.execute(query)).scalars():
        joined += data
    return joined


async def drop_tail(tx: AsyncConnection, asset_id: str) -> None:
    """Forget the tail: its bytes are in a part now."""
    await tx.execute(delete(tails).where(tails.c.asset_id == asset_id))
