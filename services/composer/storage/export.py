"""Queries for exports; every one takes the open transaction first."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.export import Export, ExportState
from services.composer.storage.tables import exports, tracks

_FIELDS = tuple(each.name for each in fields(Export))


def _export(row: Mapping[Any, Any]) -> Export:
    values = {name: row[name] for name in _FIELDS}
    for name in ("wav_asset_id", "stems_asset_id"):
        values[name] = values[name] or ""
    return Export(**{**values, "state": ExportState(values["state"]), "stems": tuple(values["stems"])})


async def lock_user(tx: AsyncConnection, user_id: str) -> None:
    """Make other wishes of the same user wait until this transaction ends, so that limits are exact."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"composer.exports:{user_id}", 0))))


async def add(tx: AsyncConnection, export: Export) -> None:
    """Write a new export."""
    values = {name: getattr(export, name) for name in _FIELDS}
    for name in ("wav_asset_id", "stems_asset_id"):
        values[name] = values[name] or None
    await tx.execute(insert(exports).values(**{**values, "state": export.state.value, "stems": list(export.stems)}))


async def find(tx: AsyncConnection, export_id: str, *, user_id: str = "") -> Export | None:
    """Return the export of a living track, or None."""
    query = select(exports).join(tracks, tracks.c.track_id == exports.c.track_id)
    query = query.where(exports.c.export_id == export_id, tracks.c.delete_time.is_(None))
    if user_id:
        query = query.where(exports.c.user_id == user_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _export(row)


async def find_of(tx: AsyncConnection, variant_id: str) -> Export | None:
    """Return the export of a variant, or None."""
    row = (await tx.execute(select(exports).where(exports.c.variant_id == variant_id))).mappings().first()
    return None if row is None else _export(row)


async def in_the_making(tx: AsyncConnection, user_id: str) -> int:
    """Return how many exports of the user are not finished."""
    query = select(func.count()).where(exports.c.user_id == user_id, exports.c.state == ExportState.GENERATING.value)
    return int(await tx.scalar(query) or 0)


async def change(tx: AsyncConnection, export_id: str, now: datetime, **values: Any) -> None:
    """Set columns of one export and its update time."""
    await tx.execute(update(exports).where(exports.c.export_id == export_id).values(**values, update_time=now))


async def settle_state(
    tx: AsyncConnection, job_id: str, state: ExportState, now: datetime, *, error_reason: str
) -> None:
    """Set the state of the export that the job makes, and why it failed."""
    await tx.execute(
        update(exports)
        .where(exports.c.job_id == job_id)
        .values(state=state.value, error_reason=error_reason, update_time=now)
    )


async def remove(tx: AsyncConnection, export_id: str) -> None:
    """Remove an export as if it had never been asked for."""
    await tx.execute(delete(exports).where(exports.c.export_id == export_id))
