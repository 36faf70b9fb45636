"""How loud the voice itself is, harmonic by harmonic, so that noise between the harmonics does not enter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.f0 import HOP
from services.composer.engine.music import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

HARMONICS = 16
_WINDOW = 480
_HIGHEST_PARTIAL_HZ = 0.47 * ANALYSIS_RATE
_RANGE_DB = 40.0
_LEAST_SILENT_FRAMES = 8
_HEADROOM_DB = 4.0
_EVEN_FROM_DB = 10.0
_BATCH = 1_024


@dataclass(frozen=True, slots=True)
class VoiceLevel:
    """The level of a voice per pitch frame, in dB up to a constant."""

    strong: NDArray[np.float64]
    """The mean over the harmonics, those that carry the voice weighing most: least disturbed by noise."""
    even: NDArray[np.float64]
    """The mean over all harmonics that rise above the noise, alike: a room lets each harmonic waver on its own, a
    singer who closes the mouth lowers them together."""
    harmonics: NDArray[np.float64]
    """(frames, HARMONICS), not below the floor of each."""
    evenly: NDArray[np.float64]
    """The weights of `even`; their sum is 1."""


def voice_level(f0_hz: NDArray[np.float32], samples: NDArray[np.float32]) -> VoiceLevel:
    """Return how loud the voice is per pitch frame; `f0_hz` is what `track_f0` made of the same `samples`."""
    voiced = f0_hz > 0
    decibels = 10.0 * np.log10(_harmonic_power(f0_hz, samples) + 1e-12)
    usual = np.percentile(decibels[voiced] if voiced.any() else decibels, 70, axis=0)
    lowest = usual - _RANGE_DB
    quiet, audible = lowest, lowest
    silent = decibels[_far_from_voice(f0_hz)]
    if len(silent) >= _LEAST_SILENT_FRAMES:
        noise = np.percentile(silent, 75, axis=0)
        quiet = np.clip(noise, lowest, usual - 3.0)
        audible = np.clip(noise + 1.0, lowest, usual - 1.0)
    heavily = np.clip(usual - quiet, 0.1, None) ** 2 * np.clip(usual - usual.max() + _RANGE_DB, 0.1, None)
    evenly = np.clip(usual - audible - _HEADROOM_DB, 0.0, _EVEN_FROM_DB)
    evenly = evenly / evenly.sum() if evenly.any() else np.full(HARMONICS, 1.0 / HARMONICS)
    limited = np.maximum(decibels, audible)
    return VoiceLevel(
        strong=_smooth(np.maximum(decibels, quiet) @ heavily / heavily.sum()),
        even=_smooth(limited @ evenly),
        harmonics=limited,
        evenly=evenly,
    )


def _harmonic_power(f0_hz: NDArray[np.float32], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power at each multiple of the pitch, (frames, HARMONICS); between voiced frames the pitch is drawn."""
    frames = len(f0_hz)
    voiced = np.flatnonzero(f0_hz > 0)
    pitch = np.interp(np.arange(frames), voiced, f0_hz[voiced]) if len(voiced) else np.full(frames, 200.0)
    padded = np.zeros(frames * HOP + _WINDOW, dtype=np.float32)
    padded[_WINDOW // 2 : _WINDOW // 2 + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][:frames]
    shape = np.hanning(_WINDOW).astype(np.float32)
    at = np.arange(_WINDOW, dtype=np.float32) - _WINDOW // 2
    power = np.empty((frames, HARMONICS))
    for first in range(0, frames, _BATCH):
        batch = slice(first, first + _BATCH)
        turn = np.exp((-2j * np.pi / ANALYSIS_RATE) * pitch[batch, None] * at[None, :]).astype(np.complex64)
        shaped = windows[batch] * shape
        product = turn.copy()
        for harmonic in range(HARMONICS):
            power[batch, harmonic] = np.abs(np.einsum("ij,ij->i", shaped, product)) ** 2
            power[batch, harmonic][pitch[batch] * (harmonic + 1) > _HIGHEST_PARTIAL_HZ] = 0.0
            product *= turn
    return power


def _far_from_voice(f0_hz: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which frames lie at least 60 ms from any voiced one."""
    near = np.convolve(f0_hz > 0, np.ones(13), mode="same")
    return np.asarray(near[: len(f0_hz)] < 0.5, dtype=np.bool_)  # a count of frames


def _smooth(level: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(np.pad(level, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
