"""Named queries about what administrators did, and about the wallets they stopped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.audit import Action, AdminAct, Audit, Freeze


@dataclass(frozen=True)
class EarlierAct:
    """The first act under a client-made id: the hash of its input and what it answered."""

    input_hash: bytes
    answer: dict[str, Any]


_EARLIER = text("SELECT input_hash, answer FROM wallet.audits WHERE action = :action AND request_id = :request_id")

_ADD = text("""
INSERT INTO wallet.audits (audit_id, action, request_id, subject, operator_id, reason, input, input_hash, answer,
                           create_time)
VALUES (CAST(:audit_id AS uuid), :action, :request_id, :subject, :operator_id, :reason, CAST(:input AS jsonb),
        decode(:input_hash, 'hex'), CAST(:answer AS jsonb), :at)
ON CONFLICT (action, request_id) DO NOTHING
""")

_PAGE = text("""
SELECT audit_id, action, subject, operator_id, reason, input, create_time FROM wallet.audits
WHERE (CAST(:before AS uuid) IS NULL OR audit_id < CAST(:before AS uuid))
  AND (CAST(:subject AS text) IS NULL OR subject = CAST(:subject AS text))
ORDER BY audit_id DESC LIMIT :most
""")

_FREEZE = text("""
INSERT INTO wallet.freezes (user_id, reason, freeze_time) VALUES (CAST(:user_id AS uuid), :reason, :at)
ON CONFLICT (user_id) DO UPDATE SET reason = excluded.reason
RETURNING freeze_time
""")

_UNFREEZE = text("DELETE FROM wallet.freezes WHERE user_id = CAST(:user_id AS uuid)")

_FROZEN = text("SELECT user_id, reason, freeze_time FROM wallet.freezes WHERE user_id = CAST(:user_id AS uuid)")


async def find_earlier(tx: AsyncConnection, action: Action, request_id: str) -> EarlierAct | None:
    """Return what the first act under this id left, None when there was none."""
    row = (await tx.execute(_EARLIER, {"action": action.value, "request_id": request_id})).first()
    return None if row is None else EarlierAct(bytes(row.input_hash), row.answer)


async def add(tx: AsyncConnection, act: AdminAct, answer: Mapping[str, Any], *, audit_id: str, at: datetime) -> bool:
    """Write the line of an act; False when its id was used meanwhile."""
    values = {
        "audit_id": audit_id,
        "action": act.action.value,
        "request_id": act.request_id,
        "subject": act.subject,
        "operator_id": act.operator_id,
        "reason": act.reason,
        "input": json.dumps(dict(act.values)),
        "input_hash": act.input_hash.hex(),
        "answer": json.dumps(answer),
        "at": at,
    }
    return (await tx.execute(_ADD, values)).rowcount == 1


async def page(tx: AsyncConnection, *, before: str, subject: str, most: int) -> list[Audit]:
    """Return up to `most` lines below the id `before` (empty for the newest), about one subject or all."""
    rows = await tx.execute(_PAGE, {"before": before or None, "subject": subject or None, "most": most})
    return [
        Audit(
            audit_id=str(row.audit_id),
            action=Action(row.action),
            subject=row.subject,
            operator_id=row.operator_id,
            reason=row.reason,
            input=json.dumps(row.input, sort_keys=True),
            create_time=row.create_time,
        )
        for row in rows
    ]


async def freeze(tx: AsyncConnection, user_id: str, reason: str, at: datetime) -> Freeze:
    """Return the freeze of a wallet, made now, or with the new reason when there was one."""
    since = (await tx.execute(_FREEZE, {"user_id": user_id, "reason": reason, "at": at})).scalar_one()
    return Freeze(user_id, reason, since)


async def unfreeze(tx: AsyncConnection, user_id: str) -> bool:
    """Take the freeze of a wallet away; say whether there was one."""
    return (await tx.execute(_UNFREEZE, {"user_id": user_id})).rowcount == 1


async def frozen(tx: AsyncConnection, user_id: str) -> Freeze | None:
    """Return the freeze of a wallet, None while it may be used."""
    row = (await tx.execute(_FROZEN, {"user_id": user_id})).first()
    return None if row is None else Freeze(str(row.user_id), row.reason, row.freeze_time)
