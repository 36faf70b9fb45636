"""Songs on paper, for programs and for people: 6/8, 3/4 and 2/4 are written so, and words stand where they are sung."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import mido
import pretty_midi
import pytest

from services.composer.engine.compose.midi import score_to_midi
from services.composer.engine.compose.record import score_from_json, score_to_json
from services.composer.engine.compose.sheet import chord_sheet
from services.composer.engine.compose.song import compose
from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.compose.words import compose_words
from services.composer.engine.compose.words_on_tune import compose_with_words
from services.composer.engine.music import Analysis, Chord, Note, Part, Section, Sung
from services.composer.engine.sing.voices import find_singing
from tests.composer.hand_made import analysis_from, analysis_of, brief
from tests.score.words import FROZEN_EN, FROZEN_ZH, TUNED_ON

if TYPE_CHECKING:
    from services.composer.engine.music import Score


def _straight(beat: float) -> float:
    """Return where a place of a beat in three stands when it is written in two: thirds are at quarters and halves."""
    inside = beat % 1.0
    return beat - inside + (0.75 * inside if inside < 2 / 3 else 0.5 + 1.5 * (inside - 2 / 3))


def in_six(name: str) -> Analysis:
    """Return a tune in 6/8 as it is heard: bars of four beats that are divided in three."""
    plain = analysis_of(name, tempo_bpm=70.0)
    melody = []
    for note in plain.melody:
        start = _straight(note.beat)
        melody.append(Note(start, _straight(note.beat + note.beats) - start, note.pitch))
    heard = analysis_from(melody, plain.key, tempo_bpm=70.0)
    return replace(heard, swing=1 / 6, compound=True)


def _song(metre: str, label: Literal["A", "B"] = "A") -> Score:
    if metre == "6/8":
        return compose(in_six("pop goes the weasel"), brief("folk", seconds=40.0), label)
    name = {"3/4": "amazing grace", "2/4": "twinkle", "4/4": "ode to joy"}[metre]
    return compose(replace(analysis_of(name), beats_per_bar=int(metre[0])), brief("folk", seconds=40.0), label)


@pytest.mark.parametrize("metre", ["2/4", "3/4", "4/4", "6/8"])
def test_midi_and_chord_sheet_name_the_metre(metre: str) -> None:
    """An independent reader finds the time signature, the bar lines and the seconds of every note where they belong."""
    score = _song(metre)
    midi = pretty_midi.PrettyMIDI(io.BytesIO(score_to_midi(score)))
    assert [(s.numerator, s.denominator, s.time) for s in midi.time_signature_changes] == [
        (int(metre[0]), int(metre[2]), 0.0)
    ]
    per_bar = 2 if metre == "6/8" else score.beats_per_bar
    downbeats = midi.get_downbeats()
    assert len(downbeats) >= 10
    for number, moment in enumerate(downbeats):
        assert moment == pytest.approx(number * per_bar * 60.0 / score.tempo_bpm, abs=0.005)
    lead = next(part for part in score.parts if part.name == "lead")
    wanted = sorted(seconds_at(note.beat, tempo_bpm=score.tempo_bpm, swing=score.swing) for note in lead.notes)
    assert sorted(note.start for note in midi.instruments[0].notes) == pytest.approx(wanted, abs=0.002)
    head, _, body = chord_sheet(score).partition("\n\n")
    assert f", {metre}, folk, A" in head
    assert ("dotted" in head) == (metre == "6/8")
    bars = sum(line.count("|") - 1 for line in body.splitlines() if line.startswith("|"))
    assert bars == round(score.total_beats / per_bar)


def test_six_eighths_are_even_on_paper() -> None:
    """A jig's eighths fall on the eighths of the file, six to the bar, and not beside them."""
    midi = pretty_midi.PrettyMIDI(io.BytesIO(score_to_midi(_song("6/8"))))
    ticks = [midi.time_to_tick(note.start) for note in midi.instruments[0].notes]
    assert len({tick % 720 for tick in ticks}) > 1
    assert all(min(tick % 240, -tick % 240) <= 1 for tick in ticks)


