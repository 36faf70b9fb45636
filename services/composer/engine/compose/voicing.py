"""Voice leading for pads and comping: the cheapest path through all close voicings, so that voices hardly move.

The cost is the movement of the voices, with a penalty for parallel fifths and octaves, for holes and for
crowding at the bottom; the path is global (Viterbi), since a greedy choice paints itself into a corner.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Chord

_PARALLEL = 6.0
"""Price of one pair of voices in parallel fifths or octaves, in semitones of movement."""

_MOST_VOICINGS = 80


def voice_chords(
    chords: Sequence[Chord], *, voices: int, low: int, highs: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """Return one voicing (pitches rising) for each chord, inside `low` and that chord's entry of `highs`.

    Every voicing has the third and as many other tones as there are voices; the fifth is the first to go.
    """
    if not chords:
        return ()
    options = [_voicings(chord, voices, low, high) for chord, high in zip(chords, highs, strict=True)]
    best = _shape_cost(options[0])
    back: list[NDArray[np.int64]] = []
    for old, new in pairwise(options):
        table = best[:, None] + _moving_cost(old, new)
        back.append(table.argmin(axis=0))
        best = table.min(axis=0) + _shape_cost(new)
    path = [int(best.argmin())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return tuple(tuple(int(p) for p in option[index]) for option, index in zip(options, reversed(path), strict=True))


def parallels(old: Sequence[int], new: Sequence[int]) -> int:
    """Return how many pairs of voices move together in parallel fifths or octaves from one voicing to the next."""
    found = 0
    for i, j in combinations(range(len(old)), 2):
        before, after = (old[j] - old[i]) % 12, (new[j] - new[i]) % 12
        if before == after and before in {0, 7} and new[i] != old[i]:
            found += 1
    return found


def _voicings(chord: Chord, voices: int, low: int, high: int) -> NDArray[np.int64]:
    """Return every voicing of the chord in the window as rows, at least one."""
    tones = _needed(chord, voices)
    high = max(high, low + 14)
    pitches = [pitch for pitch in range(low, high + 1) if pitch % 12 in chord.pitch_classes]
    rows = [
        row
        for row in combinations(pitches, voices)
        if tones <= {pitch % 12 for pitch in row} and row[-1] - row[0] <= 19
    ]
    if not rows:
        rows = [tuple((pitches * voices)[:voices])]
    table = np.array(rows, dtype=np.int64)
    if len(table) > _MOST_VOICINGS:
        order = np.argsort(_shape_cost(table), kind="stable")[:_MOST_VOICINGS]
        table = table[np.sort(order)]
    return table


def _needed(chord: Chord, voices: int) -> set[int]:
    """Return the pitch classes a voicing must have: third and seventh first, then root, then fifth."""
    classes = chord.pitch_classes
    by_weight = [classes[1], *classes[3:], classes[0], classes[2]]
    return set(by_weight[:voices])


def _shape_cost(table: NDArray[np.int64]) -> NDArray[np.float64]:
    gaps = np.diff(table, axis=1)
    muddy = ((gaps[:, :1] < 3) & (table[:, :1] < 52)).sum(axis=1)
    holes = np.clip(gaps - 9, 0, None).sum(axis=1)
    rubs = (gaps == 1).sum(axis=1)
    spread = np.abs(table[:, -1] - table[:, 0] - 11) * 0.15
    return np.asarray(2.0 * muddy + 0.7 * holes + 1.0 * rubs + spread, dtype=np.float64)


def _moving_cost(old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.float64]:
    motion = new[None, :, :] - old[:, None, :]
    cost: NDArray[np.float64] = np.abs(motion).sum(axis=2).astype(np.float64) + 0.25 * np.abs(motion).max(axis=2)
    for i, j in combinations(range(old.shape[1]), 2):
        before = (old[:, j] - old[:, i]) % 12
        after = (new[:, j] - new[:, i]) % 12
        same = (before[:, None] == after[None, :]) & ((before == 0) | (before == 7))[:, None] & (motion[:, :, i] != 0)
        cost += _PARALLEL * same
    return cost
