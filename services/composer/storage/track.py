"""Queries for tracks and their variants; every one takes the open transaction first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.moderation import Standing
from services.composer.domain.track import Recipe, Track, TrackState, Variant
from services.composer.storage.tables import exports, recipes, tracks, variants

_TRACK_FIELDS = tuple(each.name for each in fields(Track) if each.name != "variants")
# The engine stands with the recipe.
_VARIANT_FIELDS = tuple(each.name for each in fields(Variant) if each.name != "engine")
_OPTIONAL_IDS = ("asset_id", "chosen_variant_id", "cover_asset_id")


def _track(row: Mapping[Any, Any]) -> Track:
    values = {name: row[name] for name in _TRACK_FIELDS}
    values["state"] = TrackState(values["state"])
    values["standing"] = Standing(values["standing"])
    for name in _OPTIONAL_IDS:
        values[name] = values[name] or ""
    return Track(**values)


def _variant(row: Mapping[Any, Any]) -> Variant:
    values = {name: row[name] for name in _VARIANT_FIELDS}
    return Variant(**{**values, "midi_asset_id": values["midi_asset_id"] or "", "engine": row["engine"] or ""})


async def lock_user(tx: AsyncConnection, user_id: str) -> None:
    """Make other submissions of the same user wait until this transaction ends, so that limits are exact."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"composer.tracks:{user_id}", 0))))


async def lock_everybody(tx: AsyncConnection) -> None:
    """Make everybody's submissions wait for the few milliseconds that are left of this transaction."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("composer.tracks", 0))))


async def add(tx: AsyncConnection, track: Track) -> None:
    """Write a new track without variants."""
    values = {name: getattr(track, name) for name in _TRACK_FIELDS}
    values |= {"state": track.state.value, "standing": track.standing.value}
    for name in _OPTIONAL_IDS:
        values[name] = values[name] or None
    await tx.execute(insert(tracks).values(**values))


async def find(tx: AsyncConnection, track_id: str, *, user_id: str = "", lock: str = "") -> Track | None:
    """Return the living track with its variants, or None; *lock* "update" keeps the row until the transaction ends."""
    query = select(tracks).where(tracks.c.track_id == track_id, tracks.c.delete_time.is_(None))
    if user_id:
        query = query.where(tracks.c.user_id == user_id)
    if lock:
        query = query.with_for_update()
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else (await with_variants(tx, [_track(row)]))[0]


async def find_many(tx: AsyncConnection, track_ids: Sequence[str], *, words: str = "") -> list[Track]:
    """Return the living ones of these tracks, whoever owns them, with their variants; in no order.

    With *words* only those whose title or lyrics hold every one of them, in any case.
    """
    query = select(tracks).where(tracks.c.track_id.in_(track_ids), tracks.c.delete_time.is_(None), *_holding(words))
    return await with_variants(tx, [_track(row) for row in (await tx.execute(query)).mappings()])


async def put_away(tx: AsyncConnection, track_id: str, user_id: str, *, since: datetime | None = None) -> Track | None:
    """Return the user's track that was put away, at that time or later if one is given; without variants, or None."""
    query = select(tracks).where(
        tracks.c.track_id == track_id, tracks.c.user_id == user_id, tracks.c.delete_time.is_not(None)
    )
    if since is not None:
        query = query.where(tracks.c.delete_time >= since)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _track(row)


