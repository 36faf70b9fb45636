"""Words laid on a tune that is there already: a syllable a note where they agree, else drawn out or notes split."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from services.composer.engine.sing.setting import words_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Note, Sung
    from services.composer.engine.sing.setting import Verse
    from services.composer.engine.sing.text import SungSyllable

_SHORTEST = 0.25
"""Beats of the shortest piece that a note is split into."""
_BREATH = 0.125
"""Beats that a line gives up at its end where the tune leaves no rest."""
_UNEVEN = 3.0
_BREATH_WORTH = 1.5


def fit_words(notes: Sequence[Note], verses: Sequence[Verse]) -> tuple[Sung, ...]:
    """Return the lines of words on the notes of a tune, which keep their pitches and places.

    Lines begin where the tune breathes, if it does about there. Fewer syllables than notes are drawn out over several,
    more split long notes; what does not fit even so is left out at the end of its line, and lines for which there is
    no note are left out whole.
    """
    verses = verses[: len(notes)]
    sung: list[Sung] = []
    for verse, its in zip(verses, _shared_out(notes, verses), strict=True):
        pieces = _pieces(its, len(verse.syllables))
        syllables = verse.syllables[: len(pieces)]
        sung += words_on(replace(verse, syllables=syllables), _drawn(pieces, syllables))
    return tuple(sung)


def room_on(notes: Sequence[Note]) -> int:
    """Return the most syllables that these notes can be split for."""
    return sum(max(1, int(note.beats / _SHORTEST + 1e-6)) for note in notes)


def _shared_out(notes: Sequence[Note], verses: Sequence[Verse]) -> list[list[Note]]:
    """Return for each line the notes that it is sung on: the cheapest cuts of the tune, by dynamic programming."""
    count, lines = len(notes), len(verses)
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for place, verse in enumerate(verses):
        row: dict[int, tuple[float, int]] = {}
        ends = [count] if place == lines - 1 else range(place + 1, count - (lines - place - 1) + 1)
        for end in ends:
            found = [
                (cost + _line_cost(notes[start:end], len(verse.syllables)), start)
                for start, (cost, _) in best[-1].items()
                if start < end
            ]
            if found:
                cost, start = min(found)
                row[end] = (cost - (_breath_after(notes, end) if end < count else 0.0), start)
        best.append(row)
    cuts = [count]
    for row in reversed(best[1:]):
        cuts.append(row[cuts[-1]][1])
    cuts.reverse()
    return [list(notes[a:b]) for a, b in pairwise(cuts)]


def _line_cost(notes: Sequence[Note], syllables: int) -> float:
    missing = max(0, syllables - room_on(notes))
    return _UNEVEN * abs(math.log(syllables / len(notes))) + 10.0 * missing


def _breath_after(notes: Sequence[Note], end: int) -> float:
    """Return what it is worth to begin a line with note `end`: a rest before it, or a long note."""
    before, after = notes[end - 1], notes[end]
    rest = after.beat - before.beat - before.beats
    return _BREATH_WORTH * min(2.0, 2.0 * rest + 0.5 * before.beats)


def _pieces(notes: Sequence[Note], syllables: int) -> list[Note]:
    """Return the notes, the longest of them split until there is one for each syllable or no note is long enough."""
    parts = [1] * len(notes)
    while sum(parts) < syllables:
        longest = max(range(len(notes)), key=lambda place: notes[place].beats / (parts[place] + 1))
        if notes[longest].beats / (parts[longest] + 1) < _SHORTEST - 1e-6:
            break
        parts[longest] += 1
    pieces = []
    for note, count in zip(notes, parts, strict=True):
        # Two halves are unlike in song: the first is short, the second is held.
        lengths = _lengths(note.beats, count)
        beat = note.beat
        for length in lengths:
            pieces.append(replace(note, beat=beat, beats=length))
            beat += length
    return pieces


def _lengths(beats: float, count: int) -> list[float]:
    """Return the lengths of the pieces of a note: eighths or sixteenths, and what is left held at the end."""
    for step in (1.0, 0.5, 0.25):
        if count == 1 or step * count <= beats + 1e-6:
            first = min(step, beats / count) if count > 1 else beats
            return [*[first] * (count - 1), beats - first * (count - 1)]
    return [beats / count] * count


def _drawn(pieces: Sequence[Note], syllables: Sequence[SungSyllable]) -> list[tuple[Note, ...]]:
    """Return the notes of each syllable: all that are more than the syllables are sung on the vowel before them."""
    spare = len(pieces) - len(syllables)
    groups = [[piece] for piece in pieces]
    while spare > 0:
        # The note that is least missed as the beginning of a syllable: short, off the beat, a step from the one before.
        place = min(range(1, len(groups)), key=lambda at: _worth(groups[at - 1], groups[at][0]))
        groups[place - 1 : place + 1] = [groups[place - 1] + groups[place]]
        spare -= 1
    if groups and groups[-1][-1].beats > 2 * _BREATH:
        last = groups[-1][-1]
        groups[-1][-1] = replace(last, beats=last.beats - _BREATH)
    return [tuple(group) for group in groups]


def _worth(before: Sequence[Note], note: Note) -> float:
    on_beat = 1.0 if note.beat % 1 < 1e-6 else 0.0
    return note.beats + on_beat + 0.15 * abs(note.pitch - before[-1].pitch) + 0.7 * (len(before) - 1)
