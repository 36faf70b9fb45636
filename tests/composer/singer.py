"""Takes with known notes: careful and careless singers, noise, rooms, telephones; and what is no tune at all.

The voice is the one of the bundled sample; what is done to it here (pink noise, reverberation, band limits,
hard clipping, formant speech) shares nothing with the analyser.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import ANALYSIS_RATE, HeardNote, Key
from services.mesh.hum import HumStyle, plan_hum, synthesize_hum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.composer.tunes import Tune

CAREFUL = HumStyle()
SLOPPY = HumStyle(
    pitch_spread_cents=30.0, timing_spread_s=0.035, drift_cents=70.0, vibrato_cents=45.0, glide_s=0.05, dip_db=-9.0
)
VERY_SLOPPY = HumStyle(
    pitch_spread_cents=45.0, timing_spread_s=0.045, drift_cents=-120.0, vibrato_cents=60.0, glide_s=0.06, dip_db=-7.0
)


@dataclass(frozen=True, slots=True)
class Take:
    """A synthetic take at the analysis rate and the truth about it."""

    samples: NDArray[np.float32]
    notes: tuple[HeardNote, ...]
    key: Key
    tempo_bpm: float
    beats_per_bar: int


def sing(tune: Tune, *, seed: int, style: HumStyle = CAREFUL, snr_db: float = 20.0, room: float = 0.0) -> Take:
    """Return the tune sung in a register, at a tempo and with a tuning that follow from the seed.

    `room` is the level of the reverberation against the direct sound, as an amplitude factor.
    """
    rng = np.random.default_rng([seed, len(tune.notation), 77])
    transpose = int(rng.integers(-10, -4) if seed % 2 else rng.integers(-2, 5))
    tempo = float(rng.uniform(80.0, 128.0))
    style = replace(style, tuning_cents=float(rng.uniform(-45.0, 45.0)))
    notes = tune.notes(transpose)
    voice = synthesize_hum(notes, tempo, rate=ANALYSIS_RATE, seed=seed, style=style)
    if room:
        voice = reverberate(voice, room, seed)
    samples = add_noise(voice, snr_db, seed)
    truth = plan_hum(notes, tempo, seed=seed, style=style)
    return Take(samples, truth, tune.key(transpose), tempo, tune.beats_per_bar)


def add_noise(voice: NDArray[np.float32], snr_db: float, seed: int) -> NDArray[np.float32]:
    """Return the voice in pink noise, `snr_db` under the power of its louder half, scaled into -1 to 1."""
    loud = np.abs(voice) > np.abs(voice).mean()
    power = float((voice[loud] ** 2).mean())
    noisy = voice + pink_noise(len(voice), seed) * np.sqrt(power) * 10.0 ** (-snr_db / 20.0)
    return np.asarray(noisy / max(1.0, float(np.abs(noisy).max()) * 1.05), dtype=np.float32)


def pink_noise(samples: int, seed: int) -> NDArray[np.float64]:
    """Return noise of unit power that falls 3 dB per octave above 50 Hz."""
    spectrum = np.fft.rfft(np.random.default_rng([seed, 3]).standard_normal(samples))
    hertz = np.linspace(0.0, ANALYSIS_RATE / 2.0, len(spectrum))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 50.0)), n=samples)
    return np.asarray(noise / noise.std(), dtype=np.float64)


def reverberate(voice: NDArray[np.float32], level: float, seed: int) -> NDArray[np.float32]:
    """Return the voice in a living room: decaying noise of 0.45 s after it, `level` as loud as the voice itself."""
    time = np.arange(int(0.6 * ANALYSIS_RATE)) / ANALYSIS_RATE
    tail = np.random.default_rng([seed, 4]).standard_normal(len(time)) * np.exp(-6.9 * time / 0.45)
    tail[: int(0.004 * ANALYSIS_RATE)] = 0.0
    size = 1 << (len(voice) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(voice, n=size) * np.fft.rfft(tail, n=size), n=size)[: len(voice)]
    wet *= float(voice.std()) / max(float(wet.std()), 1e-9)
    return np.asarray(voice + level * wet, dtype=np.float32)


def telephone(voice: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the voice with nothing left below 300 and above 3400 Hz."""
    spectrum = np.fft.rfft(voice)
    hertz = np.linspace(0.0, ANALYSIS_RATE / 2.0, len(spectrum))
    spectrum[(hertz < 300.0) | (hertz > 3_400.0)] = 0.0
    return np.asarray(np.fft.irfft(spectrum, n=len(voice)), dtype=np.float32)


