"""A tune for lines of syllables: the cheapest path through the pitches of the scale, by Viterbi.

A note costs what it is far from the arch of its line, from the chord under it and from the line that it answers; a
step costs its size, and much when it goes against the tones of Mandarin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.harmony import chord_at
from services.composer.engine.sing.tones import tone_direction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Chord

TONE_WEIGHT = 2.0
"""What a step against the tones costs; 0 lets the tune forget them."""

_LEVEL_SHARE = 0.35
"""What of that it costs when the tune stays where the tones move."""
_ARCH = 0.16
_ARCH_HEIGHT = 4.0
_STRONG_FOREIGN = 1.6
_WEAK_FOREIGN = 0.35
_ENDING_FOREIGN = 3.0
_CHANCE = 0.6
_APART = 0.4
"""Share of its cost that a step has between two lines."""
_STEPS = (0.45, 0.0, 0.0, 0.25, 0.3, 0.7, 1.6, 0.9, 2.0, 2.4, 2.8, 3.2, 2.2)
"""What a step of so many semitones costs; more than an octave costs more and more."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A note that wants a pitch: when, what is sung on it, and where in its line it stands, from 0 to 1.

    `tied` says that it goes on from the one before within a line; `last` that the line ends with it, and `closes`
    that the section does, at home.
    """

    beat: float
    beats: float
    tone: int
    share: float
    strong: bool
    tied: bool
    last: bool
    closes: bool
    model: int | None = None
    """The pitch that the line it answers has here; None for none."""
    pull: float = 0.0
    """What it costs to be a semitone away from the model."""


@dataclass(frozen=True, slots=True)
class Range:
    """The pitches that may be sung, the one around which the tune lies, the tonic and the scale as pitch classes."""

    low: int
    high: int
    centre: int
    tonic: int
    scale: frozenset[int]


def find_tune(
    slots: Sequence[Slot],
    chords: Sequence[Chord],
    reach: Range,
    *,
    chance: NDArray[np.float64],
    after: int | None = None,
    tone_weight: float = TONE_WEIGHT,
) -> tuple[int, ...]:
    """Return one pitch for each slot: the cheapest tune, going on from the pitch `after` if there is one.

    `chance` is what `draw_chance` drew. `tone_weight` 0 forgets the tones of the words.
    """
    pitches = np.array([p for p in range(reach.low, reach.high + 1) if p % 12 in reach.scale])
    cost = np.array([_place(slot, pitches, chords, reach) for slot in slots])
    cost += chance[np.array([round(8 * slot.share) for slot in slots])][:, pitches]
    moves = _moves(pitches)
    if after is not None:
        cost[0] += _APART * moves[np.abs(pitches - after).argmin()]
    total = cost[0].copy()
    back = np.zeros(cost.shape, dtype=np.int64)
    for row in range(1, len(slots)):
        table = total[:, None] + (_tied(slots[row - 1], slots[row], pitches, moves, tone_weight))
        back[row] = table.argmin(axis=0)
        total = table.min(axis=0) + cost[row]
    path = [int(total.argmin())]
    for row in range(len(slots) - 1, 0, -1):
        path.append(int(back[row, path[-1]]))
    return tuple(int(pitches[place]) for place in reversed(path))


def draw_chance(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return what each pitch costs at each of nine places of a line by chance alone: it makes a tune its own."""
    return np.asarray(_CHANCE * rng.standard_normal((9, 128)), dtype=np.float64)


def _place(slot: Slot, pitches: NDArray[np.int64], chords: Sequence[Chord], reach: Range) -> NDArray[np.float64]:
    """Return what each pitch costs on this slot."""
    classes = chord_at(chords, slot.beat).pitch_classes
    member = np.isin(pitches % 12, classes[:3])
    foreign = _ENDING_FOREIGN if slot.last else _STRONG_FOREIGN if slot.strong or slot.beats >= 1.0 else _WEAK_FOREIGN
    arch = reach.centre - 1.5 + _ARCH_HEIGHT * np.sin(np.pi * min(1.0, slot.share * 1.15)) ** 1.5
    cost = np.where(member, 0.0, foreign) + _ARCH * np.abs(pitches - arch) ** 1.3
    rubs = np.isin((pitches - 1) % 12, classes[:3]) & ~member
    cost += np.where(rubs, 0.8 * foreign, 0.0)
    if slot.closes:
        cost += np.where(pitches % 12 == reach.tonic, 0.0, 3.0)
    if slot.model is not None:
        cost += slot.pull * np.minimum(np.abs(pitches - slot.model), 2)
    return np.asarray(cost, dtype=np.float64)


def _moves(pitches: NDArray[np.int64]) -> NDArray[np.float64]:
    size = np.abs(pitches[:, None] - pitches[None, :])
    table = np.array(_STEPS)
    far = 3.0 + 0.5 * (size - 12.0)
    return np.asarray(np.where(size < len(table), table[np.minimum(size, len(table) - 1)], far), dtype=np.float64)


def _tied(
    before: Slot, after: Slot, pitches: NDArray[np.int64], moves: NDArray[np.float64], tone_weight: float
) -> NDArray[np.float64]:
    """Return what each step from one slot to the next costs."""
    if not after.tied:
        return _APART * moves
    wanted = tone_direction(before.tone, after.tone)
    if not wanted:
        return moves
    rise = (pitches[None, :] - pitches[:, None]) * wanted
    against = np.where(rise < 0, 1.0, np.where(rise == 0, _LEVEL_SHARE, 0.0))
    return np.asarray(moves + tone_weight * against, dtype=np.float64)


def model_at(tune: Mapping[float, int], beat: float, tolerance: float = 0.26) -> int | None:
    """Return the pitch that a tune, from beat to pitch, has at this beat or just beside it."""
    near = min(tune, key=lambda other: abs(other - beat), default=None)
    return tune[near] if near is not None and abs(near - beat) <= tolerance else None
