"""Queries for invitations; every one takes the open transaction first."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.share.domain.invitation import Invitation
from services.share.storage.tables import invitations, shares

_OWN = (
    "share_id",
    "wants_wxcode",
    "wants_scheme",
    "wxcode_asset_id",
    "scheme_url",
    "scheme_expire_time",
    "tries",
    "making_id",
)


def _all() -> Select[Any]:
    columns = [invitations.c[name] for name in _OWN]
    return select(*columns, shares.c.user_id, shares.c.share_code).join(
        shares, shares.c.share_id == invitations.c.share_id
    )


def _invitation(row: Mapping[Any, Any]) -> Invitation:
    return Invitation(**{**row, "wxcode_asset_id": row["wxcode_asset_id"] or ""})


async def find(tx: AsyncConnection, share_id: str) -> Invitation | None:
    """Return the share's invitation, None when nobody wanted one."""
    row = (await tx.execute(_all().where(invitations.c.share_id == share_id))).mappings().first()
    return None if row is None else _invitation(row)


async def want(tx: AsyncConnection, share_id: str, making_id: str, *, wxcode: bool, scheme: bool, at: datetime) -> None:
    """Let these kinds be made, now, besides those that were wanted before; begins anew with the tries."""
    statement = insert(invitations).values(
        share_id=share_id, wants_wxcode=wxcode, wants_scheme=scheme, tries=0, making_id=making_id, due_time=at
    )
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=["share_id"],
            set_={
                "wants_wxcode": or_(invitations.c.wants_wxcode, literal(wxcode)),
                "wants_scheme": or_(invitations.c.wants_scheme, literal(scheme)),
                "tries": 0,
                "making_id": making_id,
                "due_time": at,
            },
        )
    )


async def take(tx: AsyncConnection, *, at: datetime, until: datetime) -> Invitation | None:
    """Return one that is due, which is nobody else's until then; None when none is."""
    query = _all().where(invitations.c.due_time <= at).order_by(invitations.c.due_time).limit(1)
    row = (await tx.execute(query.with_for_update(of=invitations, skip_locked=True))).mappings().first()
    if row is None:
        return None
    await change(tx, row["share_id"], due_time=until)
    return _invitation(row)


async def change(tx: AsyncConnection, share_id: str, **values: Any) -> None:
    """Set columns of one invitation."""
    await tx.execute(update(invitations).where(invitations.c.share_id == share_id).values(**values))
