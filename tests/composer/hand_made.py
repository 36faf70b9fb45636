"""Analyses built by hand from known tunes, so that composing is tested without the listening half."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import Analysis, Brief, HeardNote, Key, Mode, Note, Score, Segment
from tests.composer.tunes import TUNING_TUNES

if TYPE_CHECKING:
    from collections.abc import Iterable

TUNES = {tune.name: tune for tune in TUNING_TUNES}


def analysis_of(name: str, *, tempo_bpm: float = 100.0, transpose: int = 0) -> Analysis:
    """Return the analysis a perfect listener would make of the tune `name`."""
    tune = TUNES[name]
    beat = -float(tune.pickup)
    melody = []
    for beats, pitch in tune.notes(transpose):
        if pitch is not None:
            melody.append(Note(beat, beats, pitch))
        beat += beats
    return analysis_from(melody, tune.key(transpose), tempo_bpm=tempo_bpm, beats_per_bar=tune.beats_per_bar)


def analysis_from(
    melody: Iterable[Note],
    key: Key | None = None,
    *,
    tempo_bpm: float = 100.0,
    beats_per_bar: int = 4,
) -> Analysis:
    """Return an analysis with exactly this melody."""
    notes = tuple(melody)
    first = min((note.beat for note in notes), default=0.0)
    second = 60.0 / tempo_bpm
    heard = tuple(
        HeardNote((n.beat - first) * second, (n.beat + n.beats - first) * second, n.pitch, float(n.pitch))
        for n in notes
    )
    return Analysis(
        f0_hz=np.zeros(10, dtype=np.float32),
        notes=heard,
        melody=notes,
        key=key or Key(0, Mode.MAJOR),
        key_margin=1.0,
        tempo_bpm=tempo_bpm,
        beats_per_bar=beats_per_bar,
        tuning_cents=0.0,
        drift_cents_per_s=0.0,
        segment=Segment(0.0, 10.0, 1.0),
    )


def brief(style: str = "pop", *, seconds: float = 60.0, seed: int = 1, mood: str = "") -> Brief:
    """Return a brief with the fields that matter here."""
    return Brief(title="Song", style=style, mood=mood, duration_s=seconds, seed=seed)


def without_tune(score: Score) -> Score:
    """Return the score with everything that sings the tune muted: only the backing is left."""
    return replace(score, parts=tuple(part for part in score.parts if part.role not in {"lead", "harmony"}))
