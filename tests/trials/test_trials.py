"""A few dozen trials of vendors and workers that die; `python -m tests.trials` plays a thousand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from services.kit.crash import VENDOR_POINTS
from tests.composer.studio import running
from tests.trials.blow import KINDS, Trial, trial
from tests.trials.stage import Stage, stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FEW = 16


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Yield the stage with everything on it, opened once."""
    async with running(database_url, redis_url, tmp_path_factory.mktemp("objects")) as studio, stage(studio) as made:
        yield made


async def test_one_job_one_result_one_charge(opened: Stage) -> None:
    """Whatever dies, each job ends with one result and one charge or with neither, and never are two vendors paid."""
    wrong = {}
    for number in range(FEW):
        ended = await opened.play(trial(number))
        if ended.wrong:
            wrong[number] = ended
    assert not wrong


@pytest.mark.parametrize("point", VENDOR_POINTS)
async def test_the_worker_dies_at(opened: Stage, point: str) -> None:
    """At each moment around an order the worker can die: the job ends with its one result, and one order was paid."""
    ended = await opened.play(Trial(1, "suno,minimax,offline", "", point))
    assert ended.died
    assert not ended.wrong
    assert (ended.state, ended.paid["minimax"]) == ("completed", 0)
    # Only the vendor's answer that nobody wrote down is lost; what was never sent is not bought either.
    lost = point in {"after-vendor_ask", "before-vendor_submit", "after-vendor_submit", "before-vendor_accept"}
    assert ended.maker == ("band" if lost else "suno")
    assert ended.orders == [("suno", "AB", "lost" if lost else "delivered")]


def test_the_same_number_is_the_same_trial() -> None:
    """A trial follows from its number, and a thousand of them try every way to die on every list."""
    trials = [trial(number) for number in range(1000)]
    assert trials == [trial(number) for number in range(1000)]
    assert {each.fault for each in trials} == {*KINDS, ""}
    assert {each.point for each in trials} >= {*VENDOR_POINTS, ""}
    assert min(Counter(each.makers for each in trials).values()) > 100


async def test_a_second_payment_would_be_seen(opened: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule the same trials find two vendors paid, so that their silence means something."""
    monkeypatch.setattr("services.composer.jobs.vendor.may_ask", lambda *_, **__: True)
    ended = await opened.play(Trial(2, "suno,minimax,offline", "dies_before_answer", ""))
    assert any("two vendors were paid" in each for each in ended.wrong)
