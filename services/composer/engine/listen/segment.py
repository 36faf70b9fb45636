"""Which stretch of a take is composed upon: the best run of whole phrases, not the throat-clearing around it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.key import key_clarity
from services.composer.engine.music import HeardNote, Segment

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAUSE_S = 0.35
_LONG_STEP = 2.6  # times the usual interval between onsets
_BREAK_S = 2.5  # a silence after which something new begins
_LONGEST_S = 34.0
_SHORTEST_S = 4.0
_ENOUGH_S = 12.0
_LEAST_NOTES = 4
_MOST_PHRASES = 40
_MARGIN_S = 0.05


def pick_segment(notes: Sequence[HeardNote], take_s: float) -> Segment:
    """Return the stretch of up to 34 s that makes the best tune: a run of whole phrases between pauses.

    What counts: how much of it is sung, how steadily, how many different pitches, how dense, how clear its key, and
    that it is long enough to be a tune. Without notes it is the whole take with score 0.
    """
    if not notes:
        return Segment(0.0, take_s, 0.0)
    phrases = split_phrases(notes)[:_MOST_PHRASES]
    best = Segment(0.0, 0.0, -1.0)
    for first in range(len(phrases)):
        chosen: list[HeardNote] = []
        for phrase in phrases[first:]:
            if chosen and phrase[0].start_s - chosen[-1].end_s > _BREAK_S:
                break
            if chosen and phrase[-1].end_s - chosen[0].start_s > _LONGEST_S:
                break
            chosen = [*chosen, *_within(phrase)]
            score = _score(chosen)
            if score > best.score:
                best = Segment(chosen[0].start_s, chosen[-1].end_s, score)
    return Segment(max(0.0, best.start_s - _MARGIN_S), min(take_s, best.end_s + _MARGIN_S), best.score)


def notes_within(notes: Sequence[HeardNote], segment: Segment) -> tuple[HeardNote, ...]:
    """Return the notes that begin inside the segment."""
    return tuple(note for note in notes if segment.start_s <= note.start_s < segment.end_s)


def split_phrases(notes: Sequence[HeardNote]) -> list[list[HeardNote]]:
    """Return the notes in groups between pauses: a silence of 0.35 s, or an onset that keeps waiting unusually long."""
    steps = np.diff([note.start_s for note in notes])
    usual = float(np.median(steps)) if len(steps) else 0.0
    phrases = [[notes[0]]]
    for before, note in pairwise(notes):
        waited = note.start_s - before.start_s > _LONG_STEP * usual
        if note.start_s - before.end_s > _PAUSE_S or waited:
            phrases.append([])
        phrases[-1].append(note)
    return phrases


def _within(phrase: list[HeardNote]) -> list[HeardNote]:
    """Return as much of an endless phrase as a segment can hold."""
    return [note for note in phrase if note.end_s - phrase[0].start_s <= _LONGEST_S]


def _score(notes: Sequence[HeardNote]) -> float:
    """Return from 0 to 1 how good a tune the notes are."""
    seconds = notes[-1].end_s - notes[0].start_s
    if len(notes) < _LEAST_NOTES:
        return 0.02 * len(notes)
    sung = sum(note.end_s - note.start_s for note in notes) / seconds
    off = [abs(note.sung_pitch - note.pitch) for note in notes]
    steadiness = 1.0 - min(1.0, float(np.std(off)) / 0.5)
    variety = min(1.0, (len({note.pitch for note in notes}) - 1) / 4.0)
    density = min(1.0, len(notes) / seconds / 1.2)
    clarity = min(1.0, key_clarity(notes) / 0.15)
    strength = float(np.mean([note.strength for note in notes]))
    quality = 0.25 * sung + 0.15 * steadiness + 0.25 * variety + 0.15 * density + 0.1 * clarity + 0.1 * strength
    length = min(1.0, 0.35 + 0.65 * (seconds - _SHORTEST_S) / (_ENOUGH_S - _SHORTEST_S))
    fuller = 0.9 + 0.1 * min(1.0, seconds / _LONGEST_S)  # of two good stretches, the one with more of the tune
    return float(np.clip(quality * max(length, 0.1) * fuller, 0.0, 1.0))
