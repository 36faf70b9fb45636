"""The stages put together: segment, record, and the bundled hum as a take whose truth is known."""

from __future__ import annotations

import hashlib
import json
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.composer.engine.listen.analyze import analyze, cut_to_segment, listen_to
from services.composer.engine.listen.record import (
    analysis_from_json,
    analysis_to_json,
    check_from_json,
    check_to_json,
)
from services.composer.engine.listen.segment import pick_segment, split_phrases
from services.composer.engine.listen.take import check_take
from services.composer.engine.music import ANALYSIS_RATE, Analysis, HeardNote, Key, Mode
from services.mesh.hum import SAMPLE_SEED, SAMPLE_TEMPO_BPM, SAMPLE_TUNE, sample_notes, synthesize_hum, write_sample_hum
from tests.composer.hearing import note_f1
from tests.composer.singer import sing, speak
from tests.composer.tunes import TUNING_TUNES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    """Return the analysis of the bundled hum at the analysis rate."""
    return analyze(synthesize_hum(SAMPLE_TUNE, SAMPLE_TEMPO_BPM, rate=ANALYSIS_RATE, seed=SAMPLE_SEED))


def test_the_bundled_hum_is_heard_as_it_was_sung(analysis: Analysis) -> None:
    """Every note, the key, the tempo, the metre and the note values of the sample come out right."""
    assert note_f1(sample_notes(), analysis.notes) == (1.0, 0)
    assert analysis.key == Key(2, Mode.MAJOR)
    assert analysis.tempo_bpm == pytest.approx(SAMPLE_TEMPO_BPM, rel=0.02)
    assert analysis.beats_per_bar == 4
    onsets = np.concatenate(([0.0], np.cumsum([beats for beats, _ in SAMPLE_TUNE])[:-1]))
    assert [note.beat for note in analysis.melody] == onsets.tolist()
    assert [(note.beats, note.pitch) for note in analysis.melody] == list(SAMPLE_TUNE)


def test_the_bundled_hum_is_a_proper_file_and_always_the_same(tmp_path: Path) -> None:
    """The file is 15 to 20 s of 44.1 kHz mono in 16 bits, neither clipped nor faint, and twice the same bytes."""
    first, second = write_sample_hum(tmp_path / "one.wav"), write_sample_hum(tmp_path / "two.wav")
    with wave.open(str(first), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (44_100, 1, 2)
        assert 15.0 <= file.getnframes() / 44_100 <= 20.0
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    assert 8_000 < np.abs(samples.astype(np.int64)).max() < 32_000
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def test_an_analysis_comes_back_exactly_from_its_record(analysis: Analysis) -> None:
    """Through JSON text everything but the rounded pitch curve is equal, and a second time the curve too."""
    text = json.dumps(analysis_to_json(analysis), allow_nan=False)
    back = analysis_from_json(json.loads(text))
    assert json.dumps(analysis_to_json(back)) == text
    assert (back.notes, back.melody, back.segment) == (analysis.notes, analysis.melody, analysis.segment)
    assert (back.key, back.tempo_bpm, back.beats_per_bar) == (analysis.key, analysis.tempo_bpm, analysis.beats_per_bar)
    assert (back.key_margin, back.tuning_cents) == (analysis.key_margin, analysis.tuning_cents)
    assert back.drift_cents_per_s == analysis.drift_cents_per_s
    assert np.abs(back.f0_hz - analysis.f0_hz).max() <= 0.0051
    assert back.f0_hz.dtype == np.float32


def test_the_measures_of_a_take_come_back_from_their_record() -> None:
    """A stored check is equal to the one that was taken."""
    check = check_take(speak(3.0, 1))
    assert check_from_json(json.loads(json.dumps(check_to_json(check), allow_nan=False))) == check


def test_a_resumed_stage_gives_what_an_unbroken_run_gives() -> None:
    """Cutting a stored and restored analysis to its segment gives the same notes and melody as going straight on."""
    samples = sing(TUNING_TUNES[5], seed=3).samples
    whole = listen_to(samples)
    restored = analysis_from_json(json.loads(json.dumps(analysis_to_json(whole))))
    straight, resumed = cut_to_segment(whole), cut_to_segment(restored)
    assert (straight.notes, straight.melody, straight.segment) == (resumed.notes, resumed.melody, resumed.segment)


def test_the_segment_is_the_tune_and_not_the_talk_before_it() -> None:
    """After five seconds of speech and a pause the segment holds the tune, and key, tempo and beats are the tune's."""
    take = sing(TUNING_TUNES[0], seed=2, snr_db=40.0)
    talk = np.concatenate([speak(5.0, 3) * np.float32(0.4), np.zeros(3 * ANALYSIS_RATE, dtype=np.float32)])
    heard = cut_to_segment(listen_to(np.concatenate([talk, take.samples])))
    start = len(talk) / ANALYSIS_RATE
    assert heard.segment.start_s == pytest.approx(start + take.notes[0].start_s, abs=0.25)
    assert heard.segment.end_s == pytest.approx(start + take.notes[-1].end_s, abs=0.4)
    assert len(heard.melody) == pytest.approx(len(take.notes), abs=1)
    assert heard.tempo_bpm == pytest.approx(take.tempo_bpm, rel=0.04)
    assert heard.melody[0].beat <= 0.0


def test_a_monotone_is_a_worse_segment_than_a_tune() -> None:
    """Of two stretches of one length far apart, the one with more pitches wins with the higher score."""
    drone = [HeardNote(0.5 * i, 0.5 * i + 0.4, 60, 60.0) for i in range(24)]
    steps = (60, 62, 64, 67) * 6
    tune = [HeardNote(20 + 0.5 * i, 20 + 0.5 * i + 0.4, pitch, float(pitch)) for i, pitch in enumerate(steps)]
    both = pick_segment([*drone, *tune], 40.0)
    assert both.start_s == pytest.approx(19.95)
    assert both.score > pick_segment(drone, 40.0).score
    assert 0.0 <= pick_segment(drone, 40.0).score < both.score <= 1.0


def test_a_long_take_is_cut_to_what_can_be_composed_upon() -> None:
    """Three minutes without any pause give a segment of at most 34 s, not an error."""
    notes = [HeardNote(0.4 * i, 0.4 * i + 0.39, 60 + i % 7, 60.0 + i % 7) for i in range(450)]
    segment = pick_segment(notes, 180.0)
    assert 10.0 < segment.end_s - segment.start_s <= 34.2
    assert len(split_phrases(notes)) == 1
    assert pick_segment((), 5.0).score == 0.0
