"""The last desk: glue, loudness and a ceiling that holds between the samples too.

The limiter looks ahead: the needed gain of every short block is known beforehand from its true peak (the signal
is oversampled once, for peaks scale with the gain), spread over the neighbours by a running minimum and smoothed
by a running mean of the same width, which therefore never exceeds the need at the peak itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import soxr
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from services.composer.engine.judge.loudness import integrated_lufs, true_peak_dbtp
from services.composer.engine.music import RENDER_RATE, Master
from services.composer.engine.render.effects import apply_curve, bell, compress, equalise, high_pass, high_shelf

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TARGET_LUFS = -13.8
CEILING_DBTP = -1.4

_CLOSE_LU = 0.05
_CLOSE_DB = 0.1
"""How far over the ceiling a last trim may take care of."""
_MOST_ROUNDS = 5
_PEAK_BLOCK = 32
_LOOK_BLOCKS = 4
"""2.9 ms of look-ahead."""
_RELEASE_S = 0.08
_OVERSAMPLING = 4
_STRETCH = RENDER_RATE * 8
_MARGIN = 2048
_FADE_S = 0.9
_SPECTRUM = 8192
_ONE_OCTAVE = 1.41
_OCTAVES_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
_USUAL_DB = (-1.0, 0.0, -1.0, -2.0, -4.0, -7.0, -11.0, -16.0)
"""Power of each octave in popular recordings, falling ever faster above 200 Hz (P. D. Pestana et al., "Spectral
characteristics of popular commercial recordings 1950-2010", AES 135, 2013)."""
_SHARE = 0.7
"""How much of what an octave lacks or has too much is mended: a solo flute must stay a flute."""
_MOST_DB = 7.0
_LEFT_DB, _UTMOST_DB = 4.5, 10.0
"""What may be left of a fault at most, for the sake of which an octave may be moved further than `_MOST_DB`."""


def master(mix: NDArray[np.float32], *, tail_s: float, between: Callable[[], None] = lambda: None) -> Master:
    """Return the mastered song: about `TARGET_LUFS`, no true peak above `CEILING_DBTP`. `mix` is used up.

    The last part of the tail fades to silence; `between` is called before each long step. Raises ValueError when
    the mix is silent.
    """
    gains = colour_gains_db(mix)
    bells = [each for hz, gain in zip(_OCTAVES_HZ[:-1], gains, strict=False) for each in bell(hz, gain, _ONE_OCTAVE)]
    equalise(mix, [*high_pass(28.0), *bells, *high_shelf(_OCTAVES_HZ[-1] / math.sqrt(2.0), gains[-1])])
    loudness = integrated_lufs(mix, RENDER_RATE)
    if loudness <= -69.0:
        message = "the mix is silent"
        raise ValueError(message)
    mix *= np.float32(10.0 ** ((TARGET_LUFS - loudness) / 20.0))
    compress(mix, threshold_db=TARGET_LUFS - 2.0, ratio=1.8, attack_s=0.02, release_s=0.25)
    _fade_out(mix, min(_FADE_S, tail_s))
    between()
    peaks = block_peaks(mix)
    gain_db = TARGET_LUFS - integrated_lufs(mix, RENDER_RATE)
    ceiling_db = CEILING_DBTP
    for _ in range(_MOST_ROUNDS):
        between()
        audio = mix * np.float32(10.0 ** (gain_db / 20.0))
        apply_curve(audio, limiter_curve(peaks * 10.0 ** (gain_db / 20.0), ceiling_db), _PEAK_BLOCK)
        loudness, peak = integrated_lufs(audio, RENDER_RATE), true_peak_dbtp(audio, RENDER_RATE)
        if abs(loudness - TARGET_LUFS) <= _CLOSE_LU and peak <= CEILING_DBTP + _CLOSE_DB:
            break
        gain_db += 1.2 * (TARGET_LUFS - loudness)
        ceiling_db -= max(0.0, peak - CEILING_DBTP)
    if peak > CEILING_DBTP:
        audio *= np.float32(10.0 ** ((CEILING_DBTP - peak) / 20.0))
        loudness, peak = loudness + CEILING_DBTP - peak, CEILING_DBTP
    return Master(audio, loudness, peak)


def colour_gains_db(audio: NDArray[np.float32]) -> list[float]:
    """Return the gain of each octave that brings the song's colour the better part of the way to the usual one.

    What all octaves lack together is loudness and not colour, so the gains are those of the differences from the mean.
    A silent octave is left alone.
    """
    window = np.hanning(_SPECTRUM).astype(np.float32)
    frequencies = np.fft.rfftfreq(_SPECTRUM, 1.0 / RENDER_RATE)
    power = np.zeros(len(frequencies))
    for start in range(0, len(audio) - _SPECTRUM, 8 * _SPECTRUM):
        stretch = audio[start : start + _SPECTRUM]
        power += np.abs(np.fft.rfft((stretch[:, 0] + stretch[:, 1]) * window)) ** 2
    edge = math.sqrt(2.0)
    bands = [(frequencies >= hz / edge) & (frequencies < hz * edge) for hz in _OCTAVES_HZ]
    levels = np.array([power[band].sum() for band in bands])
    sounding = levels > 1e-6 * max(float(levels.sum()), 1e-12)
    if not sounding.any():
        return [0.0] * len(_OCTAVES_HZ)
    wanting = np.array(_USUAL_DB) - 10.0 * np.log10(np.maximum(levels, 1e-12))
    wanting -= wanting[sounding].mean()
    moved = np.maximum(np.minimum(_SHARE * np.abs(wanting), _MOST_DB), np.abs(wanting) - _LEFT_DB)
    gains = np.where(sounding, np.copysign(np.minimum(moved, _UTMOST_DB), wanting), 0.0)
    return [float(gain) for gain in gains]


def block_peaks(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the true peak of each 32 samples over all channels, from the four times oversampled signal."""
    blocks = -(-len(audio) // _PEAK_BLOCK)
    peaks = np.zeros(blocks, dtype=np.float32)
    for start in range(0, len(audio), _STRETCH):
        left = min(start, _MARGIN)
        stretch = audio[start - left : start + _STRETCH + _MARGIN]
        dense = _loudest(soxr.resample(stretch, RENDER_RATE, RENDER_RATE * _OVERSAMPLING, quality="HQ"))
        inner = dense[left * _OVERSAMPLING :][: min(_STRETCH, len(audio) - start) * _OVERSAMPLING]
        size = _PEAK_BLOCK * _OVERSAMPLING
        rows = -(-len(inner) // size)
        padded = np.zeros(rows * size, dtype=np.float32)
        padded[: len(inner)] = inner
        first = start // _PEAK_BLOCK
        peaks[first : first + rows] = padded.reshape(rows, size).max(axis=1)
    samples = np.zeros(blocks * _PEAK_BLOCK, dtype=np.float32)
    samples[: len(audio)] = _loudest(audio)
    return np.asarray(np.maximum(peaks, samples.reshape(blocks, _PEAK_BLOCK).max(axis=1)), dtype=np.float32)


def _loudest(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the larger magnitude of the two channels, sample by sample."""
    return np.maximum(np.abs(audio[:, 0]), np.abs(audio[:, 1]))


def limiter_curve(peaks: NDArray[np.float32], ceiling_db: float = CEILING_DBTP) -> NDArray[np.float32]:
    """Return the gain of each block that keeps its peak, and its neighbours', under the ceiling."""
    needed = np.minimum(1.0, 10.0 ** (ceiling_db / 20.0) / np.maximum(peaks, 1e-9))
    width = 2 * _LOOK_BLOCKS + 1
    lowest = minimum_filter1d(needed, width + 2)
    recover = 1.0 - math.exp(-_PEAK_BLOCK / (_RELEASE_S * RENDER_RATE))
    held = 1.0
    released: list[float] = []
    for need in lowest.tolist():
        held = min(need, held + recover * (1.0 - held))
        released.append(held)
    return np.asarray(uniform_filter1d(np.array(released, dtype=np.float32), width), dtype=np.float32)


def _fade_out(audio: NDArray[np.float32], seconds: float) -> None:
    count = min(len(audio), round(seconds * RENDER_RATE))
    audio[len(audio) - count :] *= (0.5 + 0.5 * np.cos(np.linspace(0.0, np.pi, count, dtype=np.float32)))[:, None]
