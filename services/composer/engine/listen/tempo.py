"""Beat, metre and bar line of a take without a click, found together with the note values.

A path search over (length of a sixteenth, place in the bar) from onset to onset, after A. Cemgil and B. Kappen,
"Monte Carlo methods for tempo tracking and rhythm quantization" (JAIR 18, 2003) and C. Raphael, "A hybrid graphical
model for rhythmic parsing" (Artificial Intelligence 137, 2002): tempo may wander a little, note values have habits,
strong places of the bar attract onsets and long notes. Once per metre; the better explanation wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.music import HeardNote, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

UNITS_PER_BEAT = 4
"""The grid of the quantised tune: sixteenths."""

_UNITS = np.array([1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32])
_HABITS = np.array([0.01, 0.27, 0.008, 0.4, 0.1, 0.16, 0.012, 0.05, 0.006, 0.05, 0.005, 0.006, 0.002, 0.003])
_SLOWEST_BPM = 52.0
_FASTEST_BPM = 165.0
_PERIODS = 72
_USUAL_BPM = 102.0
_TEMPO_SPREAD = 0.38  # of the natural logarithm
_TIMING_S = 0.022
_TIMING_SHARE = 0.035
_FREEDOM = 4.0
_WANDER_COST = 1.6
_STRENGTH = {4: (1.0, 0.52, 0.78, 0.52), 3: (1.0, 0.5, 0.52)}
_HALF_BEAT = 0.22
_QUARTER_BEAT = 0.02
_METRE_PRIOR = {4: 0.62, 3: 0.38}
_ACROSS_BAR_COST = 1.1
_LONG_ON_WEAK_COST = 1.5


@dataclass(frozen=True, slots=True)
class HeardTempo:
    """Tempo, metre and, for each note, its place in sixteenths counted from the first bar line."""

    bpm: float
    beats_per_bar: int
    places: tuple[int, ...]


def find_tempo(notes: Sequence[HeardNote]) -> HeardTempo:
    """Return tempo, metre and the quantised onsets of the notes; a pickup has negative places.

    Fewer than two notes give the usual tempo in common time.
    """
    if len(notes) < 2:  # there is no interval
        return HeardTempo(_USUAL_BPM, 4, (0,) * len(notes))
    onsets = np.array([note.start_s for note in notes])
    paths = {metre: _best_path(np.diff(onsets), metre) for metre in _STRENGTH}
    metre = max(paths, key=lambda name: paths[name][0])
    places = paths[metre][1]
    first = int(places[0])
    if first:  # the notes before the first bar line count backwards from it
        places = places - metre * UNITS_PER_BEAT
    period = _steady_period(onsets, places)
    return HeardTempo(60.0 / (period * UNITS_PER_BEAT), metre, tuple(int(place) for place in places))


def quantise(notes: Sequence[HeardNote], tempo: HeardTempo) -> tuple[Note, ...]:
    """Return the tune in beats from the first bar line, joined up unless a real rest was sung; velocity from strength.

    Notes that fall on one place of the grid become one: the longer stays.
    """
    unit_s = 60.0 / tempo.bpm / UNITS_PER_BEAT
    tune: list[Note] = []
    for index, (note, place) in enumerate(zip(notes, tempo.places, strict=True)):
        sung = max(1, round((note.end_s - note.start_s) / unit_s))
        length = sung
        if index + 1 < len(notes):
            gap = tempo.places[index + 1] - place
            if gap <= 0:
                continue
            rest = gap - sung
            # Everybody breathes: a rest shorter than a beat after a long enough note belongs to the note.
            length = gap if rest < UNITS_PER_BEAT or rest < 0.4 * gap else max(sung, gap // 2)
        else:
            length = _rounded_up(place, sung, tempo.beats_per_bar)
        velocity = int(np.clip(round(50 + 60 * note.strength), 1, 127))
        tune.append(Note(place / UNITS_PER_BEAT, length / UNITS_PER_BEAT, note.pitch, velocity))
    return tuple(tune)


def _rounded_up(place: int, sung: int, metre: int) -> int:
    """Return the length of a last note: at least a beat, and to the end of its beat."""
    end = place + max(sung, UNITS_PER_BEAT)
    return min(-(-end // UNITS_PER_BEAT) * UNITS_PER_BEAT - place, metre * UNITS_PER_BEAT * 2)


def _periods() -> NDArray[np.float64]:
    """Return the lengths of a sixteenth in seconds that are tried, evenly spaced by ratio."""
    bpm = np.geomspace(_SLOWEST_BPM, _FASTEST_BPM, _PERIODS)
    return 60.0 / bpm / UNITS_PER_BEAT


def _place_weights(metre: int) -> NDArray[np.float64]:
    """Return how readily an onset falls on each sixteenth of the bar."""
    weights = np.full(metre * UNITS_PER_BEAT, _QUARTER_BEAT)
    weights[:: UNITS_PER_BEAT // 2] = _HALF_BEAT
    weights[::UNITS_PER_BEAT] = _STRENGTH[metre]
    return weights


def _step_costs(metre: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the cost (place, value) of each note value from each place, and the place it leads to."""
    weights = _place_weights(metre)
    size = len(weights)
    starts = np.arange(size)[:, None]
    ends = starts + _UNITS[None, :]
    shares = _HABITS[None, :] * weights[ends % size]
    cost = -np.log(shares / shares.sum(axis=1, keepdims=True))
    cost += _ACROSS_BAR_COST * ((ends > size) & (starts > 0) & (ends % size != 0))
    long = np.clip((_UNITS[None, :] - UNITS_PER_BEAT) / (2.0 * UNITS_PER_BEAT), 0.0, 1.0)
    cost += _LONG_ON_WEAK_COST * long * (1.0 - weights[starts])
    return cost, (ends % size).astype(np.intp)


