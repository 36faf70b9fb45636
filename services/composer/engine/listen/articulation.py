"""Where a note is sung anew on the pitch it already had: what the pitch curve cannot show.

The lips or the tongue close for some hundredths of a second: the level of all harmonics dips and rises again, and
often the vowel after it is another. A room fills the dip and lets steady notes waver, so each sign counts against
how much this take wavers by itself. The weights are those of a logistic regression over takes whose notes are known:
careful and careless singers, noise, rooms, telephones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.listen.level import VoiceLevel

_NEAR = 6  # frames to each side of a dip's lowest point
_AROUND = 25
_RISE = 6
_BEFORE, _AFTER, _VOWEL = -12, 6, 7
_WAVER = 3
_CONSTANT = -6.93
_STRONG_DIP, _EVEN_DIP = 1.71, 3.03
_STRONG_RISE, _EVEN_RISE = 0.76, 0.98
_VOWEL_CHANGE = 1.77
_STRONG_WAVER, _EVEN_WAVER = -2.92, -1.63
_HALF_DB = 2.0


def articulations(level: VoiceLevel, voiced: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return per pitch frame the log-odds that a note begins anew there, minus infinity anywhere but at a dip.

    A dip's frame is its lowest point, where the closure is deepest; the vowel begins up to 100 ms later.
    """
    strong, even = level.strong, level.even
    both = strong + even
    odds = np.full(len(both), -np.inf)
    if not len(both):
        return odds
    lowest = both <= _around(both, _NEAR, _NEAR).min(axis=1)
    signs = (
        (_STRONG_DIP, _greatest(_dips(strong), 4, 4)),
        (_EVEN_DIP, _greatest(_dips(even), 4, 4)),
        (_STRONG_RISE, _greatest(_rises(strong), 3, 6)),
        (_EVEN_RISE, _greatest(_rises(even), 3, 6)),
        (_VOWEL_CHANGE, _greatest(_vowel_changes(level), 3, 6)),
    )
    told = np.sum([weight * np.log1p(sign / _HALF_DB) for weight, sign in signs], axis=0)
    told += _CONSTANT + _STRONG_WAVER * _waver_db(strong, voiced) + _EVEN_WAVER * _waver_db(even, voiced)
    odds[lowest] = told[lowest]
    return odds


def _dips(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far each frame lies below the loudest of the quarter second before it, or after if that is less."""
    before = _around(level, _AROUND, -1).max(axis=1)
    after = _around(level, -1, _AROUND).max(axis=1)
    return np.asarray(np.maximum(np.minimum(before, after) - level, 0.0), dtype=np.float64)


def _rises(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the level has risen 60 ms later."""
    return np.maximum(np.concatenate((level[_RISE:], np.full(min(_RISE, len(level)), level[-1]))) - level, 0.0)


def _vowel_changes(level: VoiceLevel) -> NDArray[np.float64]:
    """Return in dB how the harmonics after a frame stand otherwise to each other than before it, loudness left out."""
    harmonics = level.harmonics
    before = _around(harmonics, -_BEFORE, _BEFORE + _VOWEL - 1).mean(axis=-1)
    after = _around(harmonics, -_AFTER, _AFTER + _VOWEL - 1).mean(axis=-1)
    change = after - before
    return np.asarray(np.abs(change - (change @ level.evenly)[:, None]) @ level.evenly, dtype=np.float64)


def _waver_db(level: NDArray[np.float64], voiced: NDArray[np.bool_]) -> float:
    """Return how much the level of held notes bends within 60 ms: little where it is quiet, more in noise and rooms."""
    inside = np.convolve(voiced, np.ones(9), mode="same")[: len(level)] > 8.5  # all nine voiced
    bend = np.abs(level[_WAVER:-_WAVER] - 0.5 * (level[: -2 * _WAVER] + level[2 * _WAVER :]))
    held = bend[inside[_WAVER:-_WAVER]]
    return float(np.median(held)) if len(held) else 0.0


def _greatest(values: NDArray[np.float64], before: int, after: int) -> NDArray[np.float64]:
    return np.asarray(_around(values, before, after).max(axis=1), dtype=np.float64)


def _around(values: NDArray[np.float64], before: int, after: int) -> NDArray[np.float64]:
    """Return per frame the values from `before` frames earlier to `after` frames later, along a new last axis."""
    reach = max(abs(before), abs(after))
    padded = np.pad(values, ((reach, reach), *((0, 0),) * (values.ndim - 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, before + after + 1, axis=0)
    return windows[reach - before :][: len(values)]
