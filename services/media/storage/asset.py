"""The statements on assets; a deleted one is found by nobody but the one who deletes it again."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.media.domain.asset import OPEN_STATES, Asset, Failure, Kind, State
from services.media.domain.errors import AssetNotFound
from services.media.storage.tables import assets

_ALIVE = assets.c.delete_time.is_(None)
_NULLABLE = ("job_id", "request_key")
_PLAIN = tuple(
    name for name in Asset.__dataclass_fields__ if name not in {"kind", "state", "peaks", "failure", *_NULLABLE}
)


def _asset(row: Mapping[Any, Any]) -> Asset:
    """Return the asset of a whole row."""
    failure = row["failure"]
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    values |= {name: row[name] or "" for name in _NULLABLE}
    return Asset(
        kind=Kind(row["kind"]),
        state=State(row["state"]),
        peaks=tuple(row["peaks"]),
        failure=Failure(**failure) if failure else None,
        **values,
    )


def _values(asset: Asset) -> dict[str, Any]:
    """Return the columns of an asset."""
    return {
        "kind": asset.kind.value,
        "state": asset.state.value,
        "peaks": list(asset.peaks),
        "failure": asdict(asset.failure) if asset.failure else None,
        **{name: getattr(asset, name) or None for name in _NULLABLE},
        **{name: getattr(asset, name) for name in _PLAIN},
    }


async def insert_once(tx: AsyncConnection, asset: Asset) -> bool:
    """Return whether the asset was written; False when its request key already has one."""
    statement = insert(assets).values(**_values(asset))
    statement = statement.on_conflict_do_nothing(index_elements=["user_id", "request_key"])
    return (await tx.execute(statement)).rowcount == 1


async def save(tx: AsyncConnection, asset: Asset) -> None:
    """Write the asset over its row; raises AssetNotFound when it was deleted meanwhile."""
    statement = update(assets).where(assets.c.asset_id == asset.asset_id, _ALIVE).values(**_values(asset))
    if (await tx.execute(statement)).rowcount != 1:
        raise _missing(asset.asset_id)


async def get(tx: AsyncConnection, asset_id: str, user_id: str) -> Asset:
    """Return the person's asset; raises AssetNotFound, also for somebody else's."""
    return await _one(tx, asset_id, assets.c.user_id == user_id, _ALIVE)


async def get_many(tx: AsyncConnection, asset_ids: Sequence[str], user_id: str) -> Sequence[Asset]:
    """Return those of the assets that are there and the person's, in no order."""
    query = select(assets).where(assets.c.asset_id.in_(asset_ids), assets.c.user_id == user_id, _ALIVE)
    return [_asset(row) for row in (await tx.execute(query)).mappings()]


async def lock(tx: AsyncConnection, asset_id: str, user_id: str) -> Asset:
    """Return the person's asset, its row locked until the transaction ends; raises AssetNotFound."""
    return await _one(tx, asset_id, assets.c.user_id == user_id, _ALIVE, for_update="row")


async def lock_for_work(tx: AsyncConnection, asset_id: str) -> Asset:
    """Return any person's asset for the job that works on it, locked; raises AssetNotFound."""
    return await _one(tx, asset_id, _ALIVE, for_update="row")


async def _one(tx: AsyncConnection, asset_id: str, *conditions: ColumnElement[bool], for_update: str = "") -> Asset:
    """Return the one asset that the conditions leave."""
    query = select(assets).where(assets.c.asset_id == asset_id, *conditions)
    if for_update:
        query = query.with_for_update()
    row = (await tx.execute(query)).mappings().one_or_none()
    if row is None:
        raise _missing(asset_id)
    return _asset(row)


def _missing(asset_id: str) -> AssetNotFound:
    """Return the error that hides whether the asset is another person's, deleted or unheard of."""
    return AssetNotFound("there is no such asset", asset_id=asset_id)


async def was_deleted(tx: AsyncConnection, asset_id: str, user_id: str) -> bool:
    """Return whether this person deleted this asset not long ago."""
    query = select(assets.c.asset_id).where(
        assets.c.asset_id == asset_id, assets.c.user_id == user_id, assets.c.delete_time.is_not(None)
    )
    return (await tx.execute(query)).one_or_none() is not None


async def by_request(tx: AsyncConnection, user_id: str, request_key: str) -> Asset | None:
    """Return the asset that this request made; raises AssetNotFound when it has been deleted since."""
    query = select(assets).where(assets.c.user_id == user_id, assets.c.request_key == request_key)
    row = (await tx.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    if row["delete_time"] is not None:
        raise _missing(row["asset_id"])
    return _asset(row)


async def page(tx: AsyncConnection, user_id: str, *, before: str, count: int) -> Sequence[Asset]:
    """Return up to `count` of the person's assets, newest first, older than `before` unless it is empty."""
    query = select(assets).where(assets.c.user_id == user_id, _ALIVE)
    if before:
        # Ids are made in time order, so the id alone is the sort key.
        query = query.where(assets.c.asset_id < before)
    rows = await tx.execute(query.order_by(assets.c.asset_id.desc()).limit(count))
    return [_asset(row) for row in rows.mappings()]


async def open_count(tx: AsyncConnection, user_id: str) -> int:
    """Return how many of the person's assets are neither ready nor failed."""
    states = [state.value for state in OPEN_STATES]
    query = select(func.count()).where(assets.c.user_id == user_id, assets.c.state.in_(states), _ALIVE)
    return int((await tx.execute(query)).scalar_one())


async def mark_deleted(tx: AsyncConnection, asset_id: str, at: datetime) -> None:
    """Hide the asset from everybody from now on."""
    await tx.execute(update(assets).where(assets.c.asset_id == asset_id).values(delete_time=at, update_time=at))


async def remove_abandoned(tx: AsyncConnection, before: datetime, most: int) -> int:
    """Return how many assets were removed whose file never came, announced before the instant."""
    query = select(assets.c.asset_id).where(
        assets.c.state == State.UPLOADING.value, assets.c.create_time < before, _ALIVE
    )
    return await _remove(tx, query.limit(most).with_for_update(skip_locked=True))


async def remove_tombstones(tx: AsyncConnection, before: datetime, most: int) -> int:
    """Return how many rows were removed of assets that were deleted before the instant."""
    query = select(assets.c.asset_id).where(assets.c.delete_time < before)
    return await _remove(tx, query.limit(most).with_for_update(skip_locked=True))


async def _remove(tx: AsyncConnection, query: Select[tuple[str]]) -> int:
    """Return how many rows were removed of those that the query locks."""
    chosen = query.cte("chosen")
    return (await tx.execute(delete(assets).where(assets.c.asset_id == chosen.c.asset_id))).rowcount
