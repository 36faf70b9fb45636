"""A synthetic person humming a tune: the bundled sample of the demo, and a take whose notes are known to the tests.

The voice is additive: the harmonics of a glottal pulse, each weighted by the resonances of a half-closed mouth.
It shares no model with the analyser (which thinks in autocorrelation and note states), so that hearing
this voice correctly is evidence, if only about synthetic takes. Everything follows from the seed.
"""

from __future__ import annotations

import math
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import HeardNote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLE_RATE = 44_100
"""Samples per second of the bundled sample."""

SAMPLE_TEMPO_BPM = 108.0
"""Quarter notes per minute of the bundled sample."""

SAMPLE_SEED = 20
"""The seed of the bundled sample."""

SAMPLE_TUNE: tuple[tuple[float, int | None], ...] = (
    *((1.0, pitch) for pitch in (66, 66, 67, 69, 69, 67, 66, 64, 62, 62, 64, 66)),
    (1.5, 66),
    (0.5, 64),
    (2.0, 64),
    *((1.0, pitch) for pitch in (66, 66, 67, 69, 69, 67, 66, 64, 62, 62, 64, 66)),
    (1.5, 64),
    (0.5, 62),
    (2.0, 62),
)
"""Beethoven's Ode to Joy (1824, public domain), two phrases in D major, as (beats, MIDI pitch or None for a rest)."""

_FRAME_S = 0.002
_TOP_HZ = 5_000.0
_LEAST_NOTE_S = 0.08
_TAIL_S = 0.5


@dataclass(frozen=True, slots=True)
class HumStyle:
    """How well and in what manner a tune is hummed; the defaults are a careful amateur."""

    pitch_spread_cents: float = 9.0
    """Standard deviation of the pitch of single notes."""
    timing_spread_s: float = 0.012
    """Standard deviation of single onsets."""
    tuning_cents: float = 0.0
    """Offset of the whole take from 440 Hz."""
    drift_cents: float = -18.0
    """How far the voice has slid by the end of the take."""
    vibrato_cents: float = 22.0
    """Half the swing of the vibrato of a long note."""
    vibrato_hz: float = 5.4
    glide_s: float = 0.035
    """Time constant of the way from one pitch to the next."""
    dip_db: float = -13.0
    """Depth of the dip between joined notes; 0 is a perfect legato."""
    breath_db: float = -40.0
    """Level of the breath noise under the voice."""
    formants_hz: tuple[float, ...] = (330.0, 1_050.0, 2_350.0, 3_300.0)
    formant_gains: tuple[float, ...] = (1.0, 0.35, 0.16, 0.07)
    lead_in_s: float = 0.45
    """Silence before the first note."""


def plan_hum(
    notes: Sequence[tuple[float, int | None]],
    tempo_bpm: float,
    *,
    seed: int = 0,
    style: HumStyle | None = None,
) -> tuple[HeardNote, ...]:
    """Return when and how high each note is really sung, errors of the singer included; the truth of the take."""
    style = style or HumStyle()
    rng = np.random.default_rng([seed, 1])
    total = sum(beats for beats, _ in notes)
    beat_s = 60.0 / tempo_bpm
    wander = rng.uniform(0, 2 * math.pi)
    onsets: list[tuple[float, float, int]] = []
    beat = 0.0
    for beats, pitch in notes:
        if pitch is not None:
            sway = 0.012 * beat_s * total / (2 * math.pi) * math.sin(2 * math.pi * beat / max(total, 1.0) + wander)
            onset = style.lead_in_s + beat * beat_s + sway + rng.normal(0.0, style.timing_spread_s)
            onsets.append((max(onset, 0.05), beats * beat_s, pitch))
        beat += beats
    sung: list[HeardNote] = []
    for index, (onset, length, pitch) in enumerate(onsets):
        start = max(onset, sung[-1].start_s + _LEAST_NOTE_S) if sung else onset
        end = start + 0.94 * length
        if index + 1 < len(onsets):
            end = min(end, max(onsets[index + 1][0] - 0.02, start + _LEAST_NOTE_S * 0.75))
        cents = style.tuning_cents + style.drift_cents * start / (style.lead_in_s + total * beat_s)
        cents += rng.normal(0.0, style.pitch_spread_cents)
        strength = float(np.clip(0.8 + rng.normal(0.0, 0.06), 0.3, 1.0))
        sung.append(HeardNote(start, end, pitch, pitch + cents / 100.0, strength))
    return tuple(sung)


