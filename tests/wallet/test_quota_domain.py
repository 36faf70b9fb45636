"""Days and limits, as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from services.wallet.domain.errors import QuotaExceeded
from services.wallet.domain.quota import Plan, Quota, day_of, require_run

CHINA = timedelta(hours=8)


@pytest.mark.parametrize(
    ("now", "offset", "start"),
    [
        ("2026-01-02T00:00:00", CHINA, "2026-01-01T16:00:00"),
        ("2026-01-01T15:59:59", CHINA, "2025-12-31T16:00:00"),
        ("2026-01-01T16:00:00", CHINA, "2026-01-01T16:00:00"),
        ("2026-01-01T16:00:00", timedelta(0), "2026-01-01T00:00:00"),
        ("2026-01-01T03:00:00", timedelta(hours=-5), "2025-12-31T05:00:00"),
        ("2026-01-01T03:00:00", timedelta(hours=5, minutes=30), "2025-12-31T18:30:00"),
    ],
)
def test_a_day_begins_at_local_midnight(now: str, offset: timedelta, start: str) -> None:
    """The day around an instant begins at the last midnight of the zone and lasts 24 hours."""
    day = day_of(datetime.fromisoformat(now).replace(tzinfo=UTC), offset)

    assert day.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert day.end - day.start == timedelta(days=1)


@pytest.mark.parametrize(
    ("limit", "used", "allowed"), [(None, 10**6, True), (3, 0, True), (3, 2, True), (3, 3, False), (0, 0, False)]
)
def test_a_limit_allows_exactly_its_number(limit: int | None, used: int, *, allowed: bool) -> None:
    """One run more is allowed below the limit and refused at it, with limit, use and the time of the reset."""
    day = day_of(datetime(2026, 1, 2, tzinfo=UTC), CHINA)
    if allowed:
        assert require_run(Quota(Plan.FREE, "music", limit), used, day) is None  # type: ignore[func-returns-value]
        return
    with pytest.raises(QuotaExceeded) as caught:
        require_run(Quota(Plan.FREE, "music", limit), used, day)
    assert caught.value.metadata == {
        "kind": "music",
        "plan": "free",
        "limit": str(limit),
        "used": str(used),
        "resets_at": "2026-01-02T16:00:00Z",
    }
