"""Finding chords for a tune: the best path through a vocabulary by Viterbi, as in hidden Markov harmonisers.

The emission asks how well the notes sounding in a slot sit in the chord; the transition is a small functional
grammar (tonic, subdominant, dominant) with resolutions of secondary dominants; the ends carry cadence terms.
After Simon, Morris and Basu, "MySong: automatic accompaniment generation for vocal melodies" (CHI 2008),
with hand-set weights in place of trained ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from services.composer.engine.compose.chords import Candidate, vocabulary
from services.composer.engine.music import Chord, Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Note

Ending = Literal["closed", "open"]
"""Closed ends on the tonic, open on the dominant."""

_EMISSION = 4.0
"""How much a bar of perfectly fitting notes outweighs the grammar."""

_GRAMMAR = {
    ("T", "T"): 0.0, ("T", "S"): 0.35, ("T", "D"): 0.2, ("T", "X"): 0.1,
    ("S", "T"): 0.15, ("S", "S"): -0.1, ("S", "D"): 0.6, ("S", "X"): -0.1,
    ("D", "T"): 0.7, ("D", "S"): -0.5, ("D", "D"): -0.2, ("D", "X"): -0.4,
    ("X", "T"): -2.5, ("X", "S"): -2.5, ("X", "D"): -2.5, ("X", "X"): -2.5,
}  # fmt: skip
"""Reward of moving from one function to the next; a secondary dominant is dear unless it resolves."""


def slot_beats(beats_per_bar: int) -> float:
    """Return how often a chord may change: half bars of an even long metre, else whole bars."""
    return beats_per_bar / 2 if beats_per_bar in {4, 6, 8} else float(beats_per_bar)


def harmonise(
    melody: Sequence[Note],
    key: Key,
    *,
    beats: float,
    beats_per_bar: int,
    colour: str = "plain",
    ending: Ending = "closed",
    avoid: Sequence[Chord] = (),
) -> tuple[Chord, ...]:
    """Return chords that cover beats 0 to `beats` under `melody`, equal neighbours merged.

    `avoid` are chords of another version of the song: a root equal to theirs is discouraged, not forbidden.
    """
    choices = vocabulary(colour, key.mode)
    slot = slot_beats(beats_per_bar)
    starts = [index * slot for index in range(max(1, round(beats / slot)))]
    reward = np.array([[_fit(melody, start, start + slot, chord, key) for chord in choices] for start in starts])
    reward -= np.array([chord.price for chord in choices])
    reward[:, :] -= _sameness(starts, choices, key, avoid)
    _add_cadence(reward, choices, ending, _ending_is_sung(melody, starts[-1], slot))
    path = _best_path(reward, choices, per_bar=round(beats_per_bar / slot))
    return _merged(
        [choices[index].placed(key, start, slot) for index, start in zip(path, starts, strict=True)], beats_per_bar
    )


def chord_at(chords: Sequence[Chord], beat: float) -> Chord:
    """Return the chord sounding at `beat`; before the first it is the first, after the last the last."""
    found = chords[0]
    for chord in chords:
        if chord.beat > beat + 1e-6:
            break
        found = chord
    return found


def _fit(melody: Sequence[Note], start: float, end: float, chord: Candidate, key: Key) -> float:
    """Return -1..1 times the emission weight: how well the notes in [start, end) sit in the chord."""
    classes = chord.pitch_classes(key)
    total = score = 0.0
    for note in melody:
        overlap = min(end, note.beat + note.beats) - max(start, note.beat)
        if overlap <= 1e-6:
            continue
        weight = overlap * (1.6 if abs(note.beat - start) < 1e-6 else 1.0 if note.beat % 1 < 1e-6 else 0.7)
        total += weight
        score += weight * _membership(note.pitch % 12, classes)
    return _EMISSION * score / total * min(1.0, 0.4 + total / (end - start)) if total else 0.0


def _membership(pitch_class: int, classes: tuple[int, ...]) -> float:
    """Return 1 for a triad tone, less for a seventh, -1 for a foreign tone, -1.6 when it rubs a semitone above."""
    if pitch_class in classes[:3]:
        return 1.0
    if pitch_class in classes:
        return 0.6
    return -1.6 if (pitch_class - 1) % 12 in classes[:3] else -0.8


def _sameness(
    starts: Sequence[float], choices: Sequence[Candidate], key: Key, avoid: Sequence[Chord]
) -> NDArray[np.float64]:
    cost = np.zeros((len(starts), len(choices)))
    if avoid:
        for row, start in enumerate(starts):
            other = chord_at(avoid, start)
            for column, chord in enumerate(choices):
                if (key.tonic + chord.degree) % 12 == other.root and chord.degree != 0:
                    cost[row, column] = 0.7
    return cost


def _ending_is_sung(melody: Sequence[Note], start: float, slot: float) -> bool:
    return any(note.beat < start + slot and note.beat + note.beats > start for note in melody)


def _add_cadence(reward: NDArray[np.float64], choices: Sequence[Candidate], ending: Ending, sung: bool) -> None:  # noqa: FBT001
    """Reward a tonic at the start, and at the end the tonic or the dominant that the ending asks for.

    A slot at the end in which nothing is sung is free to turn round, so there the ending counts double.
    """
    last, before = reward[-1], reward[-2] if len(reward) > 1 else None
    for column, chord in enumerate(choices):
        if chord.degree == 0 and chord.function == "T":
            reward[0, column] += 1.2
        if ending == "closed":
            last[column] += 3.0 if chord.degree == 0 and chord.function == "T" else 0.0
            if before is not None and chord.function == "D":
                before[column] += 0.5
        elif chord.function == "D":
            last[column] += 1.6 if sung else 3.0
        if chord.function == "X":
            last[column] -= 4.0


def _best_path(reward: NDArray[np.float64], choices: Sequence[Candidate], *, per_bar: int) -> list[int]:
    inside, across = _transitions(choices)
    best = reward[0].copy()
    back = np.zeros(reward.shape, dtype=np.int64)
    for row in range(1, len(reward)):
        table = best[:, None] + (inside if row % per_bar else across)
        back[row] = table.argmax(axis=0)
        best = table.max(axis=0) + reward[row]
    path = [int(best.argmax())]
    for row in range(len(reward) - 1, 0, -1):
        path.append(int(back[row, path[-1]]))
    return path[::-1]


def _transitions(choices: Sequence[Candidate]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rewards of moving inside a bar (staying is better) and over a bar line (moving is better)."""
    size = len(choices)
    inside, across = np.zeros((size, size)), np.zeros((size, size))
    for i, old in enumerate(choices):
        for j, new in enumerate(choices):
            if i == j:
                inside[i, j], across[i, j] = 1.5, -0.45
                continue
            move = _GRAMMAR[old.function, new.function]
            if old.resolves == new.degree and old.function == "X":
                move = 1.3
            elif old.degree == new.degree:
                move = -0.6
            elif (old.degree - new.degree) % 12 == 7:
                move += 0.3  # The falling fifth is the strongest root motion.
            inside[i, j], across[i, j] = move - 0.8, move
    return inside, across


def _merged(chords: Sequence[Chord], beats_per_bar: int) -> tuple[Chord, ...]:
    """Join equal neighbours inside a bar; over a bar line the chord is struck again."""
    joined: list[Chord] = []
    for chord in chords:
        if joined and joined[-1].name == chord.name and chord.beat % beats_per_bar > 1e-6:
            old = joined[-1]
            joined[-1] = Chord(old.beat, old.beats + chord.beats, old.root, old.pitch_classes, old.name)
        else:
            joined.append(chord)
    return tuple(joined)
