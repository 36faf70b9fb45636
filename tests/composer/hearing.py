"""What of a sung tune was heard: each measure against what was meant, not against what the engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.timing import swung
from services.composer.engine.music import Key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Analysis, HeardNote
    from tests.composer.takes import SungTake

ONSET_S = 0.1
_OCTAVE = 14  # a telephone takes the fundamental of a low voice, and the tuning may be half a semitone off
_SAME_BEAT = 0.07
_OCTAVES = (1.0, 0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much of one take was heard right; each from 0 to 1."""

    notes: float
    """Note F1: onset within 100 ms and the right semitone, one transposition forgiven to the whole take."""
    key: float
    tempo: float
    """Whether the tempo is within 4 %."""
    octave: float
    """The same, but half and double forgiven."""
    rhythm: float
    """Share of the steps from note to note that take the right number of beats, half and double forgiven."""
    metre: float
    """Whether the bar is divided alike; 2/4 and 4/4 count as one metre."""
    bar: float
    """Whether most notes stand in the right place of the bar, which a wrong pickup would move."""
    swing: float
    """Whether swing is told from straight beats."""
    shuffled: float
    """Control: note F1 against the same onsets with the pitches in another order."""


def verdict_on(take: SungTake, heard: Analysis) -> Verdict:
    """Return how the analysis of a take compares with what was sung."""
    notes, shift = note_f1(take.notes, heard.notes, forgiven=_OCTAVE)
    ratio = heard.tempo_bpm / take.tempo_bpm
    metre = metre_of(heard.beats_per_bar, compound=heard.compound) == metre_of(
        take.tune.beats_per_bar, compound=take.tune.feel == "six"
    )
    pairs = _matched(take, heard)
    swings = heard.swing > 0.0 or heard.compound
    return Verdict(
        notes=notes,
        key=float(Key((heard.key.tonic + shift) % 12, heard.key.mode) == take.key),
        tempo=float(abs(ratio - 1.0) < 0.04),
        octave=float(any(abs(ratio / octave - 1.0) < 0.04 for octave in _OCTAVES)),
        rhythm=rhythm_share(take.beats, pairs),
        metre=float(metre),
        bar=float(metre and _right_places(take, pairs) > 0.5),
        swing=float(swings == (take.tune.feel != "straight")),
        shuffled=note_f1(shuffled(take.notes), heard.notes, forgiven=_OCTAVE)[0],
    )


def note_f1(truth: Sequence[HeardNote], heard: Sequence[HeardNote], *, forgiven: int = 2) -> tuple[float, int]:
    """Return the harmonic mean of precision and recall (onset within 100 ms, right semitone) and the transposition.

    One transposition of up to `forgiven` semitones is allowed to the whole take.
    """
    best = (0, 0, 0)
    for shift in range(-forgiven, forgiven + 1):
        free = list(heard)
        hits = 0
        for note in truth:
            same = [other for other in free if other.pitch + shift == note.pitch]
            near = [other for other in same if abs(other.start_s - note.start_s) <= ONSET_S]
            if near:
                free.remove(min(near, key=lambda other: abs(other.start_s - note.start_s)))
                hits += 1
        best = max(best, (hits, -abs(shift), shift))
    return 2.0 * best[0] / max(1, len(truth) + len(heard)), best[2]


def shuffled(notes: Sequence[HeardNote]) -> list[HeardNote]:
    """Return the notes with their pitches in another order, always the same one."""
    order = np.random.default_rng(len(notes)).permutation(len(notes))
    return [replace(note, pitch=notes[int(other)].pitch) for note, other in zip(notes, order, strict=True)]


def metre_of(beats_per_bar: int, *, compound: bool) -> str:
    """Return the kind of metre: six, three or even."""
    if compound:
        return "six"
    return "three" if beats_per_bar % 3 == 0 else "even"


def performed_beats(heard: Analysis) -> tuple[float, ...]:
    """Return when the notes of the heard melody sound, in beats, swing included."""
    swing = 1.0 / 6.0 if heard.compound else heard.swing
    return tuple(swung(note.beat, swing) for note in heard.melody)


def _matched(take: SungTake, heard: Analysis) -> list[float | None]:
    """Return for each sung note the beat of the melody note heard at its time, or None."""
    starts = _melody_starts(heard)
    beats = performed_beats(heard)
    found: list[float | None] = []
    for note in take.notes:
        near = min(range(len(starts)), key=lambda index: abs(starts[index] - note.start_s), default=None)
        is_near = near is not None and abs(starts[near] - note.start_s) <= 1.5 * ONSET_S
        found.append(beats[near] if near is not None and is_near else None)
    return found


def _melody_starts(heard: Analysis) -> list[float]:
    """Return the seconds at which the notes of the melody were sung: by order and pitch among the heard notes."""
    starts: list[float] = []
    at = 0
    for note in heard.melody:
        while at < len(heard.notes) and heard.notes[at].pitch != note.pitch:
            at += 1
        starts.append(heard.notes[min(at, len(heard.notes) - 1)].start_s)
        at += 1
    return starts


def rhythm_share(meant: Sequence[float], heard: Sequence[float | None]) -> float:
    """Return the share of steps from one note to the next that take as many beats as meant, half and double forgiven.

    A step to or from a note that was not heard is wrong.
    """
    steps = np.diff(meant)
    found = [float("nan") if before is None or after is None else after - before for before, after in pairwise(heard)]
    return max(
        float(np.mean(np.abs(np.array(found) - steps * octave) < _SAME_BEAT * max(octave, 1.0))) for octave in _OCTAVES
    )


def _right_places(take: SungTake, heard: Sequence[float | None]) -> float:
    """Return the share of the notes that stand where they were meant to in their bar, or half bar of four."""
    bar = 2.0 if take.tune.beats_per_bar % 3 else 3.0
    meant = np.array(take.beats) - take.tune.pickup
    off = [np.nan if beat is None else (beat - place + 0.5 * bar) % bar - 0.5 * bar
           for beat, place in zip(heard, meant, strict=True)]  # fmt: skip
    return float(np.mean(np.abs(off) < _SAME_BEAT))
