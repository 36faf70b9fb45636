"""The pitch of a voice every 10 ms: windowed autocorrelation and the cheapest path through its candidates.

After P. Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound" (IFA Proceedings 17, 1993): the autocorrelation of a windowed frame divided by that of the window,
several candidates per frame plus "unvoiced", and dynamic programming over octave jumps and voicing changes. What is
loud is judged by a percentile of the take, not by its one loudest frame, so that a knock does not silence a voice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOP = ANALYSIS_RATE // 100
"""Samples from one pitch value to the next."""

FRAMES_PER_S = 100
"""Pitch values per second."""

CURVE_DECIMALS = 2
"""Of a Hz, as far as a stored curve goes: what is read off a curve must not depend on finer ones."""

LOWEST_HZ = 62.0
HIGHEST_HZ = 2_400.0
"""Nobody sings above 1,050 Hz; what lies between is whistled."""

_WINDOW = 768  # three periods of the lowest pitch
_TRANSFORM = 2_048
_CANDIDATES = 5
_BATCH = 1_024
_VOICING_THRESHOLD = 0.36
_SILENCE_SHARE = 0.03
_OCTAVE_COST = 0.1
_MIDDLE_HZ = 250.0  # the octave cost is nought here
_SHORTEST_SUNG_LAG = ANALYSIS_RATE / 1_050.0
_WHISTLE_COST = 0.05
_LEAST_WHISTLE = 0.6  # noise has peaks at short lags, a whistle is nearly a sine
_REFINED_HZ = 450.0
_REFINED_LAG = 160.0
_OCTAVE_JUMP_COST = 0.6
_VOICING_COST = 0.14


def track_f0(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the fundamental in Hz per 10 ms of a mono take at `ANALYSIS_RATE`, 0 where nothing is voiced.

    Value `i` describes the samples around `i * HOP`; there are `len(samples) // HOP + 1` values.
    """
    frames = len(samples) // HOP + 1
    padded = np.zeros(frames * HOP + _WINDOW, dtype=np.float32)
    padded[_WINDOW // 2 : _WINDOW // 2 + len(samples)] = _without_rumble(samples)
    hertz = np.zeros((frames, _CANDIDATES), dtype=np.float32)
    strength = np.zeros((frames, _CANDIDATES), dtype=np.float32)
    level = np.zeros(frames, dtype=np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    for first in range(0, frames, _BATCH):
        batch = slice(first, min(first + _BATCH, frames))
        hertz[batch], strength[batch], level[batch] = _candidates(windows[batch])
    path = _cheapest_path(hertz, strength, _unvoiced_strength(level))
    return _refined(path, windows)


def _without_rumble(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the take without what lies under the lowest voice: handling noise, mains hum, offset."""
    if len(samples) == 0:
        return samples
    size = _fast_length(len(samples) + ANALYSIS_RATE // 8)
    spectrum = np.fft.rfft(samples, n=size)
    hertz = np.arange(len(spectrum)) * (ANALYSIS_RATE / size)
    spectrum *= np.clip((hertz - 50.0) / 15.0, 0.0, 1.0)
    return np.asarray(np.fft.irfft(spectrum, n=size)[: len(samples)], dtype=np.float32)


def _fast_length(least: int) -> int:
    """Return a length of at least `least` that the Fourier transform likes: 5/8, 3/4 or all of a power of two."""
    power = 1 << max(least - 1, 1).bit_length()
    return next(size for size in (power * 5 // 8, power * 3 // 4, power) if size >= least)


def _candidates(
    frames: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return frequency and strength of the best autocorrelation peaks per frame, best first, and the frame's peak."""
    window = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
    centred = (frames - frames.mean(axis=1, keepdims=True)) * window
    correlation = _autocorrelation(centred)
    energy = np.maximum(correlation[:, :1], np.float32(1e-12))
    of_window = _autocorrelation(window[None, :])
    longest = int(ANALYSIS_RATE / LOWEST_HZ) + 1
    shortest = int(ANALYSIS_RATE / HIGHEST_HZ)
    normal = correlation[:, : longest + 2] / energy / (of_window[:, : longest + 2] / of_window[:, :1])
    left, here, right = (normal[:, shortest - 1 + k : longest + k] for k in range(3))
    is_peak = (here > left) & (here >= right) & (here > 0.3 * _VOICING_THRESHOLD)
    lags = np.arange(shortest, longest + 1, dtype=np.float32)
    is_peak &= (lags > _SHORTEST_SUNG_LAG) | (here > _LEAST_WHISTLE)
    score = np.where(is_peak, here - _lag_cost(lags), -1.0)
    best = np.argpartition(-score, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    before, peak, after = (np.take_along_axis(values, best, axis=1) for values in (left, here, right))
    curve = before - 2.0 * peak + after
    offset = np.where(np.abs(curve) > 1e-9, 0.5 * (before - after) / np.minimum(curve, -1e-9), 0.0)
    lag = lags[best] + np.clip(offset, -0.5, 0.5)
    height = np.minimum(peak - 0.25 * (before - after) * offset, 1.0)
    found = np.take_along_axis(is_peak, best, axis=1)
    strength = np.where(found, height - _lag_cost(lag), -1.0)
    hertz = np.where(found, ANALYSIS_RATE / lag, 0.0)
    return hertz.astype(np.float32), strength.astype(np.float32), np.sqrt(energy[:, 0])


def _lag_cost(lags: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a lag costs: a little per octave of depth, and something where nobody can sing."""
    octaves = np.log2(lags * (_MIDDLE_HZ / ANALYSIS_RATE))
    cost = _OCTAVE_COST * octaves + _WHISTLE_COST * (lags < _SHORTEST_SUNG_LAG)
    return np.asarray(cost, dtype=np.float32)


def _refined(path: NDArray[np.float32], windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the path with high pitches read off many periods at once: a lag of seven samples is coarse."""
    high = np.flatnonzero(path > _REFINED_HZ)
    refined = path.copy()
    for first in range(0, len(high), _BATCH):
        frames = high[first : first + _BATCH]
        window = np.hanning(_WINDOW + 2)[1:-1].astype(np.float32)
        correlation = _autocorrelation(windows[frames] * window)
        lag = ANALYSIS_RATE / path[frames].astype(np.float64)
        periods = np.ones(len(frames))
        rows = np.arange(len(frames))
        while (grows := 2.0 * lag < _REFINED_LAG).any():
            near = np.round(2.0 * lag).astype(np.intp)[:, None] + np.arange(-2, 3)
            at = near[rows, correlation[rows[:, None], near].argmax(axis=1)]
            before, here, after = (correlation[rows, at + step].astype(np.float64) for step in (-1, 0, 1))
            bend = np.minimum(before - 2.0 * here + after, -1e-9)
            found = at + np.clip(0.5 * (before - after) / bend, -0.5, 0.5)
            lag, periods = np.where(grows, found, lag), np.where(grows, 2.0 * periods, periods)
        refined[frames] = ANALYSIS_RATE * periods / lag
    return refined


def _autocorrelation(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(frames, n=_TRANSFORM)
    return np.asarray(np.fft.irfft(spectrum.real**2 + spectrum.imag**2, n=_TRANSFORM), dtype=np.float32)


def _unvoiced_strength(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how strong a pitch must be to count as voiced: stronger in frames far below the loud ones."""
    loud = float(np.percentile(level, 95)) if len(level) else 0.0
    needed = max(_SILENCE_SHARE * loud, 1e-6)
    lacking = np.maximum(0.0, 2.0 - level / (needed / (1.0 + _VOICING_THRESHOLD)))
    return np.asarray(_VOICING_THRESHOLD + lacking, dtype=np.float32)


def _cheapest_path(
    hertz: NDArray[np.float32], strength: NDArray[np.float32], unvoiced: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return per frame the frequency on the best path; state 0 is unvoiced, the others are the candidates."""
    frames, count = hertz.shape
    gain = np.concatenate([unvoiced[:, None], strength], axis=1)
    log_hertz = np.log2(np.maximum(hertz, 1.0))
    # Voicing changes cost a fixed amount, voiced steps grow with the interval.
    cost = np.full((frames, count + 1, count + 1), _VOICING_COST, dtype=np.float32)
    cost[:, 0, 0] = 0.0
    if frames > 1:
        cost[1:, 1:, 1:] = _OCTAVE_JUMP_COST * np.abs(log_hertz[1:, :, None] - log_hertz[:-1, None, :])
    total = gain[0].copy() if frames else np.zeros(count + 1, dtype=np.float32)
    came_from = np.zeros((frames, count + 1), dtype=np.int8)
    for frame in range(1, frames):
        ways = total[None, :] - cost[frame]
        came_from[frame] = chosen = ways.argmax(axis=1)
        total = ways[_ROWS, chosen] + gain[frame]
    path = np.zeros(frames, dtype=np.intp)
    state = int(total.argmax())
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state = int(came_from[frame, state])
    all_hertz = np.concatenate([np.zeros((frames, 1), dtype=np.float32), hertz], axis=1)
    return all_hertz[np.arange(frames), path]


_ROWS = np.arange(_CANDIDATES + 1)
