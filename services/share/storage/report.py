"""Queries for complaints; every one takes the open transaction first."""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.share.domain.report import Reason, Report, Reported
from services.share.domain.share import Share, State
from services.share.storage.share import share_of
from services.share.storage.tables import reports, shares

NEWEST = 10
MOST = 1000

_OPEN = reports.c.decide_time.is_(None)


async def add(tx: AsyncConnection, share_id: str, place: str, report: Report) -> None:
    """Write the complaint in the place of an older one from there; of one share no more than a thousand are kept."""
    count = select(func.count()).where(reports.c.share_id == share_id)
    if (await tx.execute(count)).scalar_one() >= MOST:
        return
    values = {
        "reason": report.reason.value,
        "message": report.message,
        "create_time": report.create_time,
        "decide_time": None,
    }
    statement = insert(reports).values(share_id=share_id, place=place, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["share_id", "place"], set_=values))


async def open_page(tx: AsyncConnection, *, before: str, count: int) -> list[Reported]:
    """Return up to `count` shares with open complaints, older than `before` unless it is empty, newest first."""
    query = select(shares).where(shares.c.share_id.in_(select(reports.c.share_id).where(_OPEN)))
    if before:
        query = query.where(shares.c.share_id < before)
    rows = await tx.execute(query.order_by(shares.c.share_id.desc()).limit(count))
    return [await _reported(tx, share_of(row)) for row in rows.mappings().all()]


async def _reported(tx: AsyncConnection, share: Share) -> Reported:
    mine = (reports.c.share_id == share.share_id) & _OPEN
    count = (await tx.execute(select(func.count()).where(mine))).scalar_one()
    rows = await tx.execute(select(reports).where(mine).order_by(reports.c.create_time.desc()).limit(NEWEST))
    newest = tuple(
        Report(reason=Reason(row["reason"]), message=row["message"], create_time=row["create_time"])
        for row in rows.mappings()
    )
    return Reported(share=share, count=int(count), reports=newest)


async def decide(tx: AsyncConnection, share_id: str, at: datetime) -> None:
    """Answer every open complaint about the share."""
    await tx.execute(update(reports).where(reports.c.share_id == share_id, _OPEN).values(decide_time=at))


async def take_down(tx: AsyncConnection, share_id: str, at: datetime) -> None:
    """Let the share show nothing and be on no list, whatever its owner does."""
    values = {"state": State.TAKEN_DOWN.value, "revoke_time": at, "listed": False, "category": ""}
    await tx.execute(
        update(shares).where(shares.c.share_id == share_id, shares.c.state != State.TAKEN_DOWN.value).values(**values)
    )


async def let_stand(tx: AsyncConnection, share_id: str) -> None:
    """Make a share valid again that was taken down; any other one stays as it is."""
    taken = (shares.c.share_id == share_id) & (shares.c.state == State.TAKEN_DOWN.value)
    await tx.execute(update(shares).where(taken).values(state=State.ACTIVE.value, revoke_time=None))
