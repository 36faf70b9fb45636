"""When the syllables of a line are sung: stresses on strong beats, words together, a long last note and a breath."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.sing.text import SungSyllable

BARS_A_LINE = 2
MOST_A_LINE = 12
"""Syllables that fit into one line of music; a longer line of words is sung as several."""

_STARTS = {0: 0.0, 1: 0.45, 2: 0.3, 3: 0.9, 4: 0.6}
_CHANCE = 0.6
_LAST_HELD = 3
"""Steps of the grid that the last syllable has at least, the breath after it among them."""
_BREATH = 0.75
"""Steps of the grid that are left for the breath."""
_LONGEST_NOTE = 6


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Beats from the beginning of the line: where each syllable begins, and how long it lasts."""

    beats: tuple[float, ...]
    lengths: tuple[float, ...]


@dataclass(frozen=True)
class Grid:
    """The steps of one line of music: how many, how long each is in beats, how many to the bar.

    `liking` is what each costs by chance, `ending` where a line of many syllables wants to begin its last one.
    """

    steps: int
    step_beats: float
    per_bar: int
    liking: tuple[float, ...]
    ending: int

    def strength(self, step: int) -> int:
        """Return 3 on a bar line, 2 in the middle of an even bar, 1 on a beat, 0 between."""
        if step % self.per_bar == 0:
            return 3
        if self.per_bar % 4 == 0 and step % (self.per_bar // 2) == 0:
            return 2
        return int(step % 2 == 0)


def line_grid(beats_per_bar: int, *, tight: bool, rng: np.random.Generator) -> Grid:
    """Return the grid of a line: two bars of eighths, or one of sixteenths where the words are `tight`."""
    bars, step_beats = (1, 0.25) if tight else (BARS_A_LINE, 0.5)
    steps = round(bars * beats_per_bar / step_beats)
    per_bar = round(beats_per_bar / step_beats)
    liking = tuple((_CHANCE * rng.random(steps)).tolist())
    return Grid(steps, step_beats, per_bar, liking, steps - per_bar // 2 - 2 * int(rng.integers(2)))


def in_lines(syllables: Sequence[SungSyllable], most: int = MOST_A_LINE) -> list[tuple[SungSyllable, ...]]:
    """Return the syllables in as few lines of music as hold them, about equally long, cut at pauses and words."""
    count = math.ceil(len(syllables) / most)
    lines: list[tuple[SungSyllable, ...]] = []
    rest = tuple(syllables)
    for left in range(count, 1, -1):
        ideal = len(rest) / left
        lowest = max(1, len(rest) - (left - 1) * most)
        cuts = range(lowest, min(most, len(rest) - left + 1) + 1)
        cut = min(cuts, key=lambda place: _cut_cost(rest, place, ideal))
        lines.append(rest[:cut])
        rest = rest[cut:]
    return [*lines, rest] if rest else lines


def _cut_cost(syllables: Sequence[SungSyllable], place: int, ideal: float) -> float:
    cost = abs(place - ideal)
    cost -= 4.0 if syllables[place - 1].pause else 0.0
    return cost + (0.0 if syllables[place].starts_word else 20.0)


def line_rhythm(syllables: Sequence[SungSyllable], grid: Grid, model: Rhythm | None = None) -> Rhythm:
    """Return the cheapest rhythm of a line by dynamic programming over the steps of its grid.

    `model` is the rhythm of the line that this one answers; what can be kept of it is kept. At most
    `grid.steps - 2` syllables fit; raises ValueError for more and for none.
    """
    count = len(syllables)
    last = grid.steps - _LAST_HELD
    if not 0 < count <= last + 1:
        message = f"{count} syllables do not fit into {grid.steps} steps"
        raise ValueError(message)
    liked = {round(beat / grid.step_beats) for beat in model.beats} if model else set()
    ideal = min((last + 1) / count, 4.0)
    best = [{s: _STARTS.get(s, 2.0) + _at(syllables[0], s, grid, liked) for s in range(last + 2 - count)}]
    back: list[dict[int, int]] = []
    for place in range(1, count):
        row: dict[int, float] = {}
        came: dict[int, int] = {}
        for step in range(place, last + 2 - (count - place)):
            found = min(
                (cost + _gap(syllables, place, step - old, ideal), old) for old, cost in best[-1].items() if old < step
            )
            row[step] = found[0] + _at(syllables[place], step, grid, liked)
            came[step] = found[1]
        best.append(row)
        back.append(came)
    step = min(best[-1], key=lambda s: best[-1][s] + _ending(s, grid, count))
    steps = [step]
    for came in reversed(back):
        steps.append(came[steps[-1]])
    return _held(steps[::-1], syllables, grid)


def _at(syllable: SungSyllable, step: int, grid: Grid, liked: set[int]) -> float:
    strength = grid.strength(step)
    cost = (0.8, 0.3, 0.0, 0.0)[strength] if syllable.stressed else (0.0, 0.15, 0.6, 0.9)[strength]
    return cost + grid.liking[step] - (0.8 if step in liked else 0.0)


def _gap(syllables: Sequence[SungSyllable], place: int, gap: int, ideal: float) -> float:
    """Return what it costs that syllable `place` begins `gap` steps after the one before it."""
    wanted = ideal + (1.5 if syllables[place - 1].pause else 0.0)
    cost = 0.25 * (gap - wanted) ** 2
    if not syllables[place].starts_word and gap > 2:
        cost += 0.5 * (gap - 2)
    return cost + (0.4 if gap > _LONGEST_NOTE else 0.0)


def _ending(step: int, grid: Grid, count: int) -> float:
    """Return what it costs that the last syllable begins on this step: it wants a strong place and time to ring."""
    wish = grid.ending if count > grid.steps // 3 else grid.steps // 2
    return 0.15 * abs(step - wish) + (0.6, 0.3, 0.0, 0.0)[grid.strength(step)]


def _held(steps: Sequence[int], syllables: Sequence[SungSyllable], grid: Grid) -> Rhythm:
    lengths = []
    for place, step in enumerate(steps):
        following = steps[place + 1] if place + 1 < len(steps) else grid.steps
        room = float(following - step)
        if place + 1 == len(steps) or syllables[place].pause:
            room -= _BREATH if room > 1 else 0.0
        lengths.append(min(room, _LONGEST_NOTE) * grid.step_beats)
    return Rhythm(tuple(step * grid.step_beats for step in steps), tuple(lengths))
