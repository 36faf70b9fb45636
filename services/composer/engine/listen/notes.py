"""From a pitch curve to notes: where each begins and ends and how high it was really sung.

Hidden states on a grid of a third of a semitone with a heavy-tailed emission, after M. Mauch et al., "Computer-aided
melody note transcription using the Tony software" (TENOR 2015); here the grid follows the sung pitch itself, not a
key, because an amateur's semitones are not yet known to be semitones. Vibrato is averaged out before. Repeated
pitches leave no trace in the curve, so notes are split again where the voice closes and opens.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.articulation import articulations
from services.composer.engine.listen.f0 import FRAMES_PER_S
from services.composer.engine.listen.level import voice_level
from services.composer.engine.music import HeardNote

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GRID = 1.0 / 3.0  # semitones
_SPREAD = 0.4  # semitones, scale of the emission
_FREEDOM = 3.0  # of Student's t
_CHANGE_COST = 12.0
_ONSET_DISCOUNT = 6.0
_VOICING_COST = 3.0
_SILENT_GAIN = 2.4
_BRIDGED_GAIN = -0.7
_VIBRATO_HALF_FRAMES = 9
_VIBRATO_RANGE = 1.9  # semitones
_LEAST_NOTE_FRAMES = 9
_LEAST_PART_FRAMES = 10
_CLOSURE_FRAMES = 9
_SAME_PITCH = 0.62  # semitones
_LOUD_RANGE_DB = 22.0


def segment_notes(
    f0_hz: NDArray[np.float32], samples: NDArray[np.float32], expected: NDArray[np.float64] | float = 0.0
) -> tuple[HeardNote, ...]:
    """Return the notes of a take in order, without overlap; `pitch` is only the rounded `sung_pitch` as yet.

    `f0_hz` is what `track_f0` made of the same `samples`; `expected` is the log-odds per pitch frame, for instance of
    somebody who knows the beat, that a note begins there. Times are seconds; `strength` compares the energy of the
    notes with each other.
    """
    voiced = f0_hz > 0
    if int(voiced.sum()) < _LEAST_NOTE_FRAMES:
        return ()
    curve = _without_blips(np.where(voiced, 69.0 + 12.0 * np.log2(np.maximum(f0_hz, 1.0) / 440.0), np.nan))
    level = voice_level(f0_hz, samples)
    anew = articulations(level, voiced) + expected
    steady = _without_vibrato(curve)
    states = _most_likely_states(steady, _onset_signs(level.strong))
    runs = [part for run in _runs(states, steady) for part in _split_where_anew(run, anew)]
    runs = _merged(runs, steady, level.strong, anew)
    return tuple(_as_notes(runs, steady, level.strong))


def _without_blips(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curve with runs of up to 60 ms that lie an octave off their surroundings folded back."""
    folded = curve.copy()
    half = 25
    padded = np.pad(curve, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    voiced = np.flatnonzero(~np.isnan(curve))
    local = np.nanmedian(windows[voiced], axis=1)
    octaves = np.round((curve[voiced] - local) / 12.0)
    away = np.abs(curve[voiced] - local) > 9.0  # semitones; wider than a sixth
    edges = np.flatnonzero(np.diff(np.concatenate(([False], away, [False]))))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first <= 6:  # frames
            folded[voiced[first:last]] -= 12.0 * octaves[first:last]
    return folded


def _without_vibrato(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the curve averaged over one swing of a vibrato wherever it swings by less than a wide vibrato does."""
    half = _VIBRATO_HALF_FRAMES
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(curve, half, constant_values=np.nan), 2 * half + 1)
    steady = curve.copy()
    voiced = np.flatnonzero(~np.isnan(curve))
    near = windows[voiced]
    swing = np.nanmax(near, axis=1) - np.nanmin(near, axis=1)
    calm = swing < _VIBRATO_RANGE
    # A step between two notes also swings; only what comes back to the middle is vibrato.
    early, late = np.nanmean(near[:, : half + 1], axis=1), np.nanmean(near[:, half:], axis=1)
    calm &= np.abs(early - late) < 0.35 * _VIBRATO_RANGE
    steady[voiced[calm]] = np.nanmean(near[calm], axis=1)
    return steady


def _onset_signs(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return per frame from 0 to 1 how much it looks like an onset: the level has risen since 40 ms before."""
    before = np.concatenate((np.full(4, level[0] if len(level) else 0.0), level))[: len(level)]
    rise = np.clip((level - before - 2.0) / 6.0, 0.0, 1.0)
    return np.asarray(np.maximum(rise, np.concatenate((rise[1:], rise[-1:]))), dtype=np.float64)


def _most_likely_states(curve: NDArray[np.float64], onsets: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return per frame the grid pitch it belongs to, or -1 for silence, on the most likely path."""
    voiced = ~np.isnan(curve)
    low, high = float(np.nanmin(curve)) - _GRID, float(np.nanmax(curve)) + _GRID
    grid = np.arange(low, high + _GRID, _GRID)
    filled = np.where(voiced, curve, 0.0)
    frames, count = len(curve), len(grid)
    distance = (filled[:, None] - grid[None, :]) / _SPREAD
    emission = np.full((frames, count + 1), _BRIDGED_GAIN)
    emission[voiced, 1:] = -0.5 * (_FREEDOM + 1.0) * np.log1p(distance[voiced] ** 2 / _FREEDOM)
    emission[:, 0] = np.where(voiced, -_SILENT_GAIN, 0.0)
    change = _CHANGE_COST - _ONSET_DISCOUNT * onsets
    total = emission[0].copy()
    came_from = np.zeros((frames, count + 1), dtype=np.int32)
    stay = np.arange(count + 1)
    for frame in range(1, frames):
        best = int(total[1:].argmax()) + 1
        moved = total[best] - change[frame]
        from_silence = total[0] - _VOICING_COST
        source, value = (best, moved) if moved > from_silence else (0, from_silence)
        came_from[frame] = np.where(total >= value, stay, source)
        following = np.maximum(total, value)
        to_silence = total[best] - _VOICING_COST
        came_from[frame, 0], following[0] = (best, to_silence) if to_silence > total[0] else (0, total[0])
        total = following + emission[frame]
    states = np.zeros(frames, dtype=np.intp)
    state = int(total.argmax())
    for frame in range(frames - 1, -1, -1):
        states[frame] = state - 1
        state = int(came_from[frame, state])
    return states


def _runs(states: NDArray[np.intp], curve: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (first, last + 1) of each run of one pitch, cut back to its voiced frames."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(states)) + 1, [len(states)]))
    runs = []
    for first, last in pairwise(edges.tolist()):
        inside = np.flatnonzero(~np.isnan(curve[first:last]))
        if states[first] >= 0 and len(inside):
            runs.append((first + int(inside[0]), first + int(inside[-1]) + 1))
    return runs


def _split_where_anew(run: tuple[int, int], anew: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return the run cut wherever the same pitch is more likely than not sung anew, the likeliest places first."""
    first, last = run
    likely = [first + int(at) for at in np.flatnonzero(anew[first:last] > 0.0)]
    cuts = [first, last]
    for at in sorted(likely, key=lambda at: -anew[at]):
        if min(abs(at - cut) for cut in cuts) >= _LEAST_PART_FRAMES:
            cuts.append(at)
    return list(pairwise(sorted(cuts)))


def _merged(
    runs: list[tuple[int, int]], curve: NDArray[np.float64], level: NDArray[np.float64], anew: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return the runs with fragments joined: too short ones and neighbours of one pitch without a dip between."""
    merged: list[tuple[int, int]] = []
    for first, last in runs:
        if merged:
            before = merged[-1]
            touching = first - before[1] <= 3  # frames
            apart = abs(_pitch_of(before, curve) - _pitch_of((first, last), curve))
            short = min(last - first, before[1] - before[0]) < _LEAST_NOTE_FRAMES
            if touching and (apart < _SAME_PITCH or short) and not _sung_anew(before, (first, last), anew):
                merged[-1] = (before[0], last)
                continue
        merged.append((first, last))
    loudest = max((float(level[first:last].max()) for first, last in merged), default=0.0)
    return [
        run
        for run in merged
        if run[1] - run[0] >= _LEAST_NOTE_FRAMES and float(level[run[0] : run[1]].max()) > loudest - _LOUD_RANGE_DB
    ]


def _sung_anew(before: tuple[int, int], after: tuple[int, int], anew: NDArray[np.float64]) -> bool:
    """Tell whether the voice closes between two runs that are both long enough to be notes."""
    if min(before[1] - before[0], after[1] - after[0]) < _LEAST_NOTE_FRAMES:
        return False
    near = anew[max(before[1] - _CLOSURE_FRAMES, before[0]) : min(after[0] + _CLOSURE_FRAMES, after[1])]
    return bool(near.max() > 0.0)


def _pitch_of(run: tuple[int, int], curve: NDArray[np.float64]) -> float:
    """Return the median pitch of a run without its first fifth and last tenth, where voices glide."""
    first, last = run
    length = last - first
    inner = curve[first + length // 5 : max(last - length // 10, first + length // 5 + 1)]
    return float(np.nanmedian(inner if not np.isnan(inner).all() else curve[first:last]))


def _as_notes(runs: list[tuple[int, int]], curve: NDArray[np.float64], level: NDArray[np.float64]) -> list[HeardNote]:
    levels = np.array([float(level[first:last].max()) for first, last in runs])
    loudest = float(np.percentile(levels, 90)) if len(levels) else 0.0
    notes = []
    for (first, last), loud in zip(runs, levels, strict=True):
        pitch = _pitch_of((first, last), curve)
        strength = float(np.clip(0.85 + (loud - loudest) / 30.0, 0.2, 1.0))
        notes.append(HeardNote(first / FRAMES_PER_S, last / FRAMES_PER_S, round(pitch), pitch, strength))
    return notes
