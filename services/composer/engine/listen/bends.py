"""How a singer slides into a note, leans on it and lets it swing: what an instrument can do after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.f0 import CURVE_DECIMALS, FRAMES_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote

MOST_CENTS = 90
"""A slide from the note before begins farther off; what an instrument plays of it stays nearer to this note."""

_STEP_S = 0.03
_MOST_POINTS = 48
_SMOOTHING_FRAMES = 5
_LEAST_FRAMES = 8
_LEAST_CENTS = 8  # smaller ones are the tracker's and not the singer's
_ASTRAY_CENTS = 60.0  # the curve is of another note: somebody has moved this one since


def bend_of(note: HeardNote, f0_hz: NDArray[np.float32]) -> tuple[int, ...]:
    """Return how many cents the voice lies off the note at evenly spaced moments from its first to its last.

    Measured from the pitch that was sung on the whole, so a note sung flat is not played flat. Empty for a note that
    is too short to tell, that was held straight, or that the curve does not show.
    """
    first, last = round(note.start_s * FRAMES_PER_S), round(note.end_s * FRAMES_PER_S)
    curve = np.round(f0_hz[first:last].astype(np.float64), CURVE_DECIMALS)
    voiced = np.flatnonzero(curve > 0)
    if len(voiced) < max(_LEAST_FRAMES, len(curve) // 2):
        return ()
    cents = 100.0 * (69.0 + 12.0 * np.log2(curve[voiced] / 440.0) - note.sung_pitch)
    if float(np.median(np.abs(cents))) > _ASTRAY_CENTS:
        return ()
    kernel = np.full(_SMOOTHING_FRAMES, 1.0 / _SMOOTHING_FRAMES)
    smooth = np.convolve(np.pad(cents, _SMOOTHING_FRAMES // 2, mode="edge"), kernel, mode="valid")
    points = int(np.clip(round((last - first) / FRAMES_PER_S / _STEP_S), 2, _MOST_POINTS))
    bent = np.interp(np.linspace(0, len(curve) - 1, points), voiced, np.clip(smooth, -MOST_CENTS, MOST_CENTS))
    if float(np.abs(bent).max()) < _LEAST_CENTS:
        return ()
    return tuple(round(float(each)) for each in bent)
