"""Whether a take can be composed upon at all: its measures, and a typed refusal that names the one it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.judge.loudness import integrated_lufs
from services.composer.engine.listen.f0 import FRAMES_PER_S, HOP, track_f0
from services.composer.engine.listen.scene import second_voice_share, tail_db
from services.composer.engine.music import ANALYSIS_RATE, TakeCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote

SHORTEST_S = 1.0
LONGEST_S = 180.0
LEAST_NOTES = 4
SILENT_LUFS = -58.0
SILENT_PEAK = 0.002

_LEAST_VOICED = 0.12
_LEAST_VOICED_S = 0.6
_LEAST_PLATEAU_SHARE = 0.36
_PLATEAU_HALF_FRAMES = 8
_PLATEAU_SEMITONES = 0.75
_LOUDEST_TAIL_DB = -19.0
_MOST_BESIDE = 0.14
_CLIPPED_SHARE = 0.4
_FLAT_SHARE = 0.56
_NEAR_PEAK = 0.84


def check_take(
    samples: NDArray[np.float32], rate: int = ANALYSIS_RATE, *, f0_hz: NDArray[np.float32] | None = None
) -> TakeCheck:
    """Return the measures of a mono take: length, loudness, peak, noise floor, signal to noise, voicing, clipping.

    `f0_hz` saves tracking the pitch once more where it is known.
    Raises `ValueError` when the rate is not the analysis rate. A take beyond the longest is measured on its first
    part only, so that nobody can make this slow.
    """
    if rate != ANALYSIS_RATE:
        raise ValueError(f"a take is read at {ANALYSIS_RATE} Hz, not at {rate}")
    seconds = len(samples) / ANALYSIS_RATE
    heard = np.nan_to_num(samples[: int(LONGEST_S + 1) * ANALYSIS_RATE])
    peak = float(np.abs(heard).max(initial=0.0))
    voiced = (track_f0(heard) if f0_hz is None else f0_hz) > 0
    power = _hop_power(heard)
    voiced = voiced[: len(power)]
    floor = float(np.percentile(power, 5)) if len(power) else 0.0
    return TakeCheck(
        duration_s=seconds,
        loudness_lufs=integrated_lufs(heard, ANALYSIS_RATE),
        peak=peak,
        noise_floor_db=_decibels(floor),
        snr_db=_signal_to_noise(power, voiced),
        voiced_ratio=float(voiced.mean()) if len(voiced) else 0.0,
        clipped_runs=_flat_crests(heard, peak),
    )


def judge_take(
    check: TakeCheck, f0_hz: NDArray[np.float32], notes: Sequence[HeardNote], samples: NDArray[np.float32]
) -> None:
    """Pass a take that can be composed upon.

    Raises `TakeRefusedError` with too_short, too_long, silent, noise, clipped, far, two_voices, speech or no_melody;
    the plainest cause is named first.
    """
    judge_length(check.duration_s)
    _judge_level(check)
    voiced_s = check.voiced_ratio * check.duration_s
    if check.voiced_ratio < _LEAST_VOICED or voiced_s < _LEAST_VOICED_S:
        raise TakeRefusedError("noise", f"{check.voiced_ratio:.0%} of the take has a pitch")
    half_waves = 2.0 * float(f0_hz.sum()) / FRAMES_PER_S
    if check.clipped_runs > _CLIPPED_SHARE * half_waves:
        raise TakeRefusedError("clipped", f"{check.clipped_runs} of about {half_waves:.0f} half waves are flattened")
    beside = second_voice_share(f0_hz, samples)
    if beside > _MOST_BESIDE:
        raise TakeRefusedError("two_voices", f"something else has a pitch in {beside:.0%} of the steady voice")
    plateaus = plateau_share(f0_hz)
    if plateaus < _LEAST_PLATEAU_SHARE:
        raise TakeRefusedError("speech", f"only {plateaus:.0%} of the voice holds a pitch")
    tail = tail_db(notes, samples)
    if tail > _LOUDEST_TAIL_DB:
        raise TakeRefusedError("far", f"0.1 s after the voice its room is {tail:.0f} dB loud")
    pitches = {note.pitch for note in notes}
    if len(pitches) < 2:  # one pitch is no tune
        raise TakeRefusedError("no_melody", f"{len(notes)} notes of {len(pitches)} pitches")
    if len(notes) < LEAST_NOTES:
        raise TakeRefusedError("too_short", f"{len(notes)} notes, {LEAST_NOTES} needed")


def plateau_share(f0_hz: NDArray[np.float32]) -> float:
    """Return which share of the voiced frames lies in a stretch of 170 ms that stays within a wide vibrato.

    Sung notes hold their pitch; the pitch of speech glides and its voiced runs are short.
    """
    voiced = f0_hz > 0
    if not voiced.any():
        return 0.0
    pitch = np.where(voiced, 12.0 * np.log2(np.maximum(f0_hz, 1.0)), np.nan)
    smooth = _mean_of_neighbours(pitch, 3)
    half = _PLATEAU_HALF_FRAMES
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(smooth, half, constant_values=np.nan), 2 * half + 1)
    swing = windows.max(axis=1) - windows.min(axis=1)  # not a number unless voiced throughout
    holds = np.nan_to_num(swing, nan=np.inf) < _PLATEAU_SEMITONES
    held = np.convolve(holds, np.ones(2 * half + 1), mode="same")[: len(pitch)] > 0.5  # a count
    return float(held[voiced].mean())


def judge_length(seconds: float) -> None:
    """Pass a take of a length that can be listened to; raises `TakeRefusedError` with too_short or too_long."""
    if seconds < SHORTEST_S:
        raise TakeRefusedError("too_short", f"{seconds:.2f} s, at least {SHORTEST_S:.0f} s needed")
    if seconds > LONGEST_S:
        raise TakeRefusedError("too_long", f"{seconds:.1f} s, at most {LONGEST_S:.0f} s read")


def _judge_level(check: TakeCheck) -> None:
    """Refuse what is silent."""
    if check.peak < SILENT_PEAK or check.loudness_lufs < SILENT_LUFS:
        raise TakeRefusedError("silent", f"{check.loudness_lufs:.1f} LUFS")


def _mean_of_neighbours(values: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, half, mode="edge"), 2 * half + 1)
    return np.asarray(windows.mean(axis=1), dtype=np.float64)


def _hop_power(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power of each whole 10 ms."""
    whole = len(samples) // HOP * HOP
    return np.asarray((samples[:whole].reshape(-1, HOP).astype(np.float64) ** 2).mean(axis=1))


