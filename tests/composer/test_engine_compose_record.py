"""Scores on paper: JSON gives back the same score, MIDI says the same to a parser that is not ours."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import mido
import pytest

from services.composer.engine.compose.midi import TICKS_PER_QUARTER, score_to_midi
from services.composer.engine.compose.record import score_from_json, score_to_json
from services.composer.engine.compose.sheet import chord_sheet
from services.composer.engine.compose.song import compose
from services.composer.engine.compose.styles import STYLES
from services.composer.engine.compose.timing import swung
from services.composer.engine.music import Chord, Key, Mode, Section
from tests.composer.hand_made import analysis_of, brief

if TYPE_CHECKING:
    from services.composer.engine.music import Score


def _score(style: str = "jazz", label: Literal["A", "B"] = "B") -> Score:
    return compose(analysis_of("amazing grace", tempo_bpm=97.3), brief(style), label)


@pytest.mark.parametrize("style", [style.name for style in STYLES])
def test_a_score_survives_json_exactly(style: str) -> None:
    """Writing and reading a score changes nothing, not even the last bit of a number."""
    score = _score(style)
    text = score_to_json(score)
    assert score_from_json(text) == score
    assert score_to_json(score_from_json(text.encode())) == text


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2}, {"tempo_bpm": 0}, {"tempo_bpm": True}, {"key": {"tonic": 12, "mode": "major"}},
        {"key": {"tonic": 0, "mode": "dorian"}}, {"melody": [[0, 1, 60]]}, {"melody": [[0, 1, 128, 90]]},
        {"melody": [[0, 1, 60, "loud"]]}, {"parts": [{}]}, {"sections": 3}, {"title": None}, {"seed": 1.5},
    ],
)  # fmt: skip
def test_what_is_not_a_score_is_refused(change: dict[str, Any]) -> None:
    """A field that is missing, of another type or out of range is a ValueError, never a broken score."""
    plain = json.loads(score_to_json(_score()))
    with pytest.raises(ValueError, match=r".+"):
        score_from_json(json.dumps({**plain, **change}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"format":1}', "[" * 200_000, '{"format": NaN}'])
def test_text_that_is_no_score_is_refused(text: str) -> None:
    """Broken JSON, other JSON, nesting bombs and NaN all end in ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        score_from_json(text)


def test_midi_holds_every_note_where_the_score_has_it() -> None:
    """Parsed back by mido, each part has its notes at the swung ticks, on its program, and every note ends."""
    score = _score()
    assert score.swing > 0.0
    file = mido.MidiFile(file=io.BytesIO(score_to_midi(score)))
    assert file.type == 1
    assert file.ticks_per_beat == TICKS_PER_QUARTER
    assert len(file.tracks) == len(score.parts) + 1
    for part, track in zip(score.parts, file.tracks[1:], strict=True):
        tick = 0
        started, ended, programs, channels = [], 0, [], set()
        for message in track:
            tick += message.time
            if message.type == "note_on":
                started.append((tick, message.note, message.velocity))
                channels.add(message.channel)
            ended += message.type == "note_off"
            if message.type == "program_change":
                programs.append(message.program)
        wanted = [(round(swung(n.beat, score.swing) * TICKS_PER_QUARTER), n.pitch, n.velocity) for n in part.notes]
        assert sorted(started) == sorted(wanted)
        assert ended == len(part.notes)
        assert programs == ([] if part.drums else [part.program])
        assert channels == {9} if part.drums else 9 not in channels


def test_midi_names_tempo_metre_key_and_sections() -> None:
    """The first track carries what a notation program needs to set the song."""
    score = _score("ballad", "A")
    conductor = mido.MidiFile(file=io.BytesIO(score_to_midi(score))).tracks[0]
    found = {message.type: message for message in conductor}
    assert mido.tempo2bpm(found["set_tempo"].tempo) == pytest.approx(score.tempo_bpm, rel=1e-5)
    assert found["time_signature"].numerator == score.beats_per_bar
    assert found["key_signature"].key == "C"
    markers = [message.text for message in conductor if message.type == "marker"]
    assert markers == [section.name for section in score.sections]
    assert sum(message.time for message in conductor) == round(score.total_beats * TICKS_PER_QUARTER)


@pytest.mark.parametrize("style", [style.name for style in STYLES])
def test_a_chord_sheet_has_every_chord_in_its_bar(style: str) -> None:
    """Read bar by bar, the sheet gives the chords of the score at their beats, under the sections in their order."""
    score = _score(style)
    head, _, body = chord_sheet(score).partition("\n\n")
    assert head.splitlines()[0] == score.title
    assert f"{score.tempo_bpm:.0f} bpm, {score.beats_per_bar}/4, {score.style}, {score.label}" in head
    names, bars = [], []
    for line in body.splitlines():
        if line.startswith("["):
            names.append(line.strip("[]"))
        bars += [bar.split() for bar in line.split("|")[1:-1]]
    assert names == [section.name for section in score.sections]
    assert len(bars) == round(score.total_beats / score.beats_per_bar)
    for number, bar in enumerate(bars):
        begin = number * score.beats_per_bar
        found = [chord.name for chord in score.chords if begin <= chord.beat < begin + score.beats_per_bar]
        assert [name for name in bar if name != "%"][-len(found) :] == found if found else len(bar) == 1


def test_a_bar_in_which_the_chord_goes_on_is_a_percent_sign() -> None:
    """A chord of two bars is written once, a change within a bar behind the sign, and a section names what sounds."""
    key, score = Key(0, Mode.MAJOR), _score()
    chords = tuple(
        Chord(beat, beats, 0, (0, 4, 7), name)
        for beat, beats, name in ((0.0, 8.0, "C"), (8.0, 2.0, "Am"), (10.0, 4.0, "F"), (14.0, 10.0, "G7"))
    )
    sections = (Section("verse", 0.0, 16.0), Section("chorus", 16.0, 8.0))
    sheet = chord_sheet(
        replace(score, title="T", key=key, tempo_bpm=90.0, beats_per_bar=4, chords=chords, sections=sections)
    )
    assert [line.split() for line in sheet.splitlines()[2:]] == [
        [], ["[verse]"], ["|", "C", "|", "%", "|", "Am", "F", "|", "%", "G7", "|"],
        [], ["[chorus]"], ["|", "G7", "|", "%", "|"],
    ]  # fmt: skip
