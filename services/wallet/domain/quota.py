"""How often a user may have one kind of work in a period, by the plan the user is on.

A run counts in the day of its hold, from the hold on; when the hold comes back (released or expired) the run no longer
counts, and that of a settled hold counts for good. So what has been used is the number of holds of the day that are
open or settled, and no counter can drift away from it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from services.wallet.domain.errors import QuotaExceeded


class Plan(StrEnum):
    """The plans; whoever is on no other one is on the first."""

    FREE = "free"
    BASIC = "basic"
    PREMIUM = "premium"


@dataclass(frozen=True)
class Quota:
    """What a plan allows of one kind of work a day; no limit when `limit` is None; versions count from 1."""

    plan: Plan
    kind: str
    limit: int | None
    version: int = 1


@dataclass(frozen=True)
class Day:
    """One period of counting; `end` is when counting begins anew."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class QuotaUse:
    """A quota and what has been used of it today."""

    quota: Quota
    used: int
    day: Day


def day_of(now: datetime, utc_offset: timedelta) -> Day:
    """Return the calendar day around an instant, in the zone that is `utc_offset` ahead of UTC."""
    local = now.astimezone(UTC) + utc_offset
    start = local.replace(hour=0, minute=0, second=0, microsecond=0) - utc_offset
    return Day(start, start + timedelta(days=1))


def require_run(quota: Quota, used: int, day: Day) -> None:
    """Raise QuotaExceeded unless one more run is allowed."""
    if quota.limit is not None and used >= quota.limit:
        raise QuotaExceeded(
            "the plan allows no more runs today",
            kind=quota.kind,
            plan=quota.plan.value,
            limit=quota.limit,
            used=used,
            resets_at=day.end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
