"""Measuring two things in turn, and what may be said about the outcome.

A machine is never as quiet as one thinks, and it warms up, so a figure means something only beside a reference that
was measured between the same minutes. Ours and the reference take turns, whichever went second goes first in the next
round, and fewer than five rounds are refused.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LEAST_ROUNDS = 5
MEDIAN = 0.5

Figures = Mapping[str, float]
Side = Callable[[], Awaitable[Figures]]


class TooFewRounds(ValueError):
    """A median of fewer than five says nothing."""


@dataclass(frozen=True)
class Series:
    """The values of every figure of both sides, in the order of the rounds."""

    ours: dict[str, tuple[float, ...]]
    reference: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, in which unit, against what, and the limit where there is one."""

    benchmark: str
    figure: str
    unit: str
    against: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    share: float = MEDIAN
    """Which quantile the line tells: 0.5 is the median, 0.99 what 99 of 100 stay below."""
    limit: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what is measured too seldom."""
        fewest = min(len(self.ours), len(self.reference))
        if fewest < LEAST_ROUNDS:
            raise TooFewRounds(f"{self.figure}: {fewest} values, {LEAST_ROUNDS} are needed")

    @property
    def value(self) -> float:
        """What we need."""
        return quantile(self.ours, self.share)

    @property
    def reference_value(self) -> float:
        """What the reference needs."""
        return quantile(self.reference, self.share)

    @property
    def ratio(self) -> float:
        """Ours divided by the reference, of the values that the table shows; NaN for a reference of nothing."""
        return self.value / self.reference_value if self.reference_value else math.nan

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest ratio of any one round; None where the values do not come from rounds."""
        if self.share != MEDIAN or len(self.ours) != len(self.reference) or not all(self.reference):
            return None
        ratios = [mine / other for mine, other in zip(self.ours, self.reference, strict=True)]
        return min(ratios), max(ratios)

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        return None if self.limit is None else self.value <= self.limit


@dataclass
class Trial:
    """What a benchmark gets: how often to measure, a folder of its own, and whom to tell that a side is done."""

    rounds: int
    folder: Path
    tick: Callable[[str], None] = field(default=lambda _note: None)

    async def in_turn(self, ours: Side, reference: Side) -> Series:
        """Return the series of both sides; raises TooFewRounds before anything is measured."""
        return await in_turn(ours, reference, rounds=self.rounds, tick=self.tick)


async def in_turn(
    ours: Side, reference: Side, *, rounds: int, tick: Callable[[str], None] = lambda _note: None
) -> Series:
    """Measure both sides once per round, taking turns in going first, and return all values."""
    found = await turns({"ours": ours, "reference": reference}, rounds=rounds, tick=tick)
    return Series(found["ours"], found["reference"])


async def turns(
    sides: Mapping[str, Side], *, rounds: int, tick: Callable[[str], None] = lambda _note: None
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Measure every side once per round, in the opposite order each time; return each side's values by figure.

    Raises TooFewRounds before anything is measured.
    """
    if rounds < LEAST_ROUNDS:
        raise TooFewRounds(f"{rounds} rounds, {LEAST_ROUNDS} are needed")
    found: dict[str, dict[str, list[float]]] = {name: {} for name in sides}
    order = list(sides)
    for number in range(rounds):
        for name in order:
            for figure, value in (await sides[name]()).items():
                found[name].setdefault(figure, []).append(value)
            tick(f"round {number + 1} of {rounds}, {name}")
        order.reverse()
    return {name: {figure: tuple(values) for figure, values in each.items()} for name, each in found.items()}


def median(values: Sequence[float]) -> float:
    """Return the middle value, or the mean of the two in the middle."""
    return quantile(values, MEDIAN)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of all lie, on the straight line between its two neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
