"""The rules of webhooks: pauses, verdicts, kinds and signatures."""

from datetime import UTC, datetime, timedelta

import pytest

from services.composer.domain.webhook import (
    MOST_ATTEMPTS,
    DeliveryState,
    EventKind,
    Outcome,
    PauseReason,
    judge,
    new_secret,
    pause_s,
    signature,
    wanted,
)
from services.kit.errors import ParamInvalid
from tests.composer.receiver import is_genuine

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def test_pauses_grow_over_hours() -> None:
    """Each pause is three times the one before up to six hours, spread by a fifth, and all together take a night."""
    middle = [pause_s(attempt, 0.5) for attempt in range(1, MOST_ATTEMPTS)]
    assert middle[:4] == [10, 30, 90, 270]
    assert middle[-1] == 6 * 3600
    assert 12 * 3600 < sum(middle) < 20 * 3600
    assert (pause_s(1, 0.0), pause_s(1, 1.0)) == (8, 12)


@pytest.mark.parametrize(
    ("outcome", "attempts", "failing", "state", "pause"),
    [
        (Outcome.answered(200, 5), 1, None, DeliveryState.DELIVERED, PauseReason.NONE),
        (Outcome.answered(299, 5), 10, DAY * 2, DeliveryState.DELIVERED, PauseReason.NONE),
        (Outcome.answered(500, 5), 1, None, DeliveryState.PENDING, PauseReason.NONE),
        (Outcome.answered(302, 5), 9, DAY / 2, DeliveryState.PENDING, PauseReason.NONE),
        (Outcome.answered(404, 5), 10, DAY / 2, DeliveryState.FAILED, PauseReason.NONE),
        (Outcome.unanswered("no", 5), 3, DAY, DeliveryState.PENDING, PauseReason.FAILING),
        (Outcome.unanswered("no", 5), 10, DAY, DeliveryState.FAILED, PauseReason.FAILING),
        (Outcome.answered(410, 5), 1, None, DeliveryState.FAILED, PauseReason.GONE),
    ],
)
def test_verdicts(
    outcome: Outcome, attempts: int, failing: timedelta | None, state: DeliveryState, pause: PauseReason
) -> None:
    """What was taken ends, what was not is tried again up to the last attempt, and a day of failures pauses."""
    since = None if failing is None else AT - failing
    verdict = judge(outcome, attempts=attempts, failing_since=since, at=AT, chance=0.5)
    assert (verdict.state, verdict.pause_reason) == (state, pause)
    assert verdict.failing_since_time == (None if outcome.taken else since or AT)
    assert (verdict.run_after > AT) == (state is DeliveryState.PENDING)


def test_kinds() -> None:
    """No kind means every one but the test, which cannot be subscribed to; none stands twice."""
    assert wanted([]) == (EventKind.STARTED, EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED)
    assert wanted([EventKind.FAILED, EventKind.FAILED]) == (EventKind.FAILED,)
    with pytest.raises(ParamInvalid):
        wanted([EventKind.TEST])


def test_signature() -> None:
    """A signature convinces under its secret, body and time only, and one by two secrets convinces under both."""
    old, new, other = new_secret(), new_secret(), new_secret()
    body = '{"a":"ü"}'.encode()
    header = signature([new, old], 1_700_000_000, body)
    assert header.startswith("t=1700000000,v1=")
    assert is_genuine(new, header, body, 1_700_000_299)
    assert is_genuine(old, header, body, 1_699_999_701)
    assert not is_genuine(other, header, body, 1_700_000_000)
    assert not is_genuine(new, header, body + b" ", 1_700_000_000)
    assert not is_genuine(new, header, body, 1_700_000_301)
    assert not is_genuine(new, header.replace("t=1700000000", "t=1700000001"), body, 1_700_000_000)
    assert len({old, new, other}) == 3
    assert all(each.startswith("whsec_") and len(each) == 49 for each in (old, new, other))
