"""Changing a tune while keeping it: the verse that hints at the chorus, and the bridge made from its head."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.composer.engine.compose.harmony import chord_at
from services.composer.engine.compose.scales import diatonic, nearest, stepped
from services.composer.engine.music import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.compose.tune import Tune
    from services.composer.engine.music import Chord, Key

_SHIFTS = (-2, 1, -3, 2, -1, 3)
"""Scale steps by which the bridge may move the head of the tune; never 0, for that would be the tune."""


def varied(tune: Tune, chords: Sequence[Chord], key: Key, rng: np.random.Generator) -> tuple[Note, ...]:
    """Return the tune thinned and decorated: strong notes stay, weak ones may melt or gain a passing note.

    `chords` start at the tune's own beat 0. Between half and all of the notes keep their place and pitch.
    """
    scale = diatonic(key)
    notes: list[Note] = []
    melted = 0
    for index, note in enumerate(tune.notes):
        following = tune.notes[index + 1] if index + 1 < len(tune.notes) else None
        weak = note.beat % 1 > 1e-6 and note.beats <= 0.5
        if weak and notes and melted < len(tune.notes) // 3 and rng.random() < 0.4:
            melted += 1
            notes[-1] = replace(notes[-1], beats=note.beat + note.beats - notes[-1].beat)
            continue
        if following and note.beats >= 1.5 and rng.random() < 0.6:
            notes.extend(_with_passing(note, following, scale))
        elif note.beats >= 1.0 and note.beat % tune.beats_per_bar > 1e-6 and rng.random() < 0.25:
            notes.append(replace(note, pitch=_other_tone(note.pitch, chord_at(chords, note.beat))))
        else:
            notes.append(note)
    return tuple(notes)


def _with_passing(note: Note, following: Note, scale: frozenset[int]) -> tuple[Note, ...]:
    """Return the note shortened by half a beat and a scale step that leads to the following note."""
    gap = following.pitch - note.pitch
    if gap == 0 or following.beat - note.beat - note.beats > 0.5:
        passing = stepped(note.pitch, 1, scale)
    else:
        passing = stepped(following.pitch, -1 if gap > 0 else 1, scale)
    held = replace(note, beats=note.beats - 0.5)
    return held, Note(note.beat + held.beats, 0.5, passing, max(1, note.velocity - 12))


def _other_tone(pitch: int, chord: Chord) -> int:
    """Return the nearest other tone of the chord below, at most a fourth away, else the pitch itself."""
    below = [p for p in range(pitch - 5, pitch) if p % 12 in chord.pitch_classes[:3]]
    return below[-1] if below else pitch


def sequence(tune: Tune, chords: Sequence[Chord], key: Key, *, bars: int) -> tuple[Note, ...]:
    """Return a bridge melody of `bars` bars: the head of the tune in sequence, moved to fit each pair of `chords`.

    The rhythm of the first two bars comes back on other degrees and the last bar rests on a chord tone.
    """
    scale = diatonic(key)
    span = float(min(2, tune.bars) * tune.beats_per_bar)
    motif = [note for note in tune.notes if 0 <= note.beat < span - 1e-6]
    if not motif:
        return ()
    total = float(bars * tune.beats_per_bar)
    notes: list[Note] = []
    start, last_shift = 0.0, 0
    while start < total - 1e-6:
        shift = max((s for s in _SHIFTS if s != last_shift), key=lambda s: _fits(motif, s, start, chords, scale))
        last_shift = shift
        for note in motif:
            beat = start + note.beat
            length = min(note.beats, start + span - beat, total - beat)
            if length > 0.1:
                notes.append(Note(beat, length, stepped(note.pitch, shift, scale), note.velocity))
        start += span
    return _settled(notes, total, tune.beats_per_bar, chords)


def _fits(motif: Sequence[Note], shift: int, start: float, chords: Sequence[Chord], scale: frozenset[int]) -> float:
    good = sum(
        note.beats
        for note in motif
        if stepped(note.pitch, shift, scale) % 12 in chord_at(chords, start + note.beat).pitch_classes
    )
    return good - 0.2 * abs(shift)


def _settled(notes: list[Note], total: float, beats_per_bar: int, chords: Sequence[Chord]) -> tuple[Note, ...]:
    """Return the notes with the last bar replaced by one chord tone that leaves the second half of the bar free."""
    line = total - beats_per_bar
    kept = [replace(n, beats=min(n.beats, line - n.beat)) for n in notes if n.beat < line - 1e-6]
    if not kept:
        return tuple(notes)
    pitch = nearest(kept[-1].pitch, frozenset(chord_at(chords, line).pitch_classes[:3]))
    return (*kept, Note(line, beats_per_bar / 2, pitch, kept[-1].velocity))
