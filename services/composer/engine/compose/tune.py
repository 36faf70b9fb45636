"""The singer's tune as material: cleaned, measured in bars, cut where it breathes, moved by octaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Note

_SHORTEST = 0.125
_MOST_NOTES = 1200


@dataclass(frozen=True, slots=True)
class Tune:
    """One statement of the melody: notes from its first bar line, a pickup at negative beats, a length in bars."""

    notes: tuple[Note, ...]
    bars: int
    beats_per_bar: int

    @property
    def beats(self) -> float:
        """The length in beats, the pickup not counted."""
        return float(self.bars * self.beats_per_bar)

    @property
    def pickup(self) -> float:
        """Beats that sound before the first bar line."""
        return max(0.0, -self.notes[0].beat)

    def head(self, bars: int) -> Tune:
        """Return the first `bars` bars; a note hanging over the cut is shortened."""
        end = float(bars * self.beats_per_bar)
        kept = [replace(n, beats=min(n.beats, end - n.beat)) for n in self.notes if n.beat < end - 1e-6]
        return Tune(tuple(kept), bars, self.beats_per_bar)


def read_tune(melody: Sequence[Note], beats_per_bar: int) -> Tune:
    """Return the tune of `melody`: one voice, in order, in whole bars that leave room for the repeat's pickup.

    Raises ValueError when no note is left.
    """
    notes = _single_voice(melody)
    if not notes:
        message = "a tune needs at least one note"
        raise ValueError(message)
    bars_late = math.floor(notes[0].beat / beats_per_bar)
    shift = bars_late * beats_per_bar if bars_late >= 1 or notes[0].beat < -beats_per_bar else 0
    notes = [replace(note, beat=note.beat - shift) for note in notes]
    pickup = max(0.0, -notes[0].beat)
    last = notes[-1]
    # A long last note may give way to the pickup of the repeat, but it keeps a beat or half of itself.
    needed = min(last.beat + last.beats + pickup, last.beat + max(min(1.0, last.beats), last.beats / 2) + pickup)
    needed = max(needed, last.beat + last.beats) if pickup == 0.0 else needed
    bars = max(1, math.ceil(needed / beats_per_bar - 1e-6))
    if bars > 1 and bars % 2:
        bars += 1  # Phrases come in pairs of bars; the empty bar is where the fills go.
    limit = bars * beats_per_bar - pickup
    notes[-1] = replace(last, beats=min(last.beats, limit - last.beat))
    return Tune(tuple(notes), bars, beats_per_bar)


def _single_voice(melody: Sequence[Note]) -> list[Note]:
    notes: list[Note] = []
    for note in sorted(melody, key=lambda n: (n.beat, -n.pitch))[:_MOST_NOTES]:
        if note.beats < _SHORTEST or not 0 <= note.pitch <= 127:
            continue
        if notes and note.beat < notes[-1].beat + _SHORTEST:
            continue
        if notes and notes[-1].beat + notes[-1].beats > note.beat:
            notes[-1] = replace(notes[-1], beats=note.beat - notes[-1].beat)
        notes.append(note)
    return notes


def cut_to(tune: Tune, most_bars: int) -> Tune:
    """Return the tune, or when it is longer than `most_bars` its longest beginning that ends at a breath."""
    if tune.bars <= most_bars:
        return tune
    best, best_score = most_bars, -1.0
    for bars in range(max(1, most_bars // 2), most_bars + 1):
        score = (
            breath_at(tune, bars) + 2.0 * bars / most_bars + (0.5 if bars % 4 == 0 else 0.25 if bars % 2 == 0 else 0)
        )
        if score > best_score:
            best, best_score = bars, score
    return tune.head(best)


def breath_at(tune: Tune, bars: int) -> float:
    """Return how much the tune rests or lingers before bar line `bars`: the silence and the last note together."""
    line = float(bars * tune.beats_per_bar)
    before = [note for note in tune.notes if note.beat < line - 1e-6]
    if not before:
        return 0.0
    last = before[-1]
    return min(4.0, max(0.0, line - last.beat) + (0.5 if last.beat + last.beats <= line else -1.0))


def octave_shift(tune: Tune, *, low: int, high: int, centre: int) -> int | None:
    """Return the multiple of 12 that brings the tune into [low, high] with its middle nearest `centre`, or None."""
    lowest, highest = min(n.pitch for n in tune.notes), max(n.pitch for n in tune.notes)
    length = sum(n.beats for n in tune.notes)
    middle = sum(n.pitch * n.beats for n in tune.notes) / length
    shifts = [s for s in range(-60, 61, 12) if low <= lowest + s and highest + s <= high]
    # A lead under middle C leaves no room for the bed, so low places cost more and the higher of two equals wins.
    return min(shifts, key=lambda s: (abs(middle + s - centre) + 0.7 * max(0, 60 - lowest - s), -s), default=None)


def transposed(tune: Tune, semitones: int) -> Tune:
    """Return the tune moved by `semitones`."""
    moved = tuple(replace(note, pitch=note.pitch + semitones) for note in tune.notes)
    return Tune(moved, tune.bars, tune.beats_per_bar)