def _best_path(intervals: NDArray[np.float64], metre: int) -> tuple[float, NDArray[np.int64]]:
    """Return the log-likelihood of the best reading in a metre, and each onset's place, the first within the bar."""
    periods = _periods()
    step_cost, leads_to = _step_costs(metre)
    size = metre * UNITS_PER_BEAT
    tempo = -0.5 * (np.log(60.0 / periods / UNITS_PER_BEAT / _USUAL_BPM) / _TEMPO_SPREAD) ** 2
    start = np.log(_place_weights(metre))
    total = np.log(_METRE_PRIOR[metre]) + tempo[:, None] + (start - np.log(np.exp(start).sum()))[None, :]
    came_from: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    for interval in intervals:
        steady, source = _after_wandering(total)
        expected = periods[:, None] * _UNITS[None, :]
        spread = _TIMING_S + _TIMING_SHARE * interval
        density = -0.5 * (_FREEDOM + 1) * np.log1p(((interval - expected) / spread) ** 2 / _FREEDOM)
        ways = steady[:, :, None] - step_cost[None, :, :] + density[:, None, :]
        total, chosen = _arrivals(ways, leads_to, size)
        place, value = np.divmod(chosen, len(_UNITS))
        came_from.append(np.take_along_axis(source, place, axis=1) * size + place)
        values.append(_UNITS[value])
    state = int(total.argmax())
    best = float(total.max())
    steps: list[int] = []
    for before, value in zip(reversed(came_from), reversed(values), strict=True):
        steps.append(int(value.flat[state]))
        state = int(before.flat[state])
    places = np.concatenate(([0], np.cumsum(steps[::-1]))) + state % size
    return best, places.astype(np.int64)


def _after_wandering(total: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the best total after the tempo stayed or moved by one or two steps, and the period it came from."""
    count = len(total)
    best, source = total.copy(), np.repeat(np.arange(count)[:, None], total.shape[1], axis=1)
    for shift in (-2, -1, 1, 2):
        moved = np.full_like(total, -np.inf)
        here = slice(max(shift, 0), count + min(shift, 0))
        there = slice(max(-shift, 0), count + min(-shift, 0))
        moved[here] = total[there] - _WANDER_COST * abs(shift)
        better = moved > best
        best = np.where(better, moved, best)
        source = np.where(better, np.arange(count)[:, None] - shift, source)
    return best, source


def _arrivals(
    ways: NDArray[np.float64], leads_to: NDArray[np.intp], size: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return per (period, place) the best way that arrives there and its number among (place before, value)."""
    flat = ways.reshape(len(ways), -1)
    targets = leads_to.reshape(-1)
    total = np.full((len(ways), size), -np.inf)
    chosen = np.zeros((len(ways), size), dtype=np.int64)
    for place in range(size):
        arriving = np.flatnonzero(targets == place)
        best = flat[:, arriving].argmax(axis=1)
        total[:, place] = flat[np.arange(len(flat)), arriving[best]]
        chosen[:, place] = arriving[best]
    return total, chosen


def _steady_period(onsets: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    """Return the length of a sixteenth that fits all onsets best, outliers trimmed once."""
    keep = np.ones(len(onsets), dtype=np.bool_)
    slope = float(onsets[-1] - onsets[0]) / max(int(places[-1] - places[0]), 1)
    for _ in range(2):
        slope, base = np.polyfit(places[keep], onsets[keep], 1)
        error = np.abs(onsets - slope * places - base)
        keep = error <= max(3.0 * float(np.median(error)), 0.05)
        if len(set(places[keep].tolist())) < 2:  # a line needs two points
            break
    return float(slope)
