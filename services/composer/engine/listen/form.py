"""What speaks for a reading of the beat besides durations: bars that come back, notes at rest on strong places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.listen.metre import Metre
    from services.composer.engine.music import Key

_REST = (1.0, 0.1, 0.25, 0.6, 0.6, 0.3, 0.1, 0.75, 0.2, 0.3, 0.15, 0.15)  # by semitones above the tonic
_LEAST_REPEATED = 8


def repeats(places: NDArray[np.int64], pitches: NDArray[np.intp], metre: Metre) -> float:
    """Return from 0 to 1 how much of the tune comes back after one, two or four bars: the bar that repeats is right.

    Half counts the same step to the next note, half the same pitch; the two best of the three distances count.
    """
    steps = np.diff(places, append=places[-1] + metre.units)
    where = {int(place): index for index, place in enumerate(places)}
    shares = []
    for bars in (1, 2, 4):
        lag = bars * metre.units
        within = [index for index, place in enumerate(places) if place + lag <= places[-1]]
        pairs = [(index, where.get(int(places[index]) + lag)) for index in within]
        same = [
            0.5 * float(steps[here] == steps[there]) + 0.5 * float(pitches[here] == pitches[there])
            for here, there in pairs
            if there is not None
        ]
        shares.append(sum(same) / max(len(within), _LEAST_REPEATED))
    return float(np.mean(sorted(shares)[1:]))


def restfulness(pitches: NDArray[np.intp], key: Key | None) -> NDArray[np.float64]:
    """Return from 0 to 1 how much each note is at rest in the key, one rank after another of the tonal hierarchy.

    C. Krumhansl, "Cognitive Foundations of Musical Pitch" (1990): the tonic, the fifth, the third, then the rest.
    """
    if key is None:
        return np.zeros(len(pitches))
    return np.asarray([_REST[(int(pitch) - key.tonic) % 12] for pitch in pitches], dtype=np.float64)


def alike(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the correlation of two series, nought where one of them does not vary."""
    if min(one.std(), other.std()) < 1e-6:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
