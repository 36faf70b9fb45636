"""Who is heard and from how far: a second voice beside the first, and a room that sounds on when the voice has moved.

Both look for a pitch that the singer does not sing at that moment. In the middle of a long note all that lies on its
harmonics is taken out of the spectrum: what is left of one voice is breath, of two it has a pitch of its own. Just
after the voice has left a pitch, a near microphone hears it no more, a far one still hears the room.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.f0 import HOP
from services.composer.engine.music import ANALYSIS_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote

_WINDOW = 2_048
_HALF_STEADY_FRAMES = 6
_STEADY_SEMITONES = 0.5
_SETTLED_FRAMES = 20
_LEAST_STEADY = 15
_MOST_FRAMES = 240
_TOP_HZ = 1_800.0
_MASK_HZ = 22.0
_MASK_SHARE = 0.035
_OWN_PITCH = 0.45
_LEAST_POWER = 0.03
_LOW_HZ = 90.0
_NOISE_MARGIN = 15.0  # over the quietest fifth of the frames, which lies 6.5 dB under the mean of noise
_CLEARLY_LESS = 0.4

_TAIL_WINDOW = 1_600
_BEFORE_S = 0.08
_AFTER_S = 0.11
_APART_HZ = 55.0
_PARTIALS = 6
_LEAST_TAILS = 3
_HIGHEST_PARTIAL_HZ = 0.47 * ANALYSIS_RATE
_LEAST_OVER_NOISE = 12.0
_MEAN_OF_NOISE = 4.5  # over its quietest fifth


def second_voice_share(f0_hz: NDArray[np.float32], samples: NDArray[np.float32]) -> float:
    """Return in which share of the steadily sung frames something beside the voice has a pitch; 0 without any."""
    frames = _steady_frames(f0_hz)
    if len(frames) < _LEAST_STEADY:
        return 0.0
    frames = frames[:: max(1, len(frames) // _MOST_FRAMES)]
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[frames * HOP]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW).astype(np.float32), axis=1)) ** 2
    hertz = np.arange(_WINDOW // 2 + 1, dtype=np.float64) * (ANALYSIS_RATE / _WINDOW)
    kept = hertz < _TOP_HZ
    spectrum, hertz = spectrum[:, kept], hertz[kept]
    audible = spectrum * (hertz > _LOW_HZ)
    clear = np.maximum(audible - _NOISE_MARGIN * np.percentile(audible, 20, axis=0), 0.0)
    rest = _beside(np.asarray(clear, dtype=np.float64), np.asarray(hertz), f0_hz[frames].astype(np.float64))
    power = rest.sum(axis=1) / np.maximum(audible.sum(axis=1), 1e-20)
    return float(np.mean((power > _LEAST_POWER) & (_peakedness(rest) > _OWN_PITCH)))


def _beside(
    spectrum: NDArray[np.float64], hertz: NDArray[np.float64], pitch: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the spectra without what lies on the harmonics of the pitch, or of a half or a third of it.

    Where a telephone has taken the fundamental the pitch may have been heard an octave or a twelfth too high; the
    voice is still one.
    """
    best = spectrum
    for divisor in (1.0, 2.0, 3.0):
        base = pitch[:, None] / divisor
        harmonic = np.maximum(np.round(hertz[None, :] / base), 1.0)
        reach = np.minimum(_MASK_HZ + _MASK_SHARE * harmonic * base, (0.5 if divisor == 1.0 else 0.26) * base)
        rest = np.where(np.abs(hertz[None, :] - harmonic * base) <= reach, 0.0, spectrum)
        fits = (pitch >= divisor * _LOW_HZ) & (rest.sum(axis=1) < _CLEARLY_LESS * best.sum(axis=1))
        best = np.where(fits[:, None] | (divisor == 1.0), rest, best)
    return best


def _peakedness(rest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the power lies in the three strongest peaks and their neighbours."""
    left = rest.copy()
    total = np.maximum(rest.sum(axis=1), 1e-20)
    rows = np.arange(len(rest))
    found = np.zeros(len(rest))
    for _ in range(3):
        at = left.argmax(axis=1)
        for step in (-2, -1, 0, 1, 2):
            near = np.clip(at + step, 0, rest.shape[1] - 1)
            found += left[rows, near]
            left[rows, near] = 0.0
    return np.asarray(found / total, dtype=np.float64)


def _steady_frames(f0_hz: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the frames that lie well inside a note: the pitch has stood for 200 ms and stands on."""
    voiced = f0_hz > 0
    pitch = np.where(voiced, 12.0 * np.log2(np.maximum(f0_hz, 1.0)), np.nan)
    before, after = _SETTLED_FRAMES, _HALF_STEADY_FRAMES
    padded = np.pad(pitch, (before, after), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1)
    swing = windows.max(axis=1) - windows.min(axis=1)  # not a number unless voiced throughout
    return np.flatnonzero(np.nan_to_num(swing, nan=np.inf) < 2.0 * _STEADY_SEMITONES)


def tail_db(notes: Sequence[HeardNote], samples: NDArray[np.float32]) -> float:
    """Return how loud a pitch still is 0.1 s after the voice has left it, in dB against before; the median of all.

    -60 when fewer than three notes were left for another pitch.
    """
    if len(samples) < 2 * _TAIL_WINDOW:
        return -60.0
    shape = np.hanning(_TAIL_WINDOW).astype(np.float32)
    at = np.arange(_TAIL_WINDOW) / ANALYSIS_RATE
    all_over = np.lib.stride_tricks.sliding_window_view(samples, _TAIL_WINDOW)[:: _TAIL_WINDOW // 2]
    noise = _MEAN_OF_NOISE * np.percentile(np.abs(np.fft.rfft(all_over * shape, axis=1)) ** 2, 20, axis=0)
    bin_hz = ANALYSIS_RATE / _TAIL_WINDOW
    tails = []
    for note, following in pairwise(notes):
        left_s = following.start_s if following.start_s - note.end_s < 0.12 else note.end_s
        hertz, other = (440.0 * 2.0 ** ((one.sung_pitch - 69.0) / 12.0) for one in (note, following))
        partials = [
            partial * hertz
            for partial in range(1, _PARTIALS + 1)
            if partial * hertz < _HIGHEST_PARTIAL_HZ
            and abs(partial * hertz - max(round(partial * hertz / other), 1) * other) > _APART_HZ
        ]
        if not partials or note.end_s - note.start_s < 2.0 * _BEFORE_S:
            continue
        first = round((left_s - _BEFORE_S) * ANALYSIS_RATE) - _TAIL_WINDOW // 2
        second = round((left_s + _AFTER_S) * ANALYSIS_RATE) - _TAIL_WINDOW // 2
        if first < 0 or second + _TAIL_WINDOW > len(samples):
            continue
        turn = np.exp(-2j * np.pi * np.outer(partials, at))
        before, after = (
            np.abs(turn @ (samples[start : start + _TAIL_WINDOW] * shape)) ** 2 for start in (first, second)
        )
        floor = noise[np.round(np.array(partials) / bin_hz).astype(np.intp)]
        loud = before > _LEAST_OVER_NOISE * floor
        if loud.any():
            left = max(float((after - floor)[loud].sum()), 1e-12)
            tails.append(10.0 * np.log10(left / float((before - floor)[loud].sum())))
    return float(np.median(tails)) if len(tails) >= _LEAST_TAILS else -60.0