def clip_hard(voice: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Return the voice driven into a converter that clips at 0.9."""
    return np.asarray(np.clip(voice / float(np.abs(voice).max()) * gain, -0.9, 0.9), dtype=np.float32)


def speak(seconds: float, seed: int, *, median_hz: float = 130.0) -> NDArray[np.float32]:
    """Return formant speech: voiced runs of 80 to 220 ms with gliding pitch and vowels, fricatives and pauses.

    Phrases decline by some semitones, accents rise and fall within a syllable, the last one falls or rises.
    """
    rng = np.random.default_rng([seed, 5])
    total = int(seconds * ANALYSIS_RATE)
    out = np.zeros(total + 2 * ANALYSIS_RATE)
    at, in_phrase, length = 0.2, 0, int(rng.integers(6, 12))
    while at < seconds:
        if in_phrase >= length:
            at += float(rng.uniform(0.2, 0.5))
            in_phrase, length = 0, int(rng.integers(6, 12))
        syllable = float(rng.uniform(0.08, 0.22)) * (1.5 if in_phrase == length - 1 else 1.0)
        hiss = float(rng.uniform(0.03, 0.09))
        base = np.log2(median_hz) + (4.0 - 7.0 * in_phrase / length) / 12.0 + float(rng.normal(0.0, 1.2)) / 12.0
        slope = float(rng.normal(0.0, 3.0)) / 12.0 + (0.35 if rng.random() < 0.5 else -0.35)
        _add_fricative(out, at, hiss, rng)
        _add_vowel(out, at + hiss, syllable, (base, slope), rng)
        at += hiss + syllable + float(rng.uniform(0.0, 0.03))
        in_phrase += 1
    out = out[:total] + 1e-3 * rng.standard_normal(total)
    return np.asarray(0.5 * out / np.abs(out).max(), dtype=np.float32)


def _add_fricative(out: NDArray[np.float64], at: float, seconds: float, rng: np.random.Generator) -> None:
    first, count = int(at * ANALYSIS_RATE), int(seconds * ANALYSIS_RATE)
    hiss = np.diff(rng.standard_normal(count + 1)) * np.hanning(count)
    out[first : first + count] += 0.08 * float(rng.uniform(0.2, 1.0)) * hiss


def _add_vowel(
    out: NDArray[np.float64], at: float, seconds: float, pitch: tuple[float, float], rng: np.random.Generator
) -> None:
    first, count = int(at * ANALYSIS_RATE), int(seconds * ANALYSIS_RATE)
    way = np.linspace(-0.5, 0.5, count)
    hertz = 2.0 ** (pitch[0] + pitch[1] * way - 0.1 * way**2 * float(rng.normal()))
    phase = 2 * np.pi * np.cumsum(hertz) / ANALYSIS_RATE
    start = rng.uniform([300, 900, 2_300], [800, 2_100, 2_900])
    end = start * rng.uniform(0.8, 1.25, 3)
    formants = start[:, None] + (end - start)[:, None] * (way + 0.5)[None, :]
    sound = np.zeros(count)
    for harmonic in range(1, int(3_500 / hertz.min())):
        gain = sum(
            height / (1 + ((harmonic * hertz - f) / 90.0) ** 2)
            for f, height in zip(formants, (1, 0.6, 0.3), strict=True)
        )
        sound += (gain + 0.02) / harmonic * np.sin(harmonic * phase)
    out[first : first + count] += sound * np.minimum(1.0, 6 * np.hanning(count)) * float(rng.uniform(0.6, 1.0))
