"""Voices that sing syllables: men, women, children and whistlers, with consonants, changing vowels and breath.

Source and filter, added up harmonic by harmonic: a pulse that falls per octave through three moving resonances,
murmurs for nasals, closures and bursts for stops, hiss for fricatives. It knows nothing of how the analyser thinks,
and is another voice than that of the bundled sample. Everything follows from the generator that is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from services.composer.engine.music import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote

Syllables = Literal["na", "la", "mmm", "words", "whistle"]

_STEP = 64  # samples from one value of the curves to the next
_STEP_S = _STEP / ANALYSIS_RATE
_TOP_HZ = 5_200.0
_VOWELS = {
    "a": (780.0, 1_250.0, 2_600.0),
    "e": (480.0, 1_900.0, 2_500.0),
    "i": (300.0, 2_250.0, 2_950.0),
    "o": (480.0, 850.0, 2_450.0),
    "u": (330.0, 720.0, 2_350.0),
}
_NASAL = (260.0, 1_050.0, 2_200.0)
_LATERAL = (360.0, 1_250.0, 2_550.0)
_OPENING_S = {"nasal": 0.055, "lateral": 0.045, "stop": 0.06, "hiss": 0.085, "none": 0.0}


@dataclass(frozen=True, slots=True)
class Throat:
    """Who sings: the middle of the range, how long the tract is, how the pulse falls off, how much breath is heard."""

    name: str
    centre: int
    formant_scale: float
    tilt: float
    breath_db: float


MAN = Throat("man", 50, 1.0, 1.35, -38.0)
WOMAN = Throat("woman", 63, 1.17, 1.55, -36.0)
CHILD = Throat("child", 67, 1.33, 1.5, -34.0)
WHISTLER = Throat("whistler", 85, 1.0, 1.0, -30.0)


@dataclass(frozen=True, slots=True)
class Manner:
    """How well somebody sings; the defaults are a careful amateur."""

    pitch_cents: float = 9.0
    """Standard deviation of single notes."""
    timing_s: float = 0.012
    """Standard deviation of single onsets."""
    drift_cents: float = -18.0
    """How far the voice has slid by the end of the take."""
    vibrato_cents: float = 22.0
    glide_s: float = 0.03
    dip_db: float = -13.0
    """How far the voice sinks between notes that no consonant parts."""


CAREFUL = Manner()
SLOPPY = Manner(pitch_cents=30.0, timing_s=0.035, drift_cents=70.0, vibrato_cents=45.0, glide_s=0.045, dip_db=-9.0)
VERY_SLOPPY = Manner(
    pitch_cents=45.0, timing_s=0.045, drift_cents=-120.0, vibrato_cents=60.0, glide_s=0.055, dip_db=-7.0
)


def sing_notes(
    notes: Sequence[HeardNote], throat: Throat, syllables: Syllables, manner: Manner, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return the notes sung, at `ANALYSIS_RATE` and with a peak of a half; each vowel begins where its note does."""
    steps = math.ceil((notes[-1].end_s + 0.5) / _STEP_S) + 1
    curves = _Curves(steps, notes, throat, manner, rng)
    for index, note in enumerate(notes):
        curves.pronounce(index, note, syllables)
    pitch, loud = curves.pitch(), curves.smooth_level()
    voice = _whistled(pitch, loud, rng) if syllables == "whistle" else _sung(pitch, curves, throat)
    level = np.repeat(loud, _STEP)[: len(voice)]
    hiss = np.diff(rng.standard_normal(len(voice) + 1)) * np.repeat(curves.hiss, _STEP)[: len(voice)]
    breath = rng.standard_normal(len(voice)) * level * 10.0 ** (throat.breath_db / 20.0)
    mixed = voice / max(float(np.abs(voice).max()), 1e-9) + 0.35 * breath + 0.12 * hiss
    mixed += rng.standard_normal(len(mixed)) * 10.0 ** (-66.0 / 20.0)  # no room is digitally silent
    return np.asarray(0.5 * mixed / np.abs(mixed).max(), dtype=np.float32)


