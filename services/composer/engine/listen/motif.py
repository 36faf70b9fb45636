"""Phrases that come back: two careless tries at one note say more about it than either alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote

_LEAST_RUN = 5
_SAME_PITCH = 1.5  # semitones
_SAME_RHYTHM = 0.6  # of the natural logarithm of the ratio of two steps
_MOST_OFF = 0.7  # semitones, mean over a run


def companions(notes: Sequence[HeardNote], pitches: NDArray[np.float64]) -> list[list[int]]:
    """Return for each note the numbers of the others that sing the same place of the same phrase.

    `pitches` are those sung, in semitones, drift taken off. A phrase is five notes or more of about the same rhythm
    that lie within a semitone and a half of each other one by one, and within 0.7 of a semitone on average.
    """
    count = len(notes)
    onsets = np.array([note.start_s for note in notes])
    steps = np.log(np.maximum(np.diff(onsets, append=onsets[-1:] + 1.0), 1e-3))
    found: list[list[int]] = [[] for _ in notes]
    for lag in range(1, count - _LEAST_RUN + 1):
        off = np.abs(pitches[lag:] - pitches[:-lag])
        alike = off < _SAME_PITCH
        in_time = np.abs(steps[lag:] - steps[:-lag]) < _SAME_RHYTHM
        start = 0
        for at in range(count - lag + 1):
            if at < count - lag and alike[at] and (at == start or in_time[at - 1]):
                continue
            if at - start >= _LEAST_RUN and float(off[start:at].mean()) < _MOST_OFF:
                for one in range(start, at):
                    found[one].append(one + lag)
                    found[one + lag].append(one)
            start = at if at < count - lag and alike[at] else at + 1
    return found
