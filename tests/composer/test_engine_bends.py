"""The singer's own slides and vibrato: heard in the take, kept in the song, played and written as pitch bends."""

from __future__ import annotations

import io
from dataclasses import replace

import mido
import numpy as np
import pytest

from services.composer.engine.compose.midi import score_to_midi
from services.composer.engine.compose.record import score_from_json, score_to_json
from services.composer.engine.compose.song import compose
from services.composer.engine.listen.analyze import listen_to
from services.composer.engine.listen.bends import MOST_CENTS, bend_of
from services.composer.engine.listen.f0 import FRAMES_PER_S, track_f0
from services.composer.engine.listen.record import analysis_from_json, analysis_to_json
from services.composer.engine.music import RENDER_RATE, HeardNote, Part
from services.composer.engine.render.soundfont import find_soundfont
from services.composer.engine.render.synth import Player
from tests.composer.hand_made import analysis_of, brief
from tests.composer.singer import CAREFUL, sing
from tests.composer.tunes import TUNING_TUNES

_NOTE = HeardNote(0.5, 1.5, 69, 69.0)


def _curve(cents: np.ndarray) -> np.ndarray:
    """Return two seconds of pitch around A4, silent outside the note, that is off by `cents` within it."""
    f0_hz = np.zeros(2 * FRAMES_PER_S, dtype=np.float32)
    f0_hz[50:150] = 440.0 * 2.0 ** (cents / 1200.0)
    return f0_hz


def test_slides_and_swings_are_kept_and_mistuning_is_not() -> None:
    """A scoop of 70 cents and a vibrato of 40 come out as sung; a note that is 40 cents flat throughout has no bend."""
    time = np.arange(100) / FRAMES_PER_S
    scoop = -70.0 * np.exp(-time / 0.08)
    swing = 40.0 * np.sin(2 * np.pi * 5.0 * time) * (time > 0.4)
    bend = np.array(bend_of(_NOTE, _curve(scoop + swing)))
    moments = np.linspace(0, 99, len(bend)).round().astype(int)
    assert len(bend) == 33
    assert bend[0] < -45
    assert np.corrcoef(bend, (scoop + swing)[moments])[0, 1] > 0.95
    assert 25 < bend[15:].max() <= 45
    assert bend_of(replace(_NOTE, sung_pitch=68.6), _curve(np.full(100, -40.0))) == ()


@pytest.mark.parametrize(
    ("note", "curve"),
    [
        (replace(_NOTE, end_s=0.55), _curve(np.linspace(-80, 80, 100))),
        (_NOTE, np.zeros(200, dtype=np.float32)),
        (replace(_NOTE, sung_pitch=71.0), _curve(np.zeros(100))),
        (replace(_NOTE, start_s=5.0, end_s=6.0), _curve(np.zeros(100))),
    ],
    ids=["short", "unvoiced", "moved by hand", "beyond the take"],
)
def test_what_the_curve_does_not_show_is_not_bent(note: HeardNote, curve: np.ndarray) -> None:
    """A note too short to tell, one without voice, one that was moved since, and one beyond the take stay straight."""
    assert bend_of(note, curve) == ()


def test_a_far_slide_stays_near_its_note() -> None:
    """A slide that begins a fifth below is played from as near as allowed."""
    bend = bend_of(_NOTE, _curve(np.concatenate((np.linspace(-700, 0, 10), np.zeros(90)))))
    assert bend[0] == -MOST_CENTS
    assert bend[-1] == 0


def test_the_song_of_a_hum_carries_its_bends() -> None:
    """What was hummed with vibrato is bent in analysis, lead and both records; bass, pad and fills stay straight."""
    take = sing(TUNING_TUNES[5], seed=6, style=replace(CAREFUL, vibrato_cents=45.0))
    heard = listen_to(take.samples)
    assert sum(bool(note.bend) for note in heard.melody) > len(heard.melody) / 2
    assert analysis_from_json(analysis_to_json(heard)).melody == heard.melody
    score = compose(heard, brief("folk", seconds=60, seed=3), "A")
    assert {note.bend for note in heard.melody if note.bend} & {note.bend for note in score.melody}
    assert score_from_json(score_to_json(score)) == score
    assert not [
        note
        for part in score.parts
        if part.role in {"bass", "pad", "fill", "drums"}
        for note in part.notes
        if note.bend
    ]


def _bent_score(program: int, bend: tuple[int, ...]) -> tuple[Part, bytes]:
    score = compose(analysis_of("amazing grace"), brief("folk", seed=1), "A")
    lead = next(part for part in score.parts if part.role == "lead")
    notes = tuple(replace(note, bend=bend) for note in lead.notes)
    part = replace(lead, program=program, notes=notes)
    return part, score_to_midi(replace(score, parts=(part,)))


def test_midi_says_the_bends_as_another_library_reads_them() -> None:
    """Each note's bends stand between its beginning and its end and come back to the centre; a piano has none."""
    _, written = _bent_score(73, (-50, 0, 100))
    events = list(mido.MidiFile(file=io.BytesIO(written)).tracks[1])
    wheel = [message.pitch for message in events if message.type == "pitchwheel"]
    assert wheel[:4] == [round(8192 * -0.25), 0, round(8192 * 0.5), 0]
    sounding, bent = 0, 0
    for message in events:
        if message.type == "note_on":
            sounding, bent = sounding + 1, 0
        elif message.type == "note_off":
            assert bent == 0
            sounding -= 1
        elif message.type == "pitchwheel":
            bent = message.pitch
    _, of_piano = _bent_score(0, (-50, 0, 100))
    assert not [each for each in mido.MidiFile(file=io.BytesIO(of_piano)).tracks[1] if each.type == "pitchwheel"]


def test_a_bend_is_heard() -> None:
    """A flute bent up by 60 cents sounds 60 cents higher than the same flute straight."""
    score = compose(analysis_of("amazing grace"), brief("folk", seed=1), "A")
    player = Player(find_soundfont(None))
    heard = []
    for bend in ((1, 1), (61, 61)):
        part, _ = _bent_score(73, bend)
        stem = player.play(part, score, 20 * RENDER_RATE)
        mono = stem.mean(axis=1)[: 20 * RENDER_RATE]
        slower = np.interp(np.arange(0, len(mono), RENDER_RATE / 16_000), np.arange(len(mono)), mono)
        heard.append(track_f0(slower.astype(np.float32)))
    both = (heard[0] > 0) & (heard[1] > 0)
    cents = 1200.0 * np.log2(heard[1][both] / heard[0][both])
    assert float(np.median(cents)) == pytest.approx(60.0, abs=6.0)
