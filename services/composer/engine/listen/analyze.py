"""The listening stages in their order: one function each for what a job stores, and one that runs them all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen.f0 import track_f0
from services.composer.engine.listen.key import find_key, snap_notes
from services.composer.engine.listen.notes import segment_notes
from services.composer.engine.listen.segment import notes_within, pick_segment
from services.composer.engine.listen.take import LONGEST_S, check_take, judge_length, judge_take
from services.composer.engine.listen.tempo import find_tempo, onsets_expected, quantise
from services.composer.engine.music import ANALYSIS_RATE, Analysis, Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.music import TakeCheck


def admit_take(samples: NDArray[np.float32]) -> TakeCheck:
    """Return the measures of a take that can be composed upon (stage audio_check).

    Raises `TakeRefusedError` for any other.
    """
    judge_length(len(samples) / ANALYSIS_RATE)
    readable = np.nan_to_num(samples[: int(LONGEST_S + 1) * ANALYSIS_RATE])
    f0_hz = track_f0(readable)
    check = replace(check_take(readable, f0_hz=f0_hz), duration_s=len(samples) / ANALYSIS_RATE)
    judge_take(check, f0_hz, segment_notes(f0_hz, readable), readable)
    return check


def listen_to(samples: NDArray[np.float32]) -> Analysis:
    """Return what is heard in the whole take, its melody too (stage audio_analyze); the segment is all of it.

    Raises `TakeRefusedError` with no_melody when there is no note at all.
    """
    samples = np.nan_to_num(samples)
    f0_hz = track_f0(samples)
    sung = segment_notes(f0_hz, samples)
    if not sung:
        raise TakeRefusedError("no_melody", "no note was heard")
    heard = find_key(sung)
    notes = snap_notes(sung, heard)
    tempo = find_tempo(notes, heard.key)
    again = segment_notes(f0_hz, samples, onsets_expected(notes, tempo, len(f0_hz)))
    if len(again) != len(sung):
        heard = find_key(again)
        notes = snap_notes(again, heard)
        tempo = find_tempo(notes, heard.key)
    return Analysis(
        f0_hz=f0_hz,
        notes=notes,
        melody=quantise(notes, tempo, f0_hz),
        key=heard.key,
        key_margin=heard.margin,
        tempo_bpm=tempo.bpm,
        beats_per_bar=tempo.beats_per_bar,
        swing=tempo.swing,
        compound=tempo.compound,
        tuning_cents=heard.tuning_cents,
        drift_cents_per_s=heard.drift_cents_per_s,
        segment=Segment(0.0, len(samples) / ANALYSIS_RATE, 1.0),
    )


def cut_to_segment(analysis: Analysis) -> Analysis:
    """Return the analysis with the best segment chosen and its tune quantised anew (stage segment_pick).

    Key, tempo and metre are those of the segment: what lies outside it may be another song.
    """
    segment = pick_segment(analysis.notes, analysis.segment.end_s)
    inside = notes_within(analysis.notes, segment)
    if len(inside) == len(analysis.notes):
        return replace(analysis, segment=segment)
    heard = find_key(inside)
    snapped = snap_notes(inside, heard)
    tempo = find_tempo(snapped, heard.key)
    by_start = {note.start_s: note for note in snapped}
    return replace(
        analysis,
        notes=tuple(by_start.get(note.start_s, note) for note in analysis.notes),
        melody=quantise(snapped, tempo, analysis.f0_hz),
        key=heard.key,
        key_margin=heard.margin,
        tempo_bpm=tempo.bpm,
        beats_per_bar=tempo.beats_per_bar,
        swing=tempo.swing,
        compound=tempo.compound,
        tuning_cents=heard.tuning_cents,
        drift_cents_per_s=heard.drift_cents_per_s,
        segment=segment,
    )


def analyze(samples: NDArray[np.float32]) -> Analysis:
    """Return the analysis of a mono take at `ANALYSIS_RATE`, its best segment chosen; all stages in one call.

    Raises `TakeRefusedError` when the take cannot be composed upon.
    """
    admit_take(samples)
    return cut_to_segment(listen_to(samples))
