"""Named queries about jobs from the side of money."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.hold import first_of_moment
from services.kit.jobs.states import State

_FIRST = "00000000-0000-0000-0000-000000000000"

# A job has one bill for each hold that was made for it: an earlier round has failed, or there were no later one. The
# holds of later rounds sort directly behind their job's id (`domain.hold`), so both kinds are found by ranges of ids.
_BILLS = text("""
WITH plain AS (
  SELECT job_id AS hold_id, job_id, 0 AS round FROM composer.jobs
  WHERE user_id IS NOT NULL AND job_id > CAST(:after AS uuid) ORDER BY job_id LIMIT :most
), later AS (
  SELECT CAST(overlay(CAST(j.job_id AS text) PLACING '8' || lpad(to_hex(n), 3, '0') FROM 15) AS uuid) AS hold_id,
         j.job_id, n AS round
  FROM composer.jobs AS j CROSS JOIN LATERAL generate_series(1, j.revivals) AS n
  WHERE j.revivals > 0 AND j.user_id IS NOT NULL AND j.job_id >= CAST(:since AS uuid)
    AND j.job_id <= coalesce(
      (SELECT job_id FROM plain ORDER BY job_id OFFSET :most - 1 LIMIT 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    )
), bills AS (
  SELECT * FROM plain UNION ALL SELECT * FROM later WHERE hold_id > CAST(:after AS uuid)
)
SELECT b.hold_id, j.user_id, j.kind, CASE WHEN b.round < j.revivals THEN 'failed' ELSE j.state END AS state,
       j.update_time,
       CASE WHEN b.round < j.revivals THEN 0 ELSE coalesce(t.cost_credits, l.cost_credits, 0) END AS cost,
       coalesce(o.topic, '') AS message, coalesce(o.payload -> 'finished_steps', '[]') AS finished_steps,
       o.done_time IS NOT NULL AS delivered, o.create_time AS message_time
FROM bills AS b
JOIN composer.jobs AS j ON j.job_id = b.job_id
LEFT JOIN composer.tracks AS t ON t.job_id = j.job_id
LEFT JOIN composer.lyrics AS l ON l.job_id = j.job_id
LEFT JOIN LATERAL (
  SELECT topic, payload, done_time, create_time FROM composer.outbox
  WHERE key = CAST(b.hold_id AS text) AND topic IN ('settle', 'release') ORDER BY create_time LIMIT 1
) AS o ON true
ORDER BY b.hold_id LIMIT :most
""")


@dataclass(frozen=True)
class Bill:
    """One round of a job from the side of money; no message when Wallet has nothing to be told."""

    hold_id: str
    user_id: str
    kind: str
    state: State
    cost_credits: int
    update_time: datetime
    message: str
    delivered: bool
    message_time: datetime | None
    finished_steps: tuple[str, ...] = ()


async def page(tx: AsyncConnection, *, after: str, most: int) -> list[Bill]:
    """Return up to `most` bills behind the hold id `after` (empty for the first), the oldest first."""
    after = after or _FIRST
    rows = await tx.execute(_BILLS, {"after": after, "since": first_of_moment(after), "most": most})
    return [
        Bill(
            hold_id=str(row.hold_id),
            user_id=str(row.user_id),
            kind=row.kind,
            state=State(row.state),
            cost_credits=row.cost,
            update_time=row.update_time,
            message=row.message,
            delivered=row.delivered,
            message_time=row.message_time,
            finished_steps=tuple(row.finished_steps),
        )
        for row in rows
    ]
