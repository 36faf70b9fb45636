"""Queries for shares; every one takes the open transaction first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import case, delete, func, null, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.share.domain.share import Share, State
from services.share.storage.tables import guesses, shares

_BEHIND = tuple_(shares.c.play_count, shares.c.share_id)
_TYPES = (shares.c.play_count.type, shares.c.share_id.type)


class CodeTaken(Exception):  # the fact; the caller draws another code
    """Another share has this code already."""


def share_of(row: Mapping[Any, Any]) -> Share:
    """Return the share of a whole row."""
    return Share(**{**row, "state": State(row["state"])})


async def open_share(
    tx: AsyncConnection, *, share_id: str, share_code: str, track_id: str, user_id: str, at: datetime
) -> Share:
    """Return the person's share of the track, valid: the one that was there, or a new one with this code.

    One that was called back or has ended begins anew, without end and password; one that was taken down stays so.
    Raises CodeTaken; the transaction is of no use then.
    """
    statement = insert(shares).values(
        share_id=share_id,
        share_code=share_code,
        track_id=track_id,
        user_id=user_id,
        state=State.ACTIVE.value,
        create_time=at,
    )
    over = or_(shares.c.state == State.REVOKED.value, shares.c.expire_time <= at)
    taken = shares.c.state == State.TAKEN_DOWN.value
    statement = statement.on_conflict_do_update(
        index_elements=["user_id", "track_id"],
        set_={
            "state": case((taken, shares.c.state), else_=State.ACTIVE.value),
            "revoke_time": case((taken, shares.c.revoke_time), else_=null()),
            "expire_time": case((over, null()), else_=shares.c.expire_time),
            "password_hash": case((over, ""), else_=shares.c.password_hash),
            # What is over is on no list, and its owner decides anew.
            "listed": case((over, False), else_=shares.c.listed),
            "category": case((over, ""), else_=shares.c.category),
        },
    )
    try:
        row = (await tx.execute(statement.returning(shares))).mappings().one()
    except IntegrityError as error:
        if "uq_shares_share_code" not in str(error.orig):
            raise
        raise CodeTaken from error
    return share_of(row)


async def by_code(tx: AsyncConnection, share_code: str) -> Share | None:
    """Return the share with this code, or None."""
    row = (await tx.execute(select(shares).where(shares.c.share_code == share_code))).mappings().one_or_none()
    return share_of(row) if row else None


async def page(tx: AsyncConnection, user_id: str, *, before: str, count: int) -> Sequence[Share]:
    """Return up to `count` of the person's shares, newest first, older than `before` unless it is empty."""
    query = select(shares).where(shares.c.user_id == user_id)
    if before:
        # Ids are made in time order, so the id alone is the sort key.
        query = query.where(shares.c.share_id < before)
    rows = await tx.execute(query.order_by(shares.c.share_id.desc()).limit(count))
    return [share_of(row) for row in rows.mappings()]


async def listed_page(
    tx: AsyncConnection, category: str, *, before: str, plays: int | None, count: int, at: datetime
) -> Sequence[Share]:
    """Return up to `count` shares listed now, of one category unless it is empty, older than `before`, newest first.

    With `plays` the most played first, and only those behind the one of that id and so many plays.
    """
    query = select(shares).where(shares.c.listed, or_(shares.c.expire_time.is_(None), shares.c.expire_time > at))
    if category:
        query = query.where(shares.c.category == category)
    if plays is None:
        order = [shares.c.share_id.desc()]
        if before:
            query = query.where(shares.c.share_id < before)
    else:
        order = [shares.c.play_count.desc(), shares.c.share_id.desc()]
        if before:
            query = query.where(tuple_(plays, before, types=_TYPES) > _BEHIND)
    rows = await tx.execute(query.order_by(*order).limit(count))
    return [share_of(row) for row in rows.mappings()]


async def change(tx: AsyncConnection, share_id: str, **values: Any) -> Share | None:
    """Return the valid share with the values written; None when it was called back meanwhile."""
    statement = update(shares).where(shares.c.share_id == share_id, shares.c.state == State.ACTIVE.value)
    row = (await tx.execute(statement.values(**values).returning(shares))).mappings().first()
    return share_of(row) if row else None


async def guess(tx: AsyncConnection, share_id: str, place: str, *, at: datetime, since: datetime) -> tuple[int, int]:
    """Count one password that is going to be tried; return how many since then, of this place and of all places.

    The share's row is locked, so that no guesses at the same moment count as one.
    """
    await tx.execute(select(shares.c.share_id).where(shares.c.share_id == share_id).with_for_update())
    mine = guesses.c.share_id == share_id
    await tx.execute(delete(guesses).where(mine, guesses.c.begin_time <= since))
    statement = insert(guesses).values(share_id=share_id, place=place, wrong=1, begin_time=at)
    statement = statement.on_conflict_do_update(
        index_elements=["share_id", "place"], set_={"wrong": guesses.c.wrong + 1}
    )
    here = (await tx.execute(statement.returning(guesses.c.wrong))).scalar_one()
    everywhere = (await tx.execute(select(func.sum(guesses.c.wrong)).where(mine))).scalar_one()
    return int(here), int(everywhere)


async def forgive(tx: AsyncConnection, share_id: str, place: str) -> None:
    """Forget the wrong passwords of a place that knows the right one."""
    await tx.execute(delete(guesses).where(guesses.c.share_id == share_id, guesses.c.place == place))


async def revoke(tx: AsyncConnection, share_code: str, user_id: str, at: datetime) -> Share | None:
    """Return the person's share with this code, revoked now or before; None when there is none."""
    own = (shares.c.share_code == share_code) & (shares.c.user_id == user_id)
    statement = update(shares).where(own, shares.c.state == State.ACTIVE.value)
    # Whoever shares the track anew decides anew whether it is listed.
    await tx.execute(statement.values(state=State.REVOKED.value, revoke_time=at, listed=False, category=""))
    row = (await tx.execute(select(shares).where(own))).mappings().one_or_none()
    return share_of(row) if row else None


async def count_view(tx: AsyncConnection, share_id: str) -> None:
    """Count one opening of the page."""
    statement = update(shares).where(shares.c.share_id == share_id)
    await tx.execute(statement.values(view_count=shares.c.view_count + 1))
