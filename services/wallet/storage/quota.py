"""Named queries about plans and what they allow."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.wallet.domain.quota import Plan, Quota

_PLAN = text("SELECT plan FROM wallet.members WHERE user_id = CAST(:user_id AS uuid)")

_SET_PLAN = text("""
INSERT INTO wallet.members (user_id, plan, update_time) VALUES (CAST(:user_id AS uuid), :plan, :at)
ON CONFLICT (user_id) DO UPDATE SET plan = excluded.plan, update_time = excluded.update_time
""")

_QUOTAS = text("""
SELECT DISTINCT ON (kind) kind, limit_runs, version FROM wallet.quotas
WHERE plan = :plan AND (CAST(:kind AS text) IS NULL OR kind = CAST(:kind AS text))
ORDER BY kind, version DESC
""")

_ADD = text("""
INSERT INTO wallet.quotas (plan, kind, version, limit_runs, create_time)
VALUES (:plan, :kind, :version, :limit_runs, :at)
ON CONFLICT (plan, kind, version) DO NOTHING
""")

_USED = text("""
SELECT price_kind, count(*) AS used FROM wallet.holds
WHERE user_id = CAST(:user_id AS uuid) AND create_time >= :start AND state IN ('held', 'settled')
GROUP BY price_kind
""")


async def plan_of(tx: AsyncConnection, user_id: str) -> Plan:
    """Return the plan that a user is on."""
    found = (await tx.execute(_PLAN, {"user_id": user_id})).scalar()
    return Plan.FREE if found is None else Plan(found)


async def set_plan(tx: AsyncConnection, user_id: str, plan: Plan, at: datetime) -> None:
    """Put a user on a plan."""
    await tx.execute(_SET_PLAN, {"user_id": user_id, "plan": plan.value, "at": at})


async def quotas(tx: AsyncConnection, plan: Plan, kind: str | None = None) -> list[Quota]:
    """Return what a plan allows now, of one kind of work or of all that have a limit or had one."""
    rows = await tx.execute(_QUOTAS, {"plan": plan.value, "kind": kind})
    return [Quota(plan, row.kind, row.limit_runs, row.version) for row in rows]


async def add(tx: AsyncConnection, quota: Quota, at: datetime) -> bool:
    """Add a version; False when somebody else has just added the same one."""
    values = {"plan": quota.plan.value, "kind": quota.kind, "version": quota.version, "limit_runs": quota.limit}
    return (await tx.execute(_ADD, {**values, "at": at})).rowcount == 1


async def used(tx: AsyncConnection, user_id: str, start: datetime) -> dict[str, int]:
    """Return how many runs of each kind count since an instant."""
    rows = await tx.execute(_USED, {"user_id": user_id, "start": start})
    return {row.price_kind: row.used for row in rows}
