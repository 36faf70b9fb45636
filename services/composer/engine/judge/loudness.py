"""How loud a signal is, after ITU-R BS.1770-4: gated integrated loudness and the peak between the samples.

Kept apart from the render stage because a judge must not share code with what it judges: the mastering
chain may call these measures, but their truth is tested against an independent meter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SILENCE_LUFS = -70.0
"""What is reported when no block passes the absolute gate; finite, so that it can be stored and compared."""

SILENCE_DBTP = -120.0
"""The true peak reported for digital silence."""

_RELATIVE_GATE_LU = -10.0
_OFFSET_LU = -0.691
_HOPS_PER_BLOCK = 4  # a gating block is 400 ms and starts every 100 ms
_HOPS_PER_SHORT_TERM = 30
_CHUNK_HOPS = 40
_WARM_HOPS = 2
_OVERSAMPLING = 4
_HALF_TAPS = 12
_PEAK_BLOCK = 64
_PEAK_BATCH = 512


def integrated_lufs(audio: NDArray[np.float32], rate: int) -> float:
    """Return the gated loudness in LUFS of a mono (n,) or multi-channel (n, c) signal, `SILENCE_LUFS` for silence.

    After ITU-R BS.1770-4: K-weighting, blocks of 400 ms overlapping by three quarters, absolute gate at
    -70 LUFS, relative gate 10 LU under the mean of what is left. All channels count alike (left, right, centre).
    A signal shorter than one block is measured as a single block.
    """
    return gated_lufs(k_weighted_powers(audio, rate))


def gated_lufs(power: NDArray[np.float64]) -> float:
    """Return the gated loudness in LUFS of what `k_weighted_powers` gave."""
    if len(power) >= _HOPS_PER_BLOCK:
        cumulated = np.concatenate(([0.0], np.cumsum(power)))
        blocks = (cumulated[_HOPS_PER_BLOCK:] - cumulated[:-_HOPS_PER_BLOCK]) / _HOPS_PER_BLOCK
    else:
        blocks = power.mean(keepdims=True) if len(power) else power
    loud = blocks[blocks > _power_of(SILENCE_LUFS)]
    if len(loud) == 0:
        return SILENCE_LUFS
    threshold = float(loud.mean()) * 10.0 ** (_RELATIVE_GATE_LU / 10.0)
    return _OFFSET_LU + 10.0 * math.log10(float(loud[loud > threshold].mean()))


def true_peak_dbtp(audio: NDArray[np.float32], rate: int) -> float:
    """Return the highest level in dBTP of a mono (n,) or multi-channel (n, c) signal, between samples too.

    After BS.1770-4 annex 2: four times oversampled up to 96 kHz, twice up to 192 kHz. Only blocks that
    could still exceed the peak found so far are interpolated (the interpolator's gain bounds them), so
    the answer is that of the full computation at a small part of its cost.
    """
    factor = _OVERSAMPLING if rate < 96_000 else 2  # the limit of the recommendation itself
    columns = _as_columns(audio)
    peak = max((_channel_peak(columns[:, channel], factor) for channel in range(columns.shape[1])), default=0.0)
    return 20.0 * math.log10(peak) if peak > 10.0 ** (SILENCE_DBTP / 20.0) else SILENCE_DBTP


def k_weighting(rate: int) -> NDArray[np.float64]:
    """Return the two second-order sections of the K curve at `rate`, equal at 48 kHz to the printed coefficients.

    The analogue prototype behind the recommendation's table was recovered by Brecht De Man,
    "Evaluation of implementations of the EBU R128 loudness measurement" (AES 145, 2018).
    """
    gain_db, quality, tangent = 3.999843853973347, 0.7071752369554196, math.tan(math.pi * 1681.974450955533 / rate)
    high = 10.0 ** (gain_db / 20.0)
    band = high**0.4996667741545416
    scale = 1.0 + tangent / quality + tangent**2
    shelf = [
        (high + band * tangent / quality + tangent**2) / scale,
        2.0 * (tangent**2 - high) / scale,
        (high - band * tangent / quality + tangent**2) / scale,
        1.0,
        2.0 * (tangent**2 - 1.0) / scale,
        (1.0 - tangent / quality + tangent**2) / scale,
    ]
    quality, tangent = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / rate)
    scale = 1.0 + tangent / quality + tangent**2
    low_cut = [
        1.0,
        -2.0,
        1.0,
        1.0,
        2.0 * (tangent**2 - 1.0) / scale,
        (1.0 - tangent / quality + tangent**2) / scale,
    ]
    return np.array([shelf, low_cut], dtype=np.float64)


def k_weighted_powers(audio: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Return the K-weighted power of each full 100 ms, summed over channels, in bounded memory.

    A signal shorter than one hop gives a single mean over what there is. The filter is applied by
    overlap-save: its impulse response has died away long before the 200 ms that are thrown away.
    """
    columns = _as_columns(audio)
    hop = max(round(rate / 10), 1)
    hops = len(columns) // hop
    if len(columns) == 0:
        return np.zeros(0)
    if hops == 0:
        padded = np.concatenate([columns, np.zeros((hop - len(columns), columns.shape[1]), dtype=np.float32)])
        return k_weighted_powers(padded, rate) * (hop / len(columns))
    size = (_WARM_HOPS + _CHUNK_HOPS) * hop
    response = _k_response(rate, size)
    powers = np.zeros(hops)
    for first in range(0, hops, _CHUNK_HOPS):
        last = min(first + _CHUNK_HOPS, hops)
        start = (first - _WARM_HOPS) * hop
        chunk = columns[max(start, 0) : last * hop].T
        block = np.zeros((chunk.shape[0], size), dtype=np.float32)
        block[:, max(-start, 0) : max(-start, 0) + chunk.shape[1]] = chunk
        weighted = np.fft.irfft(np.fft.rfft(block) * response, n=size)
        kept = weighted[:, _WARM_HOPS * hop : (_WARM_HOPS + last - first) * hop]
        powers[first:last] = (kept.reshape(len(kept), -1, hop) ** 2).mean(axis=2, dtype=np.float64).sum(axis=0)
    return powers


@lru_cache(maxsize=4)
def _k_response(rate: int, size: int) -> NDArray[np.complex64]:
    """Return the complex gain of the K curve at the frequencies of a real transform of `size` samples."""
    delay = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    powers_of_delay = np.stack([np.ones_like(delay), delay, delay**2])
    gain = np.ones_like(delay)
    for section in k_weighting(rate):
        gain *= (section[:3] @ powers_of_delay) / (section[3:] @ powers_of_delay)
    return np.asarray(gain, dtype=np.complex64)


def _as_columns(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the signal as (samples, channels)."""
    return audio[:, None] if audio.ndim == 1 else audio


def short_term_lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the loudness of each 3 s, one value per second, from what `k_weighted_powers` gave; not gated."""
    if len(power) < _HOPS_PER_SHORT_TERM:
        return np.zeros(0)
    cumulated = np.concatenate(([0.0], np.cumsum(power)))
    mean = (cumulated[_HOPS_PER_SHORT_TERM:] - cumulated[:-_HOPS_PER_SHORT_TERM])[::10] / _HOPS_PER_SHORT_TERM
    return np.asarray(_OFFSET_LU + 10.0 * np.log10(np.maximum(mean, _power_of(SILENCE_LUFS))), dtype=np.float64)


def _power_of(lufs: float) -> float:
    return math.pow(10.0, (lufs - _OFFSET_LU) / 10.0)


def _interpolator(factor: int) -> NDArray[np.float64]:
    """Return the fractional-delay filters (taps, factor - 1): a sinc in a Kaiser window, unit gain at DC."""
    taps = np.arange(-_HALF_TAPS + 1, _HALF_TAPS + 1, dtype=np.float64)[:, None]
    distance = taps - np.arange(1, factor)[None, :] / factor
    shape = np.sqrt(np.maximum(1.0 - (distance / _HALF_TAPS) ** 2, 0.0))
    filters = np.sinc(distance) * np.i0(6.0 * shape)
    return np.asarray(filters / filters.sum(axis=0, keepdims=True), dtype=np.float64)


def _channel_peak(samples: NDArray[np.float32], factor: int) -> float:
    """Return the largest magnitude of one channel, the points between the samples included."""
    if len(samples) == 0:
        return 0.0
    filters = _interpolator(factor)
    gain_bound = float(np.abs(filters).sum(axis=0).max())
    blocks = -(-len(samples) // _PEAK_BLOCK)
    padded = np.zeros(_HALF_TAPS + blocks * _PEAK_BLOCK + _HALF_TAPS, dtype=np.float32)
    padded[_HALF_TAPS : _HALF_TAPS + len(samples)] = samples
    magnitude = np.abs(padded)
    reach = np.arange(_PEAK_BLOCK + 2 * _HALF_TAPS)
    inner = magnitude[_HALF_TAPS : _HALF_TAPS + blocks * _PEAK_BLOCK].reshape(blocks, _PEAK_BLOCK).max(axis=1)
    # An interpolated point reads taps in the neighbouring blocks too.
    level = np.maximum(inner, np.maximum(np.append(inner[1:], 0.0), np.append(0.0, inner[:-1])))
    peak = float(inner.max())
    order = np.argsort(-level)
    for start in range(0, blocks, _PEAK_BATCH):
        batch = order[start : start + _PEAK_BATCH]
        if float(level[batch[0]]) * gain_bound <= peak:
            break
        stretch = padded[batch[:, None] * _PEAK_BLOCK + reach[None, :]].astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(stretch, 2 * _HALF_TAPS, axis=1)
        peak = max(peak, float(np.abs(windows @ filters).max()))
    return peak