def synthesize_hum(
    notes: Sequence[tuple[float, int | None]],
    tempo_bpm: float,
    *,
    rate: int = SAMPLE_RATE,
    seed: int = 0,
    style: HumStyle | None = None,
) -> NDArray[np.float32]:
    """Return the hummed tune as mono samples within -1 to 1; `notes` are (beats, MIDI pitch or None for a rest).

    The same arguments give the same samples. `plan_hum` with the same arguments gives the notes sung.
    """
    style = style or HumStyle()
    sung = plan_hum(notes, tempo_bpm, seed=seed, style=style)
    frames = math.ceil(((sung[-1].end_s if sung else 0.0) + _TAIL_S) / _FRAME_S)
    rng = np.random.default_rng([seed, 2])
    pitch = _pitch_curve(sung, frames, style, rng)
    level = _level_curve(sung, frames, style)
    samples = round(frames * _FRAME_S * rate)
    at = np.arange(samples) / (rate * _FRAME_S)
    grid = np.arange(frames)
    hertz = 440.0 * 2.0 ** ((np.interp(at, grid, pitch) - 69.0) / 12.0)
    loud = np.interp(at, grid, level)
    voice = _voice(hertz, loud, rate, style)
    breath = _shaped_noise(samples, rate, style, rng) * (loud * 10.0 ** (style.breath_db / 20.0))
    mixed = voice / max(float(np.abs(voice).max(initial=0.0)), 1e-9) + breath
    mixed += rng.standard_normal(samples) * 10.0 ** (-66.0 / 20.0)  # no room is digitally silent
    mixed *= 0.5 / max(1.0, float(np.abs(mixed).max(initial=0.0)))
    return np.asarray(mixed, dtype=np.float32)


def sample_notes() -> tuple[HeardNote, ...]:
    """Return the notes of the bundled sample as they are sung in it."""
    return plan_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, seed=SAMPLE_SEED)


def write_sample_hum(path: Path) -> Path:
    """Write the bundled sample (44.1 kHz, mono, 16 bit, about 18 s) to `path` and return it; always the same bytes."""
    samples = synthesize_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, seed=SAMPLE_SEED)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(samples * 32_767.0).astype("<i2").tobytes())
    return path


