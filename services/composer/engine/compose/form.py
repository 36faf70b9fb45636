"""The form of the song: which sections, how many bars each, so that the whole lasts about as long as was asked.

All sensible forms are listed and the cheapest taken: the price is the distance from the wanted length, plus
what a listener would miss (no verse, a chorus of two bars, an intro as long as the verse).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TAIL_S = 2.5
"""Seconds that the last chord rings after the last bar."""

_USUAL_BARS = 16
"""How long a section may become by repeats of the tune; in a song of many short bars a quarter of the song."""

_NEAR, _BEYOND = 0.04, 30.0
"""Share of the wanted length from which on being off is paid dearly, and how dearly."""

_TIMES = (*range(1, 9), 10, 12, 16, 20, 24, 32, 40, 48, 64)
"""How often a section may state the tune; the large ones are for a tune of a bar or two."""

_INTROS, _OUTROS = range(1, 9), range(1, 7)

_SHAPES: tuple[tuple[tuple[str, ...], float], ...] = (
    (("intro", "chorus", "outro"), 1.2),
    (("intro", "verse", "chorus", "outro"), 0.35),
    (("intro", "verse", "chorus", "chorus", "outro"), 0.25),
    (("intro", "verse", "chorus", "bridge", "chorus", "outro"), 0.0),
    (("intro", "verse", "chorus", "verse", "chorus", "outro"), 0.1),
    (("intro", "verse", "chorus", "bridge", "chorus", "chorus", "outro"), 0.15),
    (("intro", "verse", "chorus", "verse", "chorus", "bridge", "chorus", "outro"), 0.0),
    (("intro", "verse", "chorus", "verse", "chorus", "bridge", "chorus", "chorus", "outro"), 0.1),
    (("intro", "verse", "verse", "chorus", "bridge", "verse", "chorus", "bridge", "chorus", "outro"), 0.2),
    (("intro", "verse", "verse", "chorus", "bridge", "verse", "chorus", "bridge", "chorus", "chorus", "outro"), 0.3),
)
"""The section orders and what choosing each costs before anything is counted."""

ENERGY = {"intro": 0.4, "verse": 0.6, "chorus": 0.9, "bridge": 0.55, "outro": 0.45}
"""How much each section gives, from 0 to 1; the last chorus gives all."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One appearance of the tune: its first bar, how many bars of it, whether it is exact and ends closed."""

    bar: int
    bars: int
    exact: bool
    closed: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A section of the plan with its statements and its energy from 0 to 1."""

    name: str
    bar: int
    bars: int
    energy: float
    statements: tuple[Statement, ...]
    last_chorus: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """The whole plan: passages in order without gaps."""

    passages: tuple[Passage, ...]

    @property
    def bars(self) -> int:
        """The length of the song in bars."""
        return sum(passage.bars for passage in self.passages)


@dataclass(frozen=True, slots=True)
class _Sizes:
    intro: int
    verse: int
    chorus: int
    bridge: int
    outro: int

    def of(self, name: str) -> int:
        return int(getattr(self, name))


def wanted_bars(duration_s: float, *, tempo_bpm: float, beats_per_bar: int) -> float:
    """Return how many bars fit into the wanted length when the tail is taken off."""
    return max(3.0, (duration_s - TAIL_S) * tempo_bpm / 60.0 / beats_per_bar)


def most_tune_bars(bars: float) -> int:
    """Return the longest tune that a song of `bars` bars can state in full, with a bar before and after."""
    return max(1, int(bars * 1.04) - 2)


def plan_form(tune_bars: int, bars: float, *, vary_first_verse: bool, exact_verses: bool = False) -> Form:
    """Return the cheapest form of about `bars` bars for a tune of `tune_bars` bars.

    Every chorus states the tune exactly; a verse states it exactly or varied, or a beginning of it when time is short.
    """
    best: tuple[float, tuple[str, ...], _Sizes] | None = None
    for shape, price in _SHAPES:
        for verse, chorus, bridge in _middles(tune_bars, shape, most=max(_USUAL_BARS, round(bars / 4))):
            middle = shape.count("verse") * verse + shape.count("chorus") * chorus + shape.count("bridge") * bridge
            nearest = min(max(bars, middle + 2), middle + _INTROS[-1] + _OUTROS[-1])
            if best is not None and price + _length_cost(nearest, bars) >= best[0]:
                continue  # Whatever stands around it, the rest only adds to the price.
            for intro, outro in product(_INTROS, _OUTROS):
                cost = price + _length_cost(intro + middle + outro, bars)
                if best is not None and cost >= best[0]:
                    continue
                sizes = _Sizes(intro, verse, chorus, bridge, outro)
                cost += _shape_cost(shape, sizes, tune_bars, bars)
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, shape, sizes)
    if best is None:
        message = "no form was listed"
        raise ValueError(message)
    return _laid_out(best[1], best[2], tune_bars, vary_first_verse=vary_first_verse, exact_verses=exact_verses)


def _middles(tune_bars: int, shape: tuple[str, ...], most: int) -> Iterator[tuple[int, int, int]]:
    """Yield what verse, chorus and bridge may measure; none states the tune again beyond `most` bars."""
    repeats = [tune_bars * k for k in _TIMES if k == 1 or tune_bars * k <= most]
    verses = _heads(tune_bars) + repeats if "verse" in shape else [0]
    yield from product(verses, repeats, [4, 6, 8] if "bridge" in shape else [0])


def _heads(tune_bars: int) -> list[int]:
    """Return how many bars of the tune a verse may state when time is short: its half, or phrases of two or four."""
    return [bars for bars in range(2, tune_bars) if 2 * bars == tune_bars or bars % (4 if tune_bars > 8 else 2) == 0]


def _length_cost(total: float, bars: float) -> float:
    off = abs(total - bars) / bars
    return 60.0 * off * off + 2.0 * off + _BEYOND * max(0.0, off - _NEAR)


def _shape_cost(shape: tuple[str, ...], sizes: _Sizes, tune_bars: int, bars: float) -> float:
    cost = 0.05 * abs(sizes.intro - (4 if bars >= 20 else 2)) + 0.06 * abs(sizes.outro - (4 if bars >= 30 else 2))
    cost += 0.05 * (sizes.intro % 2) + 0.04 * (sizes.outro % 2)
    for name, weight in (("verse", 0.03), ("chorus", 0.04)):
        if name in shape:
            size = sizes.of(name)
            cost += weight * max(0, 8 - size, size - 16)
    if "verse" in shape and sizes.verse < tune_bars:
        cost += 0.15 if 2 * sizes.verse == tune_bars else 0.3
    if sizes.intro > max(sizes.verse, sizes.chorus) or sizes.bridge > sizes.chorus:
        cost += 0.3
    return cost


def _laid_out(
    shape: tuple[str, ...], sizes: _Sizes, tune_bars: int, *, vary_first_verse: bool, exact_verses: bool
) -> Form:
    passages: list[Passage] = []
    bar = verses = 0
    last_chorus = len(shape) - 1 - shape[::-1].index("chorus")
    for place, name in enumerate(shape):
        size = sizes.of(name)
        exact = name == "chorus" or exact_verses or (verses == 0 and not vary_first_verse)
        statements = _statements(name, bar, size, tune_bars, exact=exact)
        energy = 1.0 if place == last_chorus else ENERGY[name] + (0.1 if name == "verse" and verses else 0.0)
        verses += name == "verse"
        passages.append(Passage(name, bar, size, energy, statements, place == last_chorus))
        bar += size
    return Form(tuple(passages))


def _statements(name: str, bar: int, size: int, tune_bars: int, *, exact: bool) -> tuple[Statement, ...]:
    if name not in {"verse", "chorus"}:
        return ()
    if size < tune_bars:
        return (Statement(bar, size, exact, closed=False),)
    count = size // tune_bars
    return tuple(
        Statement(bar + index * tune_bars, tune_bars, exact, closed=name == "chorus" and index == count - 1)
        for index in range(count)
    )
