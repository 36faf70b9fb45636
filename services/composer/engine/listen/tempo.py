"""Beat, metre and bar line of a take without a click, found together with the note values.

A path search over (length of a beat, place in the bar) from onset to onset, after A. Cemgil and B. Kappen,
"Monte Carlo methods for tempo tracking and rhythm quantization" (JAIR 18, 2003) and C. Raphael, "A hybrid graphical
model for rhythmic parsing" (Artificial Intelligence 137, 2002): tempo may wander a little, note values have habits,
strong places of the bar attract onsets and long notes. Once per kind of bar; the best explanation wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.bends import bend_of
from services.composer.engine.listen.f0 import FRAMES_PER_S
from services.composer.engine.listen.form import alike, repeats, restfulness
from services.composer.engine.listen.metre import METRES, UNITS_PER_BEAT, Metre
from services.composer.engine.music import HeardNote, Key, Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SLOWEST_BPM = 46.0
_FASTEST_BPM = 168.0
_PERIODS = 76
_USUAL_BPM = 100.0
_TIMING_S = 0.025
_TIMING_SHARE = 0.035
_FREEDOM = 5.0
_WANDER_COST = 1.6
_REPEATS_WEIGHT = 0.15
_REST_WEIGHT = 0.7
_REST_NOTES = 30  # of so many, half of it counts
_ON_BEAT, _INSIDE_BEAT, _OFF_BEAT = 1.2, 0.3, -0.8  # log-odds
_EARLY_FRAMES = 4
_NEAR_FRAMES = 6
_SWUNG_THIRDS = 2.0 / 3.0


@dataclass(frozen=True, slots=True)
class HeardTempo:
    """Tempo, metre and, for each note, its place in twelfths of a beat counted from the first bar line."""

    bpm: float
    beats_per_bar: int
    places: tuple[int, ...]
    swing: float = 0.0
    compound: bool = False


def find_tempo(notes: Sequence[HeardNote], key: Key | None = None) -> HeardTempo:
    """Return tempo, metre and the quantised onsets of the notes; a pickup has negative places.

    With the key, notes that rest in it are expected on strong places. Fewer than two notes give the usual tempo in
    common time. Two bars of 6/8 are one bar of four beats.
    """
    if len(notes) < 2:  # there is no interval
        return HeardTempo(_USUAL_BPM, 4, (0,) * len(notes))
    onsets = np.array([note.start_s for note in notes])
    pitches = np.array([note.pitch for note in notes])
    readings = [(metre, *_best_path(np.diff(onsets), metre)) for metre in METRES]
    rest = restfulness(pitches, key)
    # Of a few notes, the likeness says little: any three in a row may happen to be at rest.
    trust = _REST_WEIGHT / (1.0 + (_REST_NOTES / len(notes)) ** 2)

    def plausibility(reading: tuple[Metre, float, NDArray[np.int64]]) -> float:
        metre, likelihood, places = reading
        form = _REPEATS_WEIGHT * repeats(places, pitches, metre) + trust * alike(rest, metre.accents(places))
        return likelihood + len(notes) * form

    metre, _, places = max(readings, key=plausibility)
    if places[0]:  # the notes before the first bar line count backwards from it
        places = places - metre.units
    period = _steady_period(onsets, places)
    beats = 4 if metre.compound else metre.beats
    found = tuple(int(place) for place in places)
    return HeardTempo(60.0 / (period * UNITS_PER_BEAT), beats, found, metre.swing, metre.compound)


def onsets_expected(notes: Sequence[HeardNote], tempo: HeardTempo, frames: int) -> NDArray[np.float64]:
    """Return per pitch frame how much likelier than usual a note begins there, in log-odds, by the beat of the notes.

    The lips close a little before the beat, and more notes begin on beats than between them.
    """
    expected = np.full(frames, _OFF_BEAT)
    places, first = np.unique(tempo.places, return_index=True)
    if len(places) < 2:
        return np.zeros(frames)
    seconds = np.array([notes[index].start_s for index in first])
    step = UNITS_PER_BEAT // (3 if tempo.compound else 2)
    grid = np.arange(-(-int(places[0]) // step) * step, int(places[-1]) + 1, step)
    for place, at in zip(grid.tolist(), np.interp(grid, places, seconds).tolist(), strict=True):
        frame = round(at * FRAMES_PER_S) - _EARLY_FRAMES
        near = slice(max(frame - _NEAR_FRAMES, 0), max(frame + _NEAR_FRAMES + 1, 0))
        expected[near] = np.maximum(expected[near], _INSIDE_BEAT if place % UNITS_PER_BEAT else _ON_BEAT)
    return expected


def quantise(
    notes: Sequence[HeardNote], tempo: HeardTempo, f0_hz: NDArray[np.float32] | None = None
) -> tuple[Note, ...]:
    """Return the tune in beats from the first bar line, joined up unless a real rest was sung; velocity from strength.

    Swung eighths and the thirds of 6/8 are written straight: `compose.timing.swung` plays them as they were sung.
    Notes that fall on one place of the grid become one: the first. With the pitch curve they carry the singer's bends.
    """
    unit_s = 60.0 / tempo.bpm / UNITS_PER_BEAT
    tune: list[Note] = []
    for index, (note, place) in enumerate(zip(notes, tempo.places, strict=True)):
        sung = max(UNITS_PER_BEAT // 4, round((note.end_s - note.start_s) / unit_s))
        if index + 1 < len(notes):
            gap = tempo.places[index + 1] - place
            if gap <= 0:
                continue
            rest = gap - sung
            # Everybody breathes: a rest shorter than a beat after a long enough note belongs to the note.
            length = gap if rest < UNITS_PER_BEAT or rest < 0.4 * gap else _on_grid(max(sung, gap // 2))
        else:
            length = _rounded_up(place, sung, tempo.beats_per_bar)
        velocity = int(np.clip(round(50 + 60 * note.strength), 1, 127))
        start, end = _written(place, tempo), _written(place + length, tempo)
        bend = bend_of(note, f0_hz) if f0_hz is not None else ()
        tune.append(Note(start, end - start, note.pitch, velocity, bend))
    return tuple(tune)


def _on_grid(units: int) -> int:
    """Return a length in whole eighths that is at least as long."""
    eighth = UNITS_PER_BEAT // 2
    return -(-units // eighth) * eighth


def _written(place: int, tempo: HeardTempo) -> float:
    """Return the beat at which a place is written: two thirds of a swung beat are its half."""
    beat, inside = divmod(place, UNITS_PER_BEAT)
    share = inside / UNITS_PER_BEAT
    if tempo.swing:
        share = share * 0.75 if share <= _SWUNG_THIRDS else 0.5 + (share - _SWUNG_THIRDS) * 1.5
    return float(beat + share)


def _rounded_up(place: int, sung: int, beats_per_bar: int) -> int:
    """Return the length of a last note: at least a beat, and to the end of its beat."""
    end = place + max(sung, UNITS_PER_BEAT)
    return min(-(-end // UNITS_PER_BEAT) * UNITS_PER_BEAT - place, beats_per_bar * UNITS_PER_BEAT * 2)


def _periods() -> NDArray[np.float64]:
    """Return the lengths of a unit in seconds that are tried, evenly spaced by ratio."""
    return 60.0 / np.geomspace(_SLOWEST_BPM, _FASTEST_BPM, _PERIODS) / UNITS_PER_BEAT


def _best_path(intervals: NDArray[np.float64], metre: Metre) -> tuple[float, NDArray[np.int64]]:
    """Return the log-likelihood of the best reading in a metre, and each onset's place, the first within the bar."""
    periods = _periods()
    count = len(metre.places)
    tempo = -0.5 * (np.log(60.0 / periods / UNITS_PER_BEAT / metre.usual_bpm) / metre.spread) ** 2
    total = np.log(metre.prior / metre.spread) + tempo[:, None] + metre.starts[None, :]
    arriving = np.moveaxis(metre.costs, 1, 0).reshape(count, -1)  # (to, from and bars ahead)
    lengths = np.moveaxis(metre.steps, 1, 0).reshape(count, -1)
    possible = [np.flatnonzero(np.isfinite(row)) for row in arriving]
    bars = metre.costs.shape[2]
    came_from: list[NDArray[np.int64]] = []
    values: list[NDArray[np.intp]] = []
    for interval in intervals:
        steady, source = _after_wandering(total)
        spread = _TIMING_S + _TIMING_SHARE * interval
        total = np.empty_like(steady)
        before = np.empty(steady.shape, dtype=np.int64)
        value = np.empty(steady.shape, dtype=np.intp)
        densities: dict[int, NDArray[np.float64]] = {}
        for units in np.unique(lengths[lengths > 0]).tolist():
            off = (interval - periods * units) / spread
            densities[units] = -0.5 * (_FREEDOM + 1) * np.log1p(off**2 / _FREEDOM)
        for place, ways in enumerate(possible):
            origin = ways // bars
            density = np.stack([densities[units] for units in lengths[place, ways].tolist()], axis=1)
            score = steady[:, origin] - arriving[place, ways][None, :] + density
            best = score.argmax(axis=1)
            rows = np.arange(len(periods))
            total[:, place] = score[rows, best]
            before[:, place] = source[rows, origin[best]] * count + origin[best]
            value[:, place] = lengths[place, ways[best]]
        came_from.append(before)
        values.append(value)
    state = int(total.argmax())
    best_total = float(total.max())
    steps: list[int] = []
    for back, value in zip(reversed(came_from), reversed(values), strict=True):
        steps.append(int(value.flat[state]))
        state = int(back.flat[state])
    places = np.concatenate(([0], np.cumsum(steps[::-1]))) + int(metre.places[state % count])
    return best_total, places.astype(np.int64)


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


def _steady_period(onsets: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    """Return the length of a unit that fits all onsets best, outliers trimmed once."""
    keep = np.ones(len(onsets), dtype=np.bool_)
    slope = float(onsets[-1] - onsets[0]) / max(int(places[-1] - places[0]), 1)
    for _ in range(2):
        slope, base = np.polyfit(places[keep], onsets[keep], 1)
        error = np.abs(onsets - slope * places - base)
        keep = error <= max(3.0 * float(np.median(error)), 0.05)
        if len(set(places[keep].tolist())) < 2:  # a line needs two points
            break
    return float(slope)
