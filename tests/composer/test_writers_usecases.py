"""Who is asked, in which order, how often and with which pauses; writers that do as a test tells them."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from services.composer.domain.errors import LyricsRefused, LyricsUnavailable, VendorFailed
from services.composer.domain.usage import ModelUsage
from services.composer.providers import LyricsOrder, WrittenLyrics, WrittenWords
from services.composer.providers.model import ModelRefused
from services.composer.usecases.writers import Writers
from services.kit.breaker import Breaker
from tests.composer.test_lyrics_conformance import never, nobody, order

ONE = ModelUsage(1, 10, 100)


class Quill:
    """A writer with a list of what goes wrong, one entry a try."""

    def __init__(self, name: str, *faults: Exception | float, log: list[str] | None = None) -> None:
        """Fail by exceptions, or take so many seconds."""
        self.log = [] if log is None else log
        self.name = name
        self.faults = list(faults)
        self.always: Exception | None = None
        self.asked = 0
        self.closed = False

    async def write(
        self, order: LyricsOrder, tell: Callable[[Mapping[str, str]], None], stop: Callable[[], bool]
    ) -> WrittenLyrics:
        """Return words, or do what goes wrong."""
        self.asked += 1
        self.log.append(self.name)
        fault = self.faults.pop(0) if self.faults else self.always
        if isinstance(fault, Exception):
            raise fault
        if fault:
            await asyncio.sleep(fault)
        words = [
            WrittenWords(label, "t", "zh", "V", (("verse", (label,)),), self.name, "m")  # type: ignore[arg-type]
            for label in "AB"
        ]
        return WrittenLyrics((words[0], words[1]), ONE)

    async def close(self) -> None:
        """Note it."""
        self.closed = True


def broken(*, again: bool = True, wait_s: float = 0.0) -> VendorFailed:
    """Return a failure that took something."""
    return VendorFailed("broken", "it broke", again=again, wait_s=wait_s, usage=ONE)


class Pauses(list[float]):
    """The pauses that were made, none of which takes time."""

    async def __call__(self, seconds: float) -> None:
        """Note the pause."""
        self.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    """Return none yet."""
    return Pauses()


async def write(writers: Writers) -> WrittenLyrics:
    """Return what they write."""
    return await writers.write(order(), nobody, never)


async def test_three_tries_with_pauses_between(pauses: Pauses, caplog: pytest.LogCaptureFixture) -> None:
    """A model that always fails is asked three times, one and two seconds apart, each failure logged by its number."""
    caplog.set_level(logging.WARNING)
    model = Quill("gemini")
    model.always = broken()
    with pytest.raises(LyricsUnavailable) as failed:
        await write(Writers([model], None, sleep=pauses))
    assert model.asked == 3
    assert pauses == [1.0, 2.0]
    assert failed.value.metadata == {"tries": "3", "cause": "GEMINI_API_UNAVAILABLE"}
    assert failed.value.usage == ModelUsage(3, 30, 300)
    lines = [vars(each) for each in caplog.records if each.getMessage().startswith("a writer failed")]
    assert [(each["provider"], each["attempt"], each["kind"]) for each in lines] == [
        ("gemini", number, "broken") for number in (1, 2, 3)
    ]


async def test_nobody_waits_while_another_one_writes(pauses: Pauses) -> None:
    """After a failure the next model is asked at once, and what the failed try took is counted."""
    first, second = Quill("one", broken()), Quill("two")
    made = await write(Writers([first, second], Quill("last"), sleep=pauses))
    assert made.versions[0].provider == "two"
    assert (first.asked, second.asked, pauses) == (1, 1, [])
    assert made.usage == ModelUsage(2, 20, 200)


async def test_each_model_has_three_tries(pauses: Pauses) -> None:
    """Two models that fail are asked in turn, three times each, with the same pauses between the rounds."""
    asked: list[str] = []
    models = [Quill("one", log=asked), Quill("two", log=asked)]
    for model in models:
        model.always = broken()
    last = Quill("last")
    made = await write(Writers(models, last, sleep=pauses))
    assert asked == ["one", "two"] * 3
    assert pauses == [1.0, 2.0]
    assert (made.versions[0].provider, last.asked) == ("last", 1)
    assert made.usage == ModelUsage(7, 70, 700)


async def test_what_cannot_get_better_is_not_tried_again(pauses: Pauses) -> None:
    """A bad key costs one try and no pause, whoever comes next."""
    model = Quill("one", broken(again=False))
    assert (await write(Writers([model], Quill("last"), sleep=pauses))).versions[0].provider == "last"
    assert (model.asked, pauses) == (1, [])


@pytest.mark.parametrize(("wait_s", "asked", "made"), [(0.5, 2, [1.0]), (3.0, 2, [3.0]), (34.0, 1, [])])
async def test_a_vendor_says_how_long(pauses: Pauses, wait_s: float, asked: int, made: list[float]) -> None:
    """A vendor that wants a little time gets it, one that wants much is not asked again."""
    model = Quill("one", broken(wait_s=wait_s))
    await write(Writers([model], Quill("last"), sleep=pauses))
    assert (model.asked, pauses) == (asked, made)


async def test_a_refusal_ends_it(pauses: Pauses) -> None:
    """Nobody else is asked after a refusal, not even the offline writer, and what it took is told."""
    second, last = Quill("two"), Quill("last")
    with pytest.raises(LyricsRefused) as refused:
        await write(Writers([Quill("one", ModelRefused("SAFETY", ONE)), second], last, sleep=pauses))
    assert (second.asked, last.asked, pauses) == (0, 0, [])
    assert refused.value.usage == ONE
    assert "SAFETY" not in refused.value.message


async def test_a_refusal_by_a_rule_that_goes_on() -> None:
    """An operator can have the next one asked; whoever refused is not asked again."""
    first = Quill("one", ModelRefused("SAFETY", ONE))
    made = await write(Writers([first, Quill("two")], None, ask_after_refusal=True))
    assert (made.versions[0].provider, first.asked) == ("two", 1)
    with pytest.raises(LyricsUnavailable):
        await write(Writers([Quill("one", ModelRefused("SAFETY", ONE))], None, ask_after_refusal=True))


async def test_a_silent_model_costs_the_budget_only() -> None:
    """A model that takes all the time there is is left, and the last writer writes."""
    slow = Quill("one", 60.0)
    made = await write(Writers([slow], Quill("last"), budget_s=1.05))
    assert (made.versions[0].provider, slow.asked) == ("last", 1)


async def test_no_pause_beyond_the_budget(pauses: Pauses) -> None:
    """A pause that would leave no time to write is not made."""
    model = Quill("one")
    model.always = broken()
    await write(Writers([model], Quill("last"), budget_s=1.5, sleep=pauses))
    assert (model.asked, pauses) == (1, [])


async def test_a_model_that_keeps_failing_is_left_alone(pauses: Pauses) -> None:
    """After five failures its breaker opens and nobody waits for it; later one call tries, and closes it."""
    at = [0.0]
    model, last = Quill("one"), Quill("last")
    model.always = broken(again=False)
    writers = Writers([model], last, breaker=lambda: Breaker(elapsed=lambda: at[0]), sleep=pauses)
    for _ in range(8):
        await write(writers)
    assert (model.asked, last.asked) == (5, 8)
    at[0] = 31.0
    model.always = None
    assert (await write(writers)).versions[0].provider == "one"
    assert (await write(writers)).versions[0].provider == "one"
    assert pauses == []


async def test_refusals_do_not_open_the_breaker() -> None:
    """A model that refuses works: ten refusals later it is still asked."""
    model = Quill("one", *(ModelRefused("SAFETY") for _ in range(10)))
    writers = Writers([model], None)
    for _ in range(10):
        with pytest.raises(LyricsRefused):
            await write(writers)
    assert (await write(writers)).versions[0].provider == "one"


async def test_cancelled_is_no_failure() -> None:
    """A call that is cancelled says nothing about the vendor: its breaker stays closed, and a trial is given back."""
    at = [0.0]
    model = Quill("one")
    model.always = broken(again=False)
    writers = Writers([model], Quill("last"), breaker=lambda: Breaker(elapsed=lambda: at[0]))
    for _ in range(5):
        await write(writers)
    at[0], model.always, model.faults = 31.0, None, [60.0]
    task = asyncio.create_task(write(writers))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await write(writers)).versions[0].provider == "one"


async def test_all_are_closed() -> None:
    """Closing closes every writer."""
    models: list[Any] = [Quill("one"), Quill("two"), Quill("last")]
    await Writers(models[:2], models[2]).close()
    assert all(each.closed for each in models)
