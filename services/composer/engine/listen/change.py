"""A tune as its singer wants it instead of as it was heard: another stretch, other notes, another key or tempo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen.key import find_key
from services.composer.engine.listen.segment import notes_within
from services.composer.engine.listen.tempo import find_tempo, quantise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Analysis, HeardNote, Segment

_LOWEST, _HIGHEST = 0, 127


def change_tune(
    analysis: Analysis,
    *,
    notes: Sequence[HeardNote] = (),
    segment: Segment | None = None,
    transpose: int = 0,
    tempo_bpm: float = 0.0,
) -> Analysis:
    """Return the analysis with what is given instead of what was heard; nothing given changes nothing.

    Notes replace all that were heard and are taken at their word. With other notes or another segment, key, tempo and
    metre are found anew. `transpose` moves notes and key by semitones, octaves where the range of MIDI ends;
    `tempo_bpm` is how fast the song is played, which moves no note in its bar. Raises `TakeRefusedError` with
    no_melody when no note begins inside the segment.
    """
    heard = tuple(notes) or analysis.notes
    stretch = segment or analysis.segment
    if notes or segment:
        inside = notes_within(heard, stretch)
        if not inside:
            raise TakeRefusedError("no_melody", "no note begins in the chosen stretch")
        found = find_key(inside)
        tempo = find_tempo(inside, found.key)
        analysis = replace(
            analysis,
            notes=heard,
            melody=quantise(inside, tempo, analysis.f0_hz),
            key=found.key,
            key_margin=found.margin,
            tempo_bpm=tempo.bpm,
            beats_per_bar=tempo.beats_per_bar,
            swing=tempo.swing,
            compound=tempo.compound,
            segment=stretch,
        )
    if transpose:
        analysis = _transposed(analysis, transpose)
    return replace(analysis, tempo_bpm=tempo_bpm) if tempo_bpm else analysis


def _transposed(analysis: Analysis, semitones: int) -> Analysis:
    """Return the analysis in another key, the tune in the octave that MIDI has."""
    pitches = [note.pitch for note in analysis.notes] + [note.pitch for note in analysis.melody]
    while max(pitches) + semitones > _HIGHEST:
        semitones -= 12
    while min(pitches) + semitones < _LOWEST:
        semitones += 12
    return replace(
        analysis,
        notes=tuple(
            replace(note, pitch=note.pitch + semitones, sung_pitch=note.sung_pitch + semitones)
            for note in analysis.notes
        ),
        melody=tuple(replace(note, pitch=note.pitch + semitones) for note in analysis.melody),
        key=replace(analysis.key, tonic=(analysis.key.tonic + semitones) % 12),
    )
