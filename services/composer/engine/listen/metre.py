"""The kinds of bars a tune may stand in: which places of a bar notes like to begin on, and where they go from there.

Each kind is a chain of places: what follows a note is the next place it lands on, with a probability made of the
habits of note values and of the strength of the place. All rows sum to one, so that kinds can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

UNITS_PER_BEAT = 12
"""The finest grid of the quantised tune: twelfths, which hold sixteenths and triplets."""

_BARS_AHEAD = 3
_MOST_BEATS = 8


@dataclass(frozen=True, slots=True)
class Metre:
    """One kind of bar. `places` are the units within the bar where notes may begin."""

    name: str
    beats: int
    swing: float
    compound: bool
    usual_bpm: float
    spread: float
    """Of the natural logarithm of the tempo."""
    prior: float
    places: NDArray[np.intp]
    steps: NDArray[np.intp]
    """(place, place, bars ahead): the units from one onset to the next; 0 where there is no such step."""
    starts: NDArray[np.float64]
    """The log of how likely the first note stands on each place: most tunes begin with the bar."""
    costs: NDArray[np.float64]
    """(place, place, bars ahead): minus the log of the step's probability; infinite where there is none."""

    def accents(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how strong each place is, from 1 for the first of a bar down to 0.2 within a beat."""
        within = places % self.units
        middle = (self.compound or self.beats == 4) & (2 * within == self.units)
        on_beat = np.where(middle, 0.7, np.where(within % UNITS_PER_BEAT, 0.2, 0.5))
        return np.asarray(np.where(within == 0, 1.0, on_beat), dtype=np.float64)

    @property
    def units(self) -> int:
        """The length of the bar in units."""
        return self.beats * UNITS_PER_BEAT


_QUARTERS = {
    3: 0.02, 4: 0.03, 6: 0.22, 8: 0.01, 9: 0.02, 12: 0.42, 18: 0.17, 24: 0.15, 30: 0.012, 36: 0.05, 42: 0.006,
    48: 0.05, 60: 0.006, 72: 0.012, 84: 0.003, 96: 0.004,
}  # fmt: skip
_EIGHTHS = {
    3: 0.1, 4: 0.02, 6: 0.44, 8: 0.005, 9: 0.06, 12: 0.24, 18: 0.06, 24: 0.06, 30: 0.01, 36: 0.02, 42: 0.004,
    48: 0.02, 60: 0.003, 72: 0.004, 84: 0.001, 96: 0.002,
}  # fmt: skip
_DOTTED = {
    3: 0.24, 4: 0.005, 6: 0.14, 8: 0.005, 9: 0.22, 12: 0.28, 15: 0.01, 18: 0.04, 24: 0.1, 36: 0.03, 48: 0.02, 60: 0.003,
    72: 0.004, 96: 0.002,
}  # fmt: skip
_SHUFFLED = {
    4: 0.3, 8: 0.28, 12: 0.24, 16: 0.06, 20: 0.05, 24: 0.06, 28: 0.012, 32: 0.012, 36: 0.02, 40: 0.006, 44: 0.006,
    48: 0.02, 60: 0.003, 72: 0.004, 96: 0.002,
}  # fmt: skip
_TRIPLET_HABITS = {
    4: 0.3, 8: 0.02, 12: 0.4, 24: 0.2, 28: 0.005, 36: 0.04, 48: 0.04, 60: 0.004, 72: 0.006, 96: 0.003,
}  # fmt: skip
_SWING_HABITS = {
    4: 0.16, 8: 0.18, 12: 0.36, 16: 0.06, 20: 0.06, 24: 0.14, 28: 0.02, 32: 0.02, 36: 0.05, 40: 0.01, 44: 0.01,
    48: 0.05, 60: 0.006, 72: 0.01, 84: 0.003, 96: 0.004,
}  # fmt: skip
_JIG = {
    2: 0.01, 4: 0.5, 6: 0.005, 8: 0.2, 12: 0.2, 16: 0.01, 20: 0.02, 24: 0.04, 36: 0.01, 48: 0.01, 72: 0.002,
}  # fmt: skip
_LILT = {
    2: 0.01, 4: 0.36, 6: 0.005, 8: 0.34, 12: 0.2, 16: 0.01, 20: 0.04, 24: 0.05, 28: 0.01, 32: 0.01, 36: 0.02, 44: 0.006,
    48: 0.02, 60: 0.003, 72: 0.004, 96: 0.002,
}  # fmt: skip
_SIX_HABITS = {
    2: 0.01, 4: 0.34, 6: 0.01, 8: 0.26, 12: 0.22, 16: 0.02, 20: 0.035, 24: 0.06, 28: 0.01, 32: 0.012, 36: 0.02,
    44: 0.006, 48: 0.02, 60: 0.004, 72: 0.004, 96: 0.002,
}  # fmt: skip


def _within_beat(shares: Mapping[int, float], strengths: tuple[float, ...]) -> dict[int, float]:
    """Return the weight of each place of a bar whose beats have these strengths and inner places these shares."""
    weights = {}
    for beat, strength in enumerate(strengths):
        weights[beat * UNITS_PER_BEAT] = strength
        for inside, share in shares.items():
            weights[beat * UNITS_PER_BEAT + inside] = share
    return weights


def _metre(
    name: str,
    beats: int,
    weights: Mapping[int, float],
    habits: Mapping[int, float],
    *,
    swing: float = 0.0,
    compound: bool = False,
    tempo: tuple[float, float],
    prior: float,
) -> Metre:
    places = np.array(sorted(weights), dtype=np.intp)
    strength = np.array([weights[int(place)] for place in places])
    units = beats * UNITS_PER_BEAT
    ahead = np.arange(_BARS_AHEAD) * units
    steps = places[None, :, None] + ahead[None, None, :] - places[:, None, None]
    shares = np.vectorize(lambda step: habits.get(int(step), 0.0))(steps) * strength[None, :, None]
    shares[steps > _MOST_BEATS * UNITS_PER_BEAT] = 0.0
    starts, ends = places[:, None, None], places[:, None, None] + steps
    # A note that crosses a bar line, or is long and begins off the beat, is a syncope and rare.
    across = (ends > units) & (starts > 0) & (ends % units != 0)
    shares *= np.where(across, _ACROSS, 1.0)
    # So is one that begins inside a beat and is held over the next: what makes 6/8 sound unlike 3/4.
    inside = starts % UNITS_PER_BEAT
    tied = (inside > 0) & (inside + steps > UNITS_PER_BEAT)
    shares *= np.where(tied, _TIED, 1.0)
    long = np.clip((steps - UNITS_PER_BEAT) / (2.0 * UNITS_PER_BEAT), 0.0, 1.0)
    relative = strength / strength.max()
    shares *= np.exp(-_LONG_ON_WEAK * long * (1.0 - relative[:, None, None]))
    if not compound and not swing and 6 in weights:
        shares *= _allowed(places, steps)
    with np.errstate(divide="ignore"):
        costs = -np.log(shares / shares.sum(axis=(1, 2), keepdims=True))
    pickup = np.where(places > 0, strength, 0.0)
    starts = np.where(places > 0, (1.0 - _ON_THE_BAR) * pickup / pickup.sum(), _ON_THE_BAR)
    return Metre(
        name, beats, swing, compound, *tempo, prior, places, np.where(shares > 0, steps, 0), np.log(starts), costs
    )


def _allowed(places: NDArray[np.intp], steps: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return 0 for steps that no straight beat allows: a beat is divided in two or in three, not in both."""
    inside = places % UNITS_PER_BEAT
    three = (inside == 4) | (inside == 8)
    two = (inside > 0) & ~three
    ends = places[:, None, None] + steps
    same = places[:, None, None] // UNITS_PER_BEAT == ends // UNITS_PER_BEAT
    mixed = (three[:, None] & two[None, :]) | (two[:, None] & three[None, :])
    allowed = np.where(mixed[:, :, None] & same, 0.0, 1.0)
    # A triplet goes on to its next third or to a beat; it is entered from a beat.
    leaves = three[:, None, None] & ~three[None, :, None] & ((ends % UNITS_PER_BEAT) != 0)
    enters = ~three[:, None, None] & three[None, :, None] & (inside[:, None, None] != 0)
    return np.where(leaves | enters, 0.0, allowed)


_ON_THE_BAR = 0.45
_ACROSS = 0.33
_TIED = 0.4
_LONG_ON_WEAK = 2.2
_FEW = {6: 0.22, 3: 0.02, 9: 0.035, 4: 0.012, 8: 0.012}
_MANY = {6: 0.5, 3: 0.08, 9: 0.13, 4: 0.012, 8: 0.012}
_SHARP = {9: 0.4, 6: 0.16, 3: 0.03, 4: 0.006, 8: 0.006}
_TRIPLETS = {4: 0.3, 8: 0.6}
_SWUNG = {8: 0.3, 4: 0.02}
_THIRDS = {4: 0.3, 8: 0.42, 6: 0.006, 10: 0.006, 2: 0.006}
_FOUR = (1.0, 0.52, 0.78, 0.52)
_THREE = (1.0, 0.5, 0.52)

METRES: tuple[Metre, ...] = (
    _metre("4/4", 4, _within_beat(_FEW, _FOUR), _QUARTERS, tempo=(100.0, 0.2), prior=0.3),
    _metre("4/4 in eighths", 4, _within_beat(_MANY, _FOUR), _EIGHTHS, tempo=(110.0, 0.2), prior=0.14),
    _metre("4/4 dotted", 4, _within_beat(_SHARP, _FOUR), _DOTTED, tempo=(96.0, 0.2), prior=0.05),
    _metre("3/4", 3, _within_beat(_FEW, _THREE), _QUARTERS, tempo=(104.0, 0.2), prior=0.16),
    _metre("3/4 in eighths", 3, _within_beat(_MANY, _THREE), _EIGHTHS, tempo=(110.0, 0.2), prior=0.06),
    _metre("4/4 in triplets", 4, _within_beat(_TRIPLETS, _FOUR), _TRIPLET_HABITS, tempo=(98.0, 0.2), prior=0.05),
    _metre("4/4 swing", 4, _within_beat(_SWUNG, _FOUR), _SWING_HABITS, swing=1.0 / 6.0, tempo=(104.0, 0.2), prior=0.07),
    _metre("4/4 shuffle", 4, _within_beat({8: 0.5, 4: 0.03}, _FOUR), _SHUFFLED, swing=1.0 / 6.0,
           tempo=(108.0, 0.2), prior=0.02),
    _metre("6/8", 2, _within_beat(_THIRDS, (1.0, 0.75)), _SIX_HABITS, compound=True, swing=1.0 / 6.0,
           tempo=(76.0, 0.2), prior=0.05),
    _metre("6/8 jig", 2, _within_beat({4: 0.42, 8: 0.44}, (1.0, 0.75)), _JIG, compound=True, swing=1.0 / 6.0,
           tempo=(80.0, 0.2), prior=0.04),
    _metre("6/8 lilting", 2, _within_beat({4: 0.06, 8: 0.62}, (1.0, 0.75)), _LILT, compound=True, swing=1.0 / 6.0,
           tempo=(76.0, 0.2), prior=0.06),
)  # fmt: skip
"""The kinds that are told apart; 2/4 is heard as 4/4. Some tunes go in quarters, others in eighths at half the pace."""
