"""Takes of known tunes under known conditions: who sings, on which syllable, how carefully, where and how recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import HeardNote
from tests.composer.singer import add_noise, reverberate, telephone
from tests.composer.voices import (
    CAREFUL,
    CHILD,
    MAN,
    SLOPPY,
    VERY_SLOPPY,
    WHISTLER,
    WOMAN,
    Manner,
    Syllables,
    Throat,
    sing_notes,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.music import Key
    from tests.composer.tunes import Tune

_LEAD_IN_S = 0.45
_LEAST_NOTE_S = 0.08
_TEMPI = {"straight": (72.0, 132.0), "swing": (84.0, 132.0), "six": (56.0, 104.0)}


@dataclass(frozen=True, slots=True)
class Setting:
    """A condition of the measurement."""

    manner: Manner = CAREFUL
    snr_db: float = 20.0
    room: float = 0.0
    """Reverberation against the direct sound, as an amplitude factor."""
    phone: bool = False


SETTINGS = {
    "20 dB": Setting(),
    "10 dB": Setting(snr_db=10.0),
    "sloppy": Setting(SLOPPY),
    "very sloppy": Setting(VERY_SLOPPY),
    "live room": Setting(snr_db=25.0, room=0.63),
    "live room, sloppy": Setting(SLOPPY, snr_db=25.0, room=0.63),
    "telephone, sloppy": Setting(SLOPPY, phone=True),
}

CAST: tuple[tuple[Throat, Syllables], ...] = (
    (MAN, "na"),
    (WOMAN, "la"),
    (CHILD, "words"),
    (WHISTLER, "whistle"),
    (MAN, "words"),
    (WOMAN, "mmm"),
    (CHILD, "na"),
    (MAN, "mmm"),
    (WOMAN, "words"),
    (CHILD, "la"),
    (MAN, "la"),
    (WOMAN, "na"),
    (CHILD, "mmm"),
)
"""Who sings what; takes go through it in turn."""


@dataclass(frozen=True, slots=True)
class SungTake:
    """A take and the truth about it; `beats` says when each note is meant to begin, as performed, swing included."""

    samples: NDArray[np.float32]
    notes: tuple[HeardNote, ...]
    beats: tuple[float, ...]
    tune: Tune
    key: Key
    tempo_bpm: float
    throat: Throat
    syllables: Syllables


def take_of(tune: Tune, setting: Setting, *, number: int) -> SungTake:
    """Return the tune sung by one of the cast; register, tempo, tuning and all errors follow from the number."""
    plan, rng = plan_take(tune, setting, number=number)
    voice = sing_notes(plan.notes, plan.throat, plan.syllables, setting.manner, rng)
    if setting.room:
        voice = reverberate(voice, setting.room, number)
    samples = add_noise(voice, setting.snr_db, number)
    if setting.phone:
        samples = telephone(samples)
    return replace(plan, samples=samples)


def plan_take(tune: Tune, setting: Setting, *, number: int) -> tuple[SungTake, np.random.Generator]:
    """Return the take before anybody has opened the mouth, and the generator of chance as it then stands."""
    rng = np.random.default_rng([number, 2_029])
    throat, syllables = CAST[number % len(CAST)]
    pitches = [pitch for _, pitch in tune.notes() if pitch is not None]
    middle = (min(pitches) + max(pitches)) / 2
    transpose = round(throat.centre - middle) + int(rng.integers(-3, 4))
    tempo = float(rng.uniform(*_TEMPI[tune.feel]))
    notes, beats = _planned(tune, transpose, tempo, setting.manner, rng)
    silence = np.zeros(0, dtype=np.float32)
    return SungTake(silence, notes, beats, tune, tune.key(transpose), tempo, throat, syllables), rng


def _planned(
    tune: Tune, transpose: int, tempo_bpm: float, manner: Manner, rng: np.random.Generator
) -> tuple[tuple[HeardNote, ...], tuple[float, ...]]:
    """Return when and how high each note is really sung, and the beat it was meant to begin on."""
    beat_s = 60.0 / tempo_bpm
    long_eighth = float(rng.uniform(0.6, 0.68)) if tune.feel == "swing" else 0.5
    tuning = float(rng.uniform(-45.0, 45.0))
    total = sum(beats for beats, _ in tune.notes())
    wander = float(rng.uniform(0.0, 6.28))
    meant: list[tuple[float, float, int]] = []
    beat = 0.0
    for beats, pitch in tune.notes():
        if pitch is not None:
            meant.append((_warped(beat, long_eighth), _warped(beat + beats, long_eighth), pitch))
        beat += beats
    sway = 0.012 * beat_s * total / 6.28
    onsets = [
        _LEAD_IN_S + first * beat_s + sway * np.sin(6.28 * first / total + wander) + rng.normal(0.0, manner.timing_s)
        for first, _, _ in meant
    ]
    sung: list[HeardNote] = []
    for index, (first, last, pitch) in enumerate(meant):
        start = max(float(onsets[index]), sung[-1].start_s + _LEAST_NOTE_S if sung else 0.15)
        end = start + 0.95 * (last - first) * beat_s
        if index + 1 < len(meant):
            following = float(onsets[index + 1])
            close = meant[index + 1][0] - last < 1e-6
            end = following if close else min(end, following - 0.02)
            end = max(end, start + 0.75 * _LEAST_NOTE_S)
        cents = tuning + manner.drift_cents * start / (_LEAD_IN_S + total * beat_s)
        cents += float(rng.normal(0.0, manner.pitch_cents))
        strength = float(np.clip(0.8 + rng.normal(0.0, 0.07) + 0.08 * (first % 1.0 < 1e-6), 0.3, 1.0))
        sung.append(HeardNote(start, end, pitch + transpose, pitch + transpose + cents / 100.0, strength))
    return tuple(sung), tuple(first for first, _, _ in meant)


def _warped(beat: float, long_eighth: float) -> float:
    """Return where a beat falls when the first eighth of each takes `long_eighth` of it."""
    whole, inside = divmod(beat + 1e-9, 1.0)
    if inside < 0.5:
        return float(whole + inside * long_eighth / 0.5)
    return float(whole + long_eighth + (inside - 0.5) * (1.0 - long_eighth) / 0.5)