def test_a_compound_score_survives_json() -> None:
    """What is counted in dotted quarters stays so through JSON, and older records, which say nothing, are not."""
    score = _song("6/8", "B")
    assert score.compound
    assert score_from_json(score_to_json(score)) == score
    assert '"compound"' not in score_to_json(_song("3/4"))
    with pytest.raises(ValueError, match="neither true nor false"):
        score_from_json(score_to_json(score).replace('"compound":true', '"compound":1'))


def test_words_on_a_tune_in_six_keep_its_lilt() -> None:
    """Sung to a jig, the words fall where the jig's notes fall, thirds of a beat late, and the paper says 6/8."""
    heard = in_six("pop goes the weasel")
    sung = compose_with_words(heard, FROZEN_EN[1], brief("folk", seconds=40.0), "A", singing=find_singing("female", 1))
    played = compose(heard, brief("folk", seconds=40.0), "A")
    assert (sung.compound, sung.swing) == (True, 1 / 6) == (played.compound, played.swing)
    assert "6/8" in chord_sheet(sung)


def _of_words(words: str, voice: str) -> Score:
    return compose_words(words, brief("pop", seconds=30.0), "A", find_singing(voice, 1))


@pytest.mark.parametrize(("words", "voice"), [(FROZEN_ZH[0], "duet"), (FROZEN_EN[0], "female"), (TUNED_ON, "male")])
def test_every_syllable_is_a_lyric_event(words: str, voice: str) -> None:
    """Another's reader finds each syllable in the MIDI file in its order, at the moment at which it is sung."""
    score = _of_words(words, voice)
    found, now = [], 0.0
    for message in mido.MidiFile(file=io.BytesIO(score_to_midi(score)), charset="utf-8"):
        now += message.time
        if message.type == "lyrics":
            found.append((round(now, 2), message.text))
    every = [each for part in score.parts for each in part.sung]
    wanted = [
        (round(seconds_at(each.notes[0].beat, tempo_bpm=score.tempo_bpm, swing=score.swing), 2), each.text)
        for each in every
    ]
    assert len(found) == len(every) > 60
    assert sum(abs(a[0] - b[0]) <= 0.011 for a, b in zip(sorted(found), sorted(wanted), strict=True)) == len(found)
    assert sorted(text for _, text in found) == sorted(text for _, text in wanted)


def test_a_chord_sheet_has_the_words_under_their_chords() -> None:
    """Each chord stands over the syllable on which it comes, wide signs counted twice, under the section it is in."""
    texts = ("你好 my window", "Don't  go")
    syllables = (("你", 0.0, 0), ("好", 1.0, 0), ("my ", 2.0, 0), ("win", 3.0, 0), ("dow", 4.0, 0), ("dont ", 7.5, 1),
                 ("go", 10.0, 1))  # fmt: skip
    sung = tuple(
        Sung(text, "en", text, 0, 1, 0, line, at, breath=False, notes=(Note(beat, 0.5, 60),))
        for at, (text, beat, line) in enumerate(syllables)
    )
    named = ((0.0, "C"), (1.0, "Am7"), (4.0, "F"), (8.0, "G"), (10.0, "C"))
    chords = tuple(Chord(beat, 1.0, 0, (0, 4, 7), name) for beat, name in named)
    voice = Part("voice female", "voice", 53, drums=False, notes=(), voice="female", sung=sung)
    sections = (Section("verse", 0.0, 8.0), Section("chorus", 8.0, 4.0))
    score = replace(
        _of_words(TUNED_ON, "female"), parts=(voice,), chords=chords, sections=sections, lines=texts, total_beats=12.0
    )
    assert chord_sheet(score).splitlines()[2:] == [
        "",
        "[verse]",
        "| C Am7 | F     |",
        "C Am7      F",
        "你好 my window",
        "",
        "[chorus]",
        "| G C |",
        "F G    C",
        "Don't  go",
    ]
