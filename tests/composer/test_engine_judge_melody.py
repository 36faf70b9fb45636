"""The melody score hears the tune of a mix, and nothing else makes it high."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.composer.engine.judge.melody import melody_presence
from services.composer.engine.music import RENDER_RATE, Note
from tests.composer.tunes import TUNING_TUNES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.composer.tunes import Tune

TEMPO = 100.0


def _melody(tune: Tune, transpose: int) -> tuple[Note, ...]:
    melody, beat = [], 0.0
    for beats, pitch in tune.notes(transpose):
        if pitch is not None:
            melody.append(Note(beat, beats, pitch))
        beat += beats
    return tuple(melody[:24])


def _play(notes: Sequence[Note], *, level: float, brightness: float) -> NDArray[np.float32]:
    """Return the notes played by a plucked tone of ten harmonics."""
    beat_s = 60.0 / TEMPO
    out = np.zeros(int((max(note.beat + note.beats for note in notes) * beat_s + 1.0) * RENDER_RATE), dtype=np.float32)
    for note in notes:
        time = np.arange(int(note.beats * beat_s * RENDER_RATE)) / RENDER_RATE
        hertz = 440.0 * 2.0 ** ((note.pitch - 69) / 12.0)
        turn = np.exp(2j * np.pi * hertz * time)
        tone = np.polyval([brightness**h for h in range(10, 0, -1)] + [0.0], turn).imag
        shape = np.minimum(1.0, time / 0.01) * np.exp(-1.5 * time) * np.minimum(1.0, time[::-1] / 0.03)
        first = int(note.beat * beat_s * RENDER_RATE)
        out[first : first + len(time)] += (level * tone * shape).astype(np.float32)
    return out


def _backing(tune: Tune, transpose: int) -> NDArray[np.float32]:
    """Return tonic and dominant triads with a bass, one per bar, and a hiss on every beat."""
    tonic = 48 + transpose
    notes = []
    for bar in range(10):
        root = tonic + (7 if bar % 2 else 0)
        notes += [Note(bar * tune.beats_per_bar, tune.beats_per_bar, root + step) for step in (-12, 0, 4, 7)]
    sound = _play(notes, level=0.12, brightness=0.5)
    beat = int(60.0 / TEMPO * RENDER_RATE)
    hits = np.exp(-(np.arange(len(sound)) % beat) / 1_500.0)
    return sound + (0.05 * hits * np.random.default_rng(1).standard_normal(len(sound))).astype(np.float32)


def _mix(*sounds: NDArray[np.float32]) -> NDArray[np.float32]:
    mono = np.zeros(max(len(sound) for sound in sounds), dtype=np.float32)
    for sound in sounds:
        mono[: len(sound)] += sound
    return np.stack([mono, 0.9 * mono], axis=1)


@pytest.mark.parametrize(("number", "transpose"), [(0, 0), (4, -3), (5, 4)])
def test_a_tune_over_its_backing_is_heard_and_the_controls_are_not(number: int, transpose: int) -> None:
    """The mix with the tune scores at least .9; backing alone, shuffled tune, and a semitone up at least .4 less."""
    tune = TUNING_TUNES[number]
    melody = _melody(tune, transpose)
    backing = _backing(tune, transpose)
    full = _mix(_play(melody, level=0.2, brightness=0.6), backing)
    pitches = [note.pitch for note in melody]
    random.Random(number).shuffle(pitches)
    shuffled = [replace(note, pitch=pitch) for note, pitch in zip(melody, pitches, strict=True)]
    score = melody_presence(full, melody, TEMPO)
    assert score >= 0.9
    assert score - melody_presence(_mix(backing), melody, TEMPO) >= 0.4
    assert score - melody_presence(full, shuffled, TEMPO) >= 0.4
    assert melody_presence(full, [replace(note, pitch=note.pitch + 1) for note in melody], TEMPO) <= 0.1


def test_a_buried_tune_scores_less_than_a_clear_one() -> None:
    """Turning the tune down until the backing covers it lowers the score."""
    melody, backing = _melody(TUNING_TUNES[0], 0), _backing(TUNING_TUNES[0], 0)
    scores = [
        melody_presence(_mix(_play(melody, level=level, brightness=0.6), backing), melody, TEMPO)
        for level in (0.2, 0.02, 0.002)
    ]
    assert scores[0] > scores[1] > scores[2]


def test_the_wrong_tempo_loses_the_tune() -> None:
    """Read at another tempo the notes are looked for in the wrong places."""
    melody = _melody(TUNING_TUNES[1], 0)
    audio = _play(melody, level=0.2, brightness=0.6)
    assert melody_presence(audio, melody, TEMPO) >= 0.95
    assert melody_presence(audio, melody, TEMPO * 1.17) <= 0.6


def test_noise_and_silence_contain_no_tune() -> None:
    """White noise scores at chance and silence, an empty tune and notes after the end score 0."""
    melody = _melody(TUNING_TUNES[1], 0)
    noise = np.random.default_rng(2).standard_normal((RENDER_RATE * 30, 2)).astype(np.float32)
    assert melody_presence(noise, melody, TEMPO) <= 0.35
    assert melody_presence(np.zeros_like(noise), melody, TEMPO) == 0.0
    assert melody_presence(noise, (), TEMPO) == 0.0
    assert melody_presence(noise, [Note(1_000.0, 1.0, 60)], TEMPO) == 0.0
