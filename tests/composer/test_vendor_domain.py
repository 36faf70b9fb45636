"""Who may be asked for a song after what became of other orders, and what counts as one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.composer.domain.vendor import (
    FIRST,
    LAST,
    Capability,
    Limits,
    Remedy,
    TaskState,
    VendorTask,
    Wanted,
    able,
    delivered,
    flaw,
    is_late,
    may_ask,
    milestone,
    with_tags,
)

AT = datetime(2026, 11, 29, tzinfo=UTC)
TASK = VendorTask(
    vendor_task_id="1",
    job_id="2",
    vendor="suno",
    labels="AB",
    paid=True,
    state=TaskState.ASKED,
    task_id="",
    code="",
    remedy="",
    offer=[],
    songs={},
    lease_token=1,
    create_time=AT,
    accept_time=None,
    finish_time=None,
)
MEASURED = {"fault": "", "duration_ms": 30_000, "loudness_lufs": -14.0}


@pytest.mark.parametrize("state", list(TaskState))
@pytest.mark.parametrize("paid_before", [True, False])
@pytest.mark.parametrize("paid_after", [True, False])
def test_whom_a_single_order_rules_out(state: TaskState, *, paid_before: bool, paid_after: bool) -> None:
    """A paid vendor may be asked unless a paid one may have taken the order; what costs nothing may always be."""
    tasks = [replace(TASK, state=state, paid=paid_before)]
    nobody_paid = not paid_before or state in {TaskState.REFUSED, TaskState.FAILED}
    assert may_ask("minimax", "AB", paid=paid_after, tasks=tasks, twice=False) is (nobody_paid or not paid_after)
    assert may_ask("minimax", "AB", paid=paid_after, tasks=tasks, twice=True)


@pytest.mark.parametrize("state", list(TaskState))
def test_the_same_vendor_is_never_paid_twice_for_one_variant(state: TaskState) -> None:
    """A vendor that may have made a variant is not asked for it again, with leave neither, but for the other one."""
    tasks = [replace(TASK, vendor="minimax", labels="A", state=state)]
    free = state in {TaskState.REFUSED, TaskState.FAILED}
    for twice in (False, True):
        assert may_ask("minimax", "A", paid=True, tasks=tasks, twice=twice) is free
        assert may_ask("minimax", "B", paid=True, tasks=tasks, twice=twice)


@pytest.mark.parametrize("remedy", [*Remedy, ""])
def test_whom_a_refusal_rules_out(remedy: str) -> None:
    """A vendor that will not take the order, or waits for an operator, is not asked again in the same job."""
    tasks = [replace(TASK, state=TaskState.REFUSED, remedy=remedy)]
    expected = remedy not in {Remedy.OTHER, Remedy.OPERATOR}
    assert may_ask("suno", "AB", paid=True, tasks=tasks, twice=False) is expected
    assert may_ask("minimax", "AB", paid=True, tasks=tasks, twice=False)


def test_what_is_delivered() -> None:
    """Only delivered orders give variants."""
    one = replace(TASK, state=TaskState.DELIVERED, songs={"A": 1})
    assert delivered([one, replace(TASK, state=TaskState.LOST, songs={"B": 2})]) == {"A": 1}


@pytest.mark.parametrize(
    ("capability", "wanted", "expected"),
    [
        ({}, {}, True),
        ({}, {"has_tune": True}, False),
        ({"follows_tune": True}, {"has_tune": True}, True),
        ({}, {"lyrics": "x" * 10}, True),
        ({}, {"lyrics": "x" * 11}, False),
        ({"sings": False}, {"lyrics": "x"}, False),
        ({"instrumental": False}, {}, False),
        ({"instrumental": False}, {"lyrics": "x"}, True),
    ],
)
def test_who_can(capability: dict[str, bool], wanted: dict[str, object], *, expected: bool) -> None:
    """A vendor can make what it says that it can: a tune it follows, words that are not too long, a song without."""
    base = Capability(paid=True, songs=2, longest_lyrics=10)
    has = replace(base, **capability)  # type: ignore[arg-type]  # one table for many fields
    plain = Wanted(has_tune=False, lyrics="", duration_s=60.0)
    asked = replace(plain, **wanted)  # type: ignore[arg-type]  # one table for many fields
    assert able(has, asked) is expected


@pytest.mark.parametrize(
    ("measured", "promised_s", "expected"),
    [
        ({}, 0.0, ""),
        ({}, 30.0, ""),
        ({}, 31.4, ""),
        ({}, 32.0, "cut"),
        ({}, 60.0, "cut"),
        ({}, 20.0, ""),
        ({"fault": "unreadable"}, 30.0, "unreadable"),
        ({"fault": "cut"}, 30.0, "cut"),
        ({"loudness_lufs": -70.0}, 30.0, "silent"),
        ({"duration_ms": 9_000}, 0.0, "short"),
        ({"duration_ms": 601_000}, 0.0, "long"),
    ],
)
def test_what_counts_as_a_song(measured: dict[str, object], promised_s: float, expected: str) -> None:
    """A song is readable, audible, as long as its vendor says, and neither a snippet nor an hour."""
    assert flaw(MEASURED | measured, promised_s, Limits()) == expected


def test_when_a_vendor_is_late() -> None:
    """A vendor's time begins when it takes the order, and with the question if nobody knows that."""
    limits = Limits(wait=timedelta(seconds=60))
    taken = replace(TASK, accept_time=AT + timedelta(seconds=50))
    assert not is_late(taken, AT + timedelta(seconds=100), limits)
    assert is_late(taken, AT + timedelta(seconds=111), limits)
    assert is_late(TASK, AT + timedelta(seconds=61), limits)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[verse]", "[Verse]"),
        ("[Verse 2]", "[Verse]"),
        ("【主歌】", "[Verse]"),
        ("[副歌 二]", "[Chorus]"),
        ("[pre-chorus]", "[Pre Chorus]"),
        (" [bridge] :", "[Bridge]"),
        ("[whispered, slowly]", None),
        ("[]", None),
        ("a line [of words] with brackets", "a line [of words] with brackets"),
        ("verse", "verse"),
    ],
)
def test_how_sections_are_named_for_vendors(line: str, expected: str | None) -> None:
    """Names of sections become those that vendors know, other lines in brackets go, and words stay as they are."""
    assert with_tags(f"first\n{line}\nlast") == "\n".join(["first", *([expected] if expected else []), "last"])


def test_milestones() -> None:
    """Whatever a vendor's percent is, the job shows 30, 50 or 70, and never more than is so but at the beginning."""
    shown = [FIRST + (LAST - FIRST) * milestone(percent) // 100 for percent in range(101)]
    assert set(shown) == {30, 50, 70}
    assert shown == sorted(shown)
    assert all(stone == 30 or stone <= FIRST + (LAST - FIRST) * percent / 100 for percent, stone in enumerate(shown))