def _pitch_curve(
    sung: Sequence[HeardNote], frames: int, style: HumStyle, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the pitch in MIDI numbers per frame: glides between notes, scoops into phrases, vibrato, wavering."""
    target = np.full(frames, sung[0].sung_pitch if sung else 60.0)
    vibrato = np.zeros(frames)
    time = np.arange(frames) * _FRAME_S
    for index, note in enumerate(sung):
        first = round(note.start_s / _FRAME_S)
        target[first:] = note.sung_pitch
        if index == 0 or note.start_s - sung[index - 1].end_s > 0.15:  # noqa: PLR2004 - seconds of a breath
            target[first : first + 20] -= 1.2
        inside = (time >= note.start_s) & (time < note.end_s)
        depth = np.clip((time[inside] - note.start_s - 0.22) / 0.25, 0.0, 1.0)
        speed = style.vibrato_hz * (1.0 + rng.normal(0.0, 0.05))
        swing = np.sin(2 * math.pi * speed * (time[inside] - note.start_s) + rng.uniform(0, 2 * math.pi))
        vibrato[inside] = depth * swing * style.vibrato_cents / 100.0
    pitch = np.empty(frames)
    position, velocity, stiffness = float(target[0]), 0.0, _FRAME_S / max(style.glide_s * 0.5, _FRAME_S)
    for frame in range(frames):  # a damped spring pulls the voice to its note
        velocity += stiffness * (stiffness * (float(target[frame]) - position) - 2.0 * 0.9 * velocity)
        position += velocity
        pitch[frame] = position
    waver = np.convolve(rng.standard_normal(frames + 60), np.hanning(61), mode="valid")
    return pitch + vibrato + waver * (0.05 / max(float(waver.std()), 1e-9))


def _level_curve(sung: Sequence[HeardNote], frames: int, style: HumStyle) -> NDArray[np.float64]:
    """Return the loudness factor per frame: soft attacks and releases, a dip between joined notes."""
    level = np.zeros(frames)
    time = np.arange(frames) * _FRAME_S
    floor = 10.0 ** (style.dip_db / 20.0)
    for index, note in enumerate(sung):
        joined_before = index > 0 and note.start_s - sung[index - 1].end_s < 0.12  # noqa: PLR2004 - no breath between
        joined_after = index + 1 < len(sung) and sung[index + 1].start_s - note.end_s < 0.12  # noqa: PLR2004
        end = sung[index + 1].start_s if joined_after else note.end_s
        inside = (time >= note.start_s) & (time < end)
        since, left = time[inside] - note.start_s, end - time[inside]
        rise = (floor if joined_before else 0.0) + np.clip(since / 0.035, 0, 1)
        fall = (floor if joined_after else 0.0) + np.clip(left / (0.03 if joined_after else 0.07), 0, 1)
        body = note.strength * (0.85 + 0.15 * np.sin(math.pi * since / max(end - note.start_s, 1e-6)))
        level[inside] = body * np.minimum(np.minimum(rise, 1.0), np.minimum(fall, 1.0))
    return np.convolve(level, np.hanning(9) / np.hanning(9).sum(), mode="same")


def _resonance(hertz: NDArray[np.float64], style: HumStyle) -> NDArray[np.float64]:
    """Return the gain of the vocal tract at `hertz`: a sum of resonances over a small floor."""
    gain = np.full_like(hertz, 0.012)
    for centre, height in zip(style.formants_hz, style.formant_gains, strict=True):
        gain += height / (1.0 + ((hertz - centre) / (90.0 + 0.06 * centre)) ** 2)
    return gain


def _voice(hertz: NDArray[np.float64], loud: NDArray[np.float64], rate: int, style: HumStyle) -> NDArray[np.float64]:
    """Return the sum of the harmonics below 5 kHz (and half the rate), 12 dB less per octave before the mouth."""
    step = np.exp(2j * math.pi * np.cumsum(hertz) / rate).astype(np.complex64)
    top = min(_TOP_HZ, 0.46 * rate)
    voice = np.zeros(len(hertz))
    power = np.zeros(len(hertz[::64]))
    turning = step.copy()
    coarse = slice(None, None, 64)
    index = np.arange(len(hertz))
    for harmonic in range(1, int(top / max(float(hertz.min(initial=top)), 40.0)) + 1):
        above = harmonic * hertz[coarse]
        gain = _resonance(above, style) / harmonic**1.6 * np.clip((top - above) / 300.0, 0.0, 1.0)
        voice += np.interp(index, index[coarse], gain) * turning.imag
        power += gain**2
        turning *= step
    # A singer evens out what the mouth takes away from single pitches, though not wholly.
    voice /= np.interp(index, index[coarse], np.maximum(power, 1e-9) ** 0.4)
    return voice * loud


def _shaped_noise(samples: int, rate: int, style: HumStyle, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return breath: noise of unit power through the same resonances."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= _resonance(np.linspace(0.0, rate / 2.0, len(spectrum)), style)
    noise = np.fft.irfft(spectrum, n=samples)
    return np.asarray(noise / max(float(noise.std()), 1e-9), dtype=np.float64)