async def find_by_request(tx: AsyncConnection, user_id: str, request_id: str) -> Track | None:
    """Return the track that this request id made for the user, put away or not, or None."""
    query = select(tracks).where(tracks.c.user_id == user_id, tracks.c.request_id == request_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else (await with_variants(tx, [_track(row)]))[0]


async def page(
    tx: AsyncConnection, user_id: str, *, before: str, size: int, words: str = "", trashed_since: datetime | None = None
) -> list[Track]:
    """Return up to *size* of the user's tracks below the id *before* (empty for the newest), newest first.

    They are the living ones, or with *trashed_since* those put away from then on; with *words* those whose title or
    lyrics hold every one of them, in any case.
    """
    away = tracks.c.delete_time.is_(None) if trashed_since is None else tracks.c.delete_time >= trashed_since
    query = select(tracks).where(tracks.c.user_id == user_id, away, *_holding(words))
    if before:
        query = query.where(tracks.c.track_id < before)
    query = query.order_by(tracks.c.track_id.desc()).limit(size)
    found = [_track(row) for row in (await tx.execute(query)).mappings()]
    return await with_variants(tx, found)


def _holding(words: str) -> list[ColumnElement[bool]]:
    """Return what a track fulfils whose title or lyrics hold every one of the words."""
    return [
        or_(*(column.icontains(word, autoescape=True) for column in (tracks.c.title, tracks.c.lyrics)))
        for word in words.split()
    ]


async def with_variants(tx: AsyncConnection, found: Sequence[Track]) -> list[Track]:
    """Return the tracks with their variants filled in by one query for all of them."""
    ids = [track.track_id for track in found]
    if not ids:
        return []
    query = select(variants, recipes.c.engine).outerjoin(recipes, recipes.c.track_id == variants.c.track_id)
    query = query.where(variants.c.track_id.in_(ids)).order_by(variants.c.track_id, variants.c.label)
    rows = [_variant(row) for row in (await tx.execute(query)).mappings()]
    return [replace(track, variants=tuple(v for v in rows if v.track_id == track.track_id)) for track in found]


async def change(tx: AsyncConnection, track_id: str, now: datetime, **values: Any) -> None:
    """Set columns of one track and its update time."""
    await tx.execute(update(tracks).where(tracks.c.track_id == track_id).values(**values, update_time=now))


async def settle_state(tx: AsyncConnection, job_id: str, state: TrackState, now: datetime) -> None:
    """Set the state of the track that the job makes; a track put away is left as it is."""
    await tx.execute(
        update(tracks)
        .where(and_(tracks.c.job_id == job_id, tracks.c.delete_time.is_(None)))
        .values(state=state.value, update_time=now)
    )


async def add_variants(tx: AsyncConnection, made: Sequence[Variant]) -> None:
    """Write the variants of a track."""
    rows = [{name: getattr(each, name) for name in _VARIANT_FIELDS} for each in made]
    await tx.execute(insert(variants), [row | {"midi_asset_id": row["midi_asset_id"] or None} for row in rows])


async def add_recipe(tx: AsyncConnection, recipe: Recipe) -> None:
    """Write what the track was made of."""
    await tx.execute(insert(recipes).values(track_id=recipe.track_id, engine=recipe.engine, order=recipe.order))


async def find_recipe(tx: AsyncConnection, track_id: str) -> Recipe | None:
    """Return what the track was made of, or None when that is not known."""
    row = (await tx.execute(select(recipes).where(recipes.c.track_id == track_id))).mappings().first()
    return None if row is None else Recipe(**row)


async def asset_in_use(tx: AsyncConnection, asset_id: str, *, trashed_since: datetime) -> bool:
    """Say whether a living track in the making reads the asset, or any track plays, shows or exports it.

    A track that was put away from *trashed_since* on can be taken back, so it still plays.
    """
    sounding = select(variants.c.track_id).where(
        or_(variants.c.asset_id == asset_id, variants.c.midi_asset_id == asset_id)
    )
    exported = select(exports.c.track_id).where(
        or_(exports.c.wav_asset_id == asset_id, exports.c.stems_asset_id == asset_id)
    )
    query = select(tracks.c.track_id).where(
        or_(tracks.c.delete_time.is_(None), tracks.c.delete_time >= trashed_since),
        or_(
            tracks.c.track_id.in_(exported),
            and_(
                tracks.c.asset_id == asset_id,
                tracks.c.state == TrackState.GENERATING.value,
                tracks.c.delete_time.is_(None),
            ),
            tracks.c.cover_asset_id == asset_id,
            tracks.c.track_id.in_(sounding),
        ),
    )
    return (await tx.execute(query.limit(1))).first() is not None


async def remove(tx: AsyncConnection, track_id: str) -> None:
    """Remove a track as if it had never been asked for; used when its credits could not be held."""
    await tx.execute(delete(tracks).where(tracks.c.track_id == track_id))
