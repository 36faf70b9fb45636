"""Named queries of merges."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.merge import Merge, MergeState
from services.auth.storage.tables import identities, merges, users

_CONFIRMED = (MergeState.RUNNING.value, MergeState.DONE.value)


async def add(tx: AsyncConnection, merge: Merge, *, at: datetime) -> None:
    """Write an offer."""
    await tx.execute(
        insert(merges).values(
            merge_id=merge.merge_id,
            asked_by=merge.asked_by,
            source_id=merge.source_id,
            target_id=merge.target_id,
            state=merge.state.value,
            offer_expire_time=merge.offer_expire_time,
            create_time=at,
            update_time=at,
        )
    )


async def get(tx: AsyncConnection, merge_id: str, *, locked: bool = False) -> Merge | None:
    """Return a merge, None when there is none; locked, whoever changes it waits for the one before."""
    statement = select(merges).where(merges.c.merge_id == merge_id)
    row = (await tx.execute(statement.with_for_update() if locked else statement)).first()
    return None if row is None else _merge(row)


async def put(tx: AsyncConnection, merge: Merge, *, at: datetime) -> None:
    """Write how far a merge has come."""
    await tx.execute(
        update(merges)
        .where(merges.c.merge_id == merge.merge_id)
        .values(
            state=merge.state.value,
            confirm_time=merge.confirm_time,
            identity_ids=list(merge.identity_ids),
            update_time=at,
        )
    )


async def advance(tx: AsyncConnection, merge_id: str, *, source: MergeState, target: MergeState, at: datetime) -> bool:
    """Let a merge go from one state to the next; False when it is in another one by now."""
    statement = update(merges).where(merges.c.merge_id == merge_id, merges.c.state == source.value)
    return (await tx.execute(statement.values(state=target.value, update_time=at))).rowcount == 1


async def count_taken_in(tx: AsyncConnection, user_id: str, *, since: datetime) -> int:
    """Return how many users a user has taken in since then and not given back."""
    statement = select(func.count()).where(
        merges.c.target_id == user_id, merges.c.confirm_time > since, merges.c.state.in_(_CONFIRMED)
    )
    return int((await tx.execute(statement)).scalar() or 0)


async def move_identities(
    tx: AsyncConnection, *, source: str, target: str, at: datetime, only: Sequence[str] | None = None
) -> list[str]:
    """Give the ways to log in of one user, or those of them that are named, to another; return their ids."""
    statement = update(identities).where(identities.c.user_id == source).values(user_id=target, update_time=at)
    if only is not None:
        statement = statement.where(identities.c.identity_id.in_(only))
    return list((await tx.execute(statement.returning(identities.c.identity_id))).scalars())


async def set_merged(tx: AsyncConnection, user_id: str, target: str | None, *, at: datetime) -> None:
    """Note which user a user has become, or that it is itself again."""
    statement = update(users).where(users.c.user_id == user_id)
    await tx.execute(statement.values(merged_into=target, update_time=at))


def _merge(row: Row[Any]) -> Merge:
    return Merge(
        row.merge_id,
        row.asked_by,
        row.source_id,
        row.target_id,
        MergeState(row.state),
        row.offer_expire_time,
        row.confirm_time,
        tuple(row.identity_ids),
    )