class _Curves:
    """Pitch, loudness, resonances and hiss over time, written note by note."""

    def __init__(
        self, steps: int, notes: Sequence[HeardNote], throat: Throat, manner: Manner, rng: np.random.Generator
    ) -> None:
        self.notes, self.throat, self.manner, self.rng = notes, throat, manner, rng
        self.target = np.full(steps, notes[0].sung_pitch)
        self.swing = np.zeros(steps)
        self.level = np.zeros(steps)
        self.hiss = np.zeros(steps)
        self.formants = np.tile(np.array(_VOWELS["a"]), (steps, 1))
        self.last_vowel = _VOWELS["a"]

    def _at(self, seconds: float) -> int:
        return max(0, min(len(self.level), round(seconds / _STEP_S)))

    def pronounce(self, index: int, note: HeardNote, syllables: Syllables) -> None:
        """Write one note with its syllable."""
        rng = self.rng
        opening, vowel = _syllable(syllables, rng)
        length = _OPENING_S[opening] * float(rng.uniform(0.8, 1.2))
        start, end = self._at(note.start_s), self._at(note.end_s)
        early = self._at(note.start_s - length)
        self.target[early:] = note.sung_pitch
        fresh = index == 0 or note.start_s - self.notes[index - 1].end_s > 0.15
        if fresh:
            self.target[early : early + 12] -= float(rng.uniform(0.4, 1.4))
        loud = note.strength
        count = end - start
        arc = 0.85 + 0.15 * np.sin(np.pi * np.arange(count) / max(count, 1))
        self.level[start:end] = loud * arc
        self.formants[start:end] = np.array(vowel)
        self._open(opening, early, start, loud, vowel)
        if opening == "none" and not fresh:
            dip = self.manner.dip_db if syllables != "words" else self.manner.dip_db * 0.7
            self.level[max(start - 5, 0) : start + 4] = loud * 10.0 ** (dip / 20.0)
        if syllables == "words" and rng.random() < 0.25 and count > 50:  # closes on a nasal
            self.formants[end - 18 : end] = np.array(_NASAL)
            self.level[end - 18 : end] *= 0.5
        time = np.arange(count) * _STEP_S
        depth = np.clip((time - 0.22) / 0.25, 0.0, 1.0)
        speed = 5.4 * (1.0 + float(rng.normal(0.0, 0.06)))
        wave = np.sin(2 * np.pi * speed * time + float(rng.uniform(0.0, 6.28)))
        self.swing[start:end] = depth * wave * self.manner.vibrato_cents / 100.0

    def _open(self, opening: str, early: int, start: int, loud: float, vowel: tuple[float, float, float]) -> None:
        if opening in {"nasal", "lateral"}:
            self.level[early:start] = loud * (0.32 if opening == "nasal" else 0.45)
            self.formants[early:start] = np.array(_NASAL if opening == "nasal" else _LATERAL)
        elif opening == "stop":
            self.level[early:start] = 0.0
            self.hiss[max(start - 4, 0) : start] = loud
            self.formants[early:start] = np.array(vowel)
        elif opening == "hiss":
            self.level[early:start] = 0.0
            self.hiss[early + 2 : start - 1] = loud * float(self.rng.uniform(0.4, 1.0))

    def smooth_level(self) -> NDArray[np.float64]:
        """Return the loudness with soft edges of about 30 ms."""
        shape = np.hanning(9)
        return np.convolve(self.level, shape / shape.sum(), mode="same")

    def pitch(self) -> NDArray[np.float64]:
        """Return the MIDI pitch per step: the voice leans from note to note, swings and wavers."""
        target, glide = self.target, max(self.manner.glide_s / _STEP_S, 1.0)
        reach = np.arange(int(6 * glide) + 1)
        weights = reach * np.exp(-reach / (0.5 * glide)) + 1e-9
        padded = np.concatenate((np.full(len(weights) - 1, target[0]), target))
        leaning = np.convolve(padded, weights / weights.sum(), mode="valid")
        waver = np.convolve(self.rng.standard_normal(len(target) + 40), np.hanning(41), mode="valid")[: len(target)]
        return np.asarray(leaning + self.swing + 0.05 * waver / max(float(waver.std()), 1e-9))


def _syllable(syllables: Syllables, rng: np.random.Generator) -> tuple[str, tuple[float, float, float]]:
    """Return how a syllable opens and the resonances of its vowel."""
    if syllables == "na":
        return "nasal", _VOWELS["a"]
    if syllables == "la":
        return "lateral", _VOWELS["a"]
    if syllables == "mmm":
        return "none", _NASAL
    if syllables == "whistle":
        return "none", _VOWELS["u"]
    opening = str(rng.choice(["nasal", "lateral", "stop", "stop", "hiss", "none"]))
    return opening, _VOWELS[str(rng.choice(list(_VOWELS)))]


def _sung(pitch: NDArray[np.float64], curves: _Curves, throat: Throat) -> NDArray[np.float64]:
    """Return the harmonics below 5 kHz through the moving resonances."""
    hertz = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    shape = np.hanning(13) / np.hanning(13).sum()
    formants = (
        np.stack([np.convolve(np.pad(row, 6, mode="edge"), shape, mode="valid") for row in curves.formants.T])
        * throat.formant_scale
    )
    level = curves.smooth_level()
    phase = np.cumsum(_between(hertz)) * (2.0 * np.pi / ANALYSIS_RATE)
    turn = np.exp(1j * phase).astype(np.complex64)
    product = np.ones_like(turn)
    voice = np.zeros(len(turn), dtype=np.float32)
    power = np.zeros(len(hertz))
    gains = []
    top = int(_TOP_HZ / float(hertz.min()))
    for harmonic in range(1, top + 1):
        at = harmonic * hertz
        gain = np.full(len(at), 0.01)
        for formant, height in zip(formants, (1.0, 0.55, 0.25), strict=True):
            gain += height / (1.0 + ((at - formant) / (70.0 + 0.07 * formant)) ** 2)
        gain *= harmonic**-throat.tilt * np.clip((_TOP_HZ - at) / 300.0, 0.0, 1.0)
        gains.append(gain)
        power += gain**2
    even = level / np.maximum(power, 1e-9) ** 0.4  # a singer evens out what the mouth takes away, though not wholly
    for gain in gains:
        product *= turn
        voice += _between(gain * even).astype(np.float32) * product.imag
    return voice.astype(np.float64)


def _whistled(pitch: NDArray[np.float64], level: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a pure tone with a faint octave, in the rush of air around it."""
    hertz = _between(440.0 * 2.0 ** ((pitch - 69.0) / 12.0))
    phase = np.cumsum(hertz) * (2.0 * np.pi / ANALYSIS_RATE)
    loud = _between(level)
    flutter = np.repeat(rng.standard_normal(len(pitch)), _STEP)[: len(phase)]
    return np.asarray(loud * ((1.0 + 0.05 * flutter) * np.sin(phase) + 0.02 * np.sin(2.0 * phase)))


def _between(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one value per sample, on straight lines between those of the steps."""
    ramp = np.arange(_STEP) / _STEP
    return np.asarray((values[:-1, None] + np.diff(values)[:, None] * ramp[None, :]).reshape(-1))
