"""Queries for findings and appeals; every one takes the open transaction first."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.moderation import Appeal, Finding, Part, Standing
from services.composer.storage.tables import appeals, findings, tracks

_FINDING_FIELDS = tuple(each.name for each in fields(Finding))
_APPEAL_FIELDS = tuple(each.name for each in fields(Appeal))


def _finding(row: Mapping[Any, Any]) -> Finding:
    values = {name: row[name] for name in _FINDING_FIELDS}
    return Finding(**{**values, "part": Part(values["part"]), "standing": Standing(values["standing"])})


def _appeal(row: Mapping[Any, Any]) -> Appeal:
    values = {name: row[name] for name in _APPEAL_FIELDS}
    return Appeal(**{**values, "decision": Standing(values["decision"]) if values["decision"] else None})


async def findings_of(tx: AsyncConnection, track_ids: Sequence[str]) -> dict[str, list[Finding]]:
    """Return what was found in each of the tracks, by one query for all of them."""
    found: dict[str, list[Finding]] = {track_id: [] for track_id in track_ids}
    query = select(findings).where(findings.c.track_id.in_(track_ids)).order_by(findings.c.part)
    for row in (await tx.execute(query)).mappings():
        found[row["track_id"]].append(_finding(row))
    return found


async def keep(tx: AsyncConnection, track_id: str, finding: Finding, now: datetime) -> None:
    """Write the finding in the place of an older one on the same part."""
    values = {
        "standing": finding.standing.value,
        "source": finding.source,
        "label": finding.label,
        "digest": finding.digest,
        "reference": finding.reference,
        "update_time": now,
    }
    statement = insert(findings).values(track_id=track_id, part=finding.part.value, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["track_id", "part"], set_=values))


async def track_of(tx: AsyncConnection, reference: str) -> str:
    """Return the track whose verdict is known by the reference, or an empty id."""
    query = select(findings.c.track_id).where(findings.c.reference == reference, findings.c.reference != "")
    return (await tx.execute(query.limit(1))).scalar_one_or_none() or ""


async def stand(tx: AsyncConnection, track_id: str, standing: Standing) -> None:
    """Write where the track stands; that changes nothing of the song itself."""
    await tx.execute(update(tracks).where(tracks.c.track_id == track_id).values(standing=standing.value))


async def add_appeal(tx: AsyncConnection, appeal: Appeal) -> None:
    """Write the appeal in the place of an older one."""
    values = {
        "user_id": appeal.user_id,
        "message": appeal.message,
        "create_time": appeal.create_time,
        "decision": None,
        "decide_time": None,
    }
    statement = insert(appeals).values(track_id=appeal.track_id, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["track_id"], set_=values))


async def answer_appeal(tx: AsyncConnection, track_id: str, decision: Standing, now: datetime) -> None:
    """Answer the track's open appeal, if there is one."""
    mine = and_(appeals.c.track_id == track_id, appeals.c.decision.is_(None))
    await tx.execute(update(appeals).where(mine).values(decision=decision.value, decide_time=now))


async def appeals_of(tx: AsyncConnection, track_ids: Sequence[str]) -> dict[str, Appeal]:
    """Return the appeals about these tracks."""
    query = select(appeals).where(appeals.c.track_id.in_(track_ids))
    return {row["track_id"]: _appeal(row) for row in (await tx.execute(query)).mappings()}


async def waiting(tx: AsyncConnection, *, before: str, size: int) -> list[str]:
    """Return up to *size* living tracks that wait for a person, below the id *before*, newest first."""
    open_appeals = select(appeals.c.track_id).where(appeals.c.decision.is_(None))
    query = select(tracks.c.track_id).where(
        tracks.c.delete_time.is_(None),
        or_(tracks.c.standing == Standing.REVIEW.value, tracks.c.track_id.in_(open_appeals)),
    )
    if before:
        query = query.where(tracks.c.track_id < before)
    return list((await tx.execute(query.order_by(tracks.c.track_id.desc()).limit(size))).scalars())
