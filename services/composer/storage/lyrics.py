"""Queries for lyrics and their versions; every one takes the open transaction first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.lyrics import Lyrics, LyricsState, LyricsVersion
from services.composer.domain.usage import ModelUsage
from services.composer.storage.tables import lyrics, lyrics_versions

_LYRICS_FIELDS = tuple(each.name for each in fields(Lyrics) if each.name != "versions")
_VERSION_FIELDS = tuple(each.name for each in fields(LyricsVersion))


def _lyrics(row: Mapping[Any, Any]) -> Lyrics:
    values = {name: row[name] for name in _LYRICS_FIELDS}
    values["state"] = LyricsState(values["state"])
    values["keywords"] = tuple(values["keywords"])
    return Lyrics(**values)


def _version(row: Mapping[Any, Any]) -> LyricsVersion:
    values = {name: row[name] for name in _VERSION_FIELDS}
    values["sections"] = tuple((each["kind"], tuple(each["lines"])) for each in values["sections"])
    return LyricsVersion(**values)


async def lock_user(tx: AsyncConnection, user_id: str) -> None:
    """Make other submissions of the same user wait until this transaction ends, so that limits are exact."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"composer.lyrics:{user_id}", 0))))


async def lock_everybody(tx: AsyncConnection) -> None:
    """Make everybody's submissions wait for the few milliseconds that are left of this transaction."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("composer.lyrics", 0))))


async def add(tx: AsyncConnection, made: Lyrics) -> None:
    """Write new lyrics without versions."""
    values = {name: getattr(made, name) for name in _LYRICS_FIELDS}
    values["state"] = made.state.value
    values["keywords"] = list(made.keywords)
    await tx.execute(insert(lyrics).values(**values))


async def find(tx: AsyncConnection, lyrics_id: str, *, user_id: str = "") -> Lyrics | None:
    """Return the living lyrics with their versions, or None; an empty user id finds anybody's."""
    query = select(lyrics).where(lyrics.c.lyrics_id == lyrics_id, lyrics.c.delete_time.is_(None))
    if user_id:
        query = query.where(lyrics.c.user_id == user_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else (await _with_versions(tx, [_lyrics(row)]))[0]


async def was_put_away(tx: AsyncConnection, lyrics_id: str, user_id: str) -> bool:
    """Say whether this user has put such lyrics away."""
    query = select(lyrics.c.lyrics_id).where(
        lyrics.c.lyrics_id == lyrics_id, lyrics.c.user_id == user_id, lyrics.c.delete_time.is_not(None)
    )
    return (await tx.execute(query)).first() is not None


async def find_by_request(tx: AsyncConnection, user_id: str, request_id: str) -> Lyrics | None:
    """Return the lyrics that this request id made for the user, put away or not, or None."""
    query = select(lyrics).where(lyrics.c.user_id == user_id, lyrics.c.request_id == request_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else (await _with_versions(tx, [_lyrics(row)]))[0]


async def find_by_job(tx: AsyncConnection, job_id: str) -> Lyrics | None:
    """Return the living lyrics that the job writes, or None."""
    query = select(lyrics).where(lyrics.c.job_id == job_id, lyrics.c.delete_time.is_(None))
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else (await _with_versions(tx, [_lyrics(row)]))[0]


async def find_version(tx: AsyncConnection, version_id: str, *, user_id: str) -> LyricsVersion | None:
    """Return the version of this user's living lyrics, or None."""
    query = (
        select(lyrics_versions)
        .join(lyrics, lyrics.c.lyrics_id == lyrics_versions.c.lyrics_id)
        .where(lyrics_versions.c.version_id == version_id, lyrics.c.user_id == user_id, lyrics.c.delete_time.is_(None))
    )
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _version(row)


async def page(tx: AsyncConnection, user_id: str, *, before: str, size: int) -> list[Lyrics]:
    """Return up to *size* of the user's living lyrics below the id *before* (empty for the newest), newest first."""
    query = select(lyrics).where(lyrics.c.user_id == user_id, lyrics.c.delete_time.is_(None))
    if before:
        query = query.where(lyrics.c.lyrics_id < before)
    query = query.order_by(lyrics.c.lyrics_id.desc()).limit(size)
    return await _with_versions(tx, [_lyrics(row) for row in (await tx.execute(query)).mappings()])


async def _with_versions(tx: AsyncConnection, found: Sequence[Lyrics]) -> list[Lyrics]:
    """Return the lyrics with their versions filled in by one query for all of them."""
    ids = [each.lyrics_id for each in found]
    if not ids:
        return []
    table = lyrics_versions
    query = select(table).where(table.c.lyrics_id.in_(ids)).order_by(table.c.lyrics_id, table.c.label)
    rows = [_version(row) for row in (await tx.execute(query)).mappings()]
    return [replace(each, versions=tuple(v for v in rows if v.lyrics_id == each.lyrics_id)) for each in found]


async def change(tx: AsyncConnection, lyrics_id: str, now: datetime, **values: Any) -> None:
    """Set columns of one row of lyrics and its update time."""
    await tx.execute(update(lyrics).where(lyrics.c.lyrics_id == lyrics_id).values(**values, update_time=now))


async def add_usage(tx: AsyncConnection, lyrics_id: str, usage: ModelUsage) -> None:
    """Add what models took to what is noted of the lyrics."""
    columns = ("input_tokens", "output_tokens", "cost_micros")
    values = {name: lyrics.c[name] + getattr(usage, name) for name in columns}
    await tx.execute(update(lyrics).where(lyrics.c.lyrics_id == lyrics_id).values(**values))


async def settle_state(tx: AsyncConnection, job_id: str, state: LyricsState, now: datetime) -> None:
    """Set the state of the lyrics that the job writes; lyrics put away are left as they are."""
    await tx.execute(
        update(lyrics)
        .where(lyrics.c.job_id == job_id, lyrics.c.delete_time.is_(None))
        .values(state=state.value, update_time=now)
    )


async def add_versions(tx: AsyncConnection, made: Sequence[LyricsVersion]) -> None:
    """Write the versions of lyrics."""
    rows = [{name: getattr(each, name) for name in _VERSION_FIELDS} for each in made]
    for row in rows:
        row["sections"] = [{"kind": kind, "lines": list(lines)} for kind, lines in row["sections"]]
    await tx.execute(insert(lyrics_versions), rows)


async def remove(tx: AsyncConnection, lyrics_id: str) -> None:
    """Remove lyrics as if they had never been asked for; used when their credits could not be held."""
    await tx.execute(delete(lyrics).where(lyrics.c.lyrics_id == lyrics_id))
