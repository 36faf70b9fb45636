"""Holds compared with jobs, over every state of one and every state of the other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.wallet.domain.credit import HoldState, Price
from services.wallet.domain.reconciliation import BilledJob, FindingKind, HeldCredits, Patience, Repair, compare

NOW = datetime(2026, 1, 2, 3, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
PATIENCE = Patience(timedelta(minutes=10), timedelta(hours=1))
PRICE = Price("music", 20, steps=(("listen", 3), ("sing", 7)))
HOLD = HeldCredits("job", "user", "music", 20, 0, HoldState.HELD, LONG_AGO, LONG_AGO, PRICE)
JOB = BilledJob("job", "user", "music", "running", 20, LONG_AGO, "", delivered=False, message_time=None)
F = FindingKind
STATES = ("pending", "queued", "running", "completed", "failed", "cancelled")

# What is found for each state of a hold (None: there is none) and a job whose message, if it has ended, was delivered.
TABLE: dict[HoldState | None, tuple[FindingKind | None, ...]] = {
    None: (None, F.JOB_WITHOUT_HOLD, F.JOB_WITHOUT_HOLD, F.JOB_WITHOUT_HOLD, None, None),
    HoldState.HELD: (None, None, None, F.JOB_ENDED_HOLD_OPEN, F.JOB_ENDED_HOLD_OPEN, F.JOB_ENDED_HOLD_OPEN),
    HoldState.SETTLED: (F.JOB_ALIVE_UNPAID,) * 3 + (None, F.JOB_FAILED_CHARGED, F.JOB_CANCELLED_MISCHARGED),
    HoldState.RELEASED: (F.JOB_ALIVE_UNPAID,) * 3 + (F.JOB_DONE_UNPAID, None, None),
    HoldState.EXPIRED: (F.JOB_ALIVE_UNPAID,) * 3 + (F.JOB_DONE_UNPAID, None, None),
}


def _job(state: str) -> BilledJob:
    message = {"completed": "settle", "failed": "release", "cancelled": "release"}.get(state, "")
    return replace(JOB, state=state, message=message, delivered=bool(message), message_time=LONG_AGO)


@pytest.mark.parametrize("held", TABLE)
@pytest.mark.parametrize("state", STATES)
def test_every_pair_of_states(held: HoldState | None, state: str) -> None:
    """Each pair is found to be right, or wrong under exactly one name."""
    spent = 20 if held is HoldState.SETTLED else 0
    hold = None if held is None else replace(HOLD, state=held, settled=spent)
    expected = TABLE[held][STATES.index(state)]

    assert [each.kind for each in compare(hold, _job(state), NOW, PATIENCE)] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("finished", "spent", "found"),
    [
        ((), 0, []),
        (("listen",), 3, []),
        (("listen", "sing", "mix"), 10, []),
        (("listen", "sing"), 3, [F.JOB_CANCELLED_MISCHARGED]),
        (("mix",), 3, [F.JOB_CANCELLED_MISCHARGED]),
        (("listen",), 0, [F.JOB_CANCELLED_MISCHARGED]),
    ],
)
def test_a_cancelled_job_owes_its_finished_steps(finished: tuple[str, ...], spent: int, found: list[F]) -> None:
    """What a cancelled job was charged is what the price that was held says of the steps it had finished."""
    hold = replace(HOLD, state=HoldState.SETTLED if spent else HoldState.RELEASED, settled=spent)
    job = replace(_job("cancelled"), finished_steps=frozenset(finished))

    assert [each.kind for each in compare(hold, job, NOW, PATIENCE)] == found


@pytest.mark.parametrize("held", [each for each in TABLE if each])
@pytest.mark.parametrize("state", STATES)
def test_what_changed_a_moment_ago_is_left_alone(held: HoldState, state: str) -> None:
    """A pair of which one has changed within the grace is never a finding."""
    just_now = NOW - timedelta(minutes=9)
    for hold, job in (
        (replace(HOLD, state=held, update_time=just_now), _job(state)),
        (replace(HOLD, state=held), replace(_job(state), update_time=just_now)),
    ):
        assert compare(hold, job, NOW, PATIENCE) == []


@pytest.mark.parametrize(
    ("hold", "kind", "repair"),
    [
        (HOLD, F.HOLD_WITHOUT_JOB, Repair.RELEASE),
        (replace(HOLD, create_time=NOW - timedelta(minutes=59)), None, None),
        (replace(HOLD, state=HoldState.SETTLED, settled=20), F.SPENT_WITHOUT_JOB, None),
        (replace(HOLD, state=HoldState.RELEASED), None, None),
    ],
)
def test_a_hold_whose_job_is_gone(hold: HeldCredits, kind: FindingKind | None, repair: Repair | None) -> None:
    """After an hour an open hold without a job is given back; spent credits are told and left."""
    expected = [] if kind is None else [(kind, repair)]
    assert [(each.kind, each.repair) for each in compare(hold, None, NOW, PATIENCE)] == expected


@pytest.mark.parametrize(
    ("job", "kind", "repair"),
    [
        (_job("completed"), F.JOB_ENDED_HOLD_OPEN, Repair.SETTLE),
        (_job("failed"), F.JOB_ENDED_HOLD_OPEN, Repair.RELEASE),
        (replace(_job("failed"), message=""), F.JOB_ENDED_WITHOUT_MESSAGE, Repair.RELEASE),
        (replace(_job("completed"), delivered=False), F.MESSAGE_STUCK, None),
        (replace(_job("completed"), delivered=False, message_time=NOW), None, None),
        (replace(_job("completed"), message="release"), F.MESSAGE_WRONG, None),
        (replace(JOB, user_id="other"), F.JOB_OWNER_DIFFERS, None),
        (replace(JOB, kind="lyrics"), F.JOB_KIND_DIFFERS, None),
        (replace(JOB, cost=19), F.JOB_COST_DIFFERS, None),
        (replace(JOB, cost=0), None, None),
    ],
)
def test_each_difference_has_its_name(job: BilledJob, kind: FindingKind | None, repair: Repair | None) -> None:
    """The first finding of an open hold with that job, and what would be safe to do."""
    found = compare(HOLD, job, NOW, PATIENCE)
    assert [(each.kind, each.repair) for each in found[:1]] == ([] if kind is None else [(kind, repair)])


def test_every_name_is_explained_in_a_sentence() -> None:
    """No two kinds share an explanation, and each is a whole sentence."""
    sentences = [kind.value for kind in FindingKind]
    assert len(set(sentences)) == len(sentences)
    assert all(each.endswith(".") and len(each) > 30 for each in sentences)