def _decibels(power: float) -> float:
    return float(10.0 * np.log10(power + 1e-12))


def _signal_to_noise(power: NDArray[np.float64], voiced: NDArray[np.bool_]) -> float:
    """Return the power of the voice over that of the frames without one, in dB from 0 to 60."""
    if not voiced.any():
        return 0.0
    near = np.convolve(voiced, np.ones(9), mode="same")[: len(voiced)] > 0.5  # a count
    quiet = power[~near] if (~near).sum() >= FRAMES_PER_S // 10 else np.sort(power)[: max(len(power) // 20, 1)]
    loud = power[voiced]
    signal = float(loud[loud >= np.median(loud)].mean()) - float(np.median(quiet))
    return float(np.clip(_decibels(max(signal, 1e-12)) - _decibels(float(np.median(quiet))), 0.0, 60.0))


def _flat_crests(samples: NDArray[np.float32], peak: float) -> int:
    """Return how many half waves near the take's peak are flat on top, as a clipped converter leaves them.

    The shape is judged, not equal samples, so that clipping is still seen after a codec or a change of rate: more
    than 56 % of a flat half wave lies above four fifths of its height, of a sine 41 %.
    """
    if peak < SILENT_PEAK:
        return 0
    turns = np.flatnonzero(np.diff(np.signbit(samples))) + 1
    edges = np.concatenate(([0], turns))
    height = np.maximum.reduceat(np.abs(samples), edges)
    lengths = np.diff(np.concatenate((edges, [len(samples)])))
    tops = np.abs(samples) > 0.8 * np.repeat(height, lengths)
    share = np.add.reduceat(tops.astype(np.int64), edges) / lengths
    return int(((share > _FLAT_SHARE) & (height > _NEAR_PEAK * peak) & (lengths >= 6)).sum())  # 2.6 kHz
