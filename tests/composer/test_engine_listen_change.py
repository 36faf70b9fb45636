"""A tune changed by hand: what is given replaces what was heard, what is not given stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.composer.engine.compose.song import compose
from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen.change import change_tune
from services.composer.engine.music import Analysis, Segment
from tests.composer.hand_made import analysis_of, brief


@pytest.fixture
def heard() -> Analysis:
    """A perfectly heard tune, composed upon whole."""
    analysis = analysis_of("amazing grace", tempo_bpm=92.0)
    return replace(analysis, segment=Segment(0.0, analysis.notes[-1].end_s + 0.1, 1.0))


def test_nothing_given_changes_nothing(heard: Analysis) -> None:
    """Without a change the analysis is the one that was heard."""
    assert change_tune(heard) is heard


@pytest.mark.parametrize("semitones", [-12, -5, 1, 7])
def test_transposing_moves_notes_tune_and_key(heard: Analysis, semitones: int) -> None:
    """Every pitch and the tonic move alike, times and metre stay, and the song that follows is in that key."""
    moved = change_tune(heard, transpose=semitones)
    assert [note.pitch - semitones for note in moved.notes] == [note.pitch for note in heard.notes]
    assert [note.pitch - semitones for note in moved.melody] == [note.pitch for note in heard.melody]
    assert [note.beat for note in moved.melody] == [note.beat for note in heard.melody]
    assert (moved.key.tonic - heard.key.tonic) % 12 == semitones % 12
    assert compose(moved, brief("folk"), "A").key == moved.key


def test_transposing_stays_within_midi(heard: Analysis) -> None:
    """A tune at the end of the range is moved to the same key an octave nearer."""
    high = change_tune(heard, transpose=127 - max(note.pitch for note in heard.notes))
    higher = change_tune(high, transpose=5)
    assert max(note.pitch for note in higher.notes) <= 127
    assert (higher.key.tonic - high.key.tonic) % 12 == 5


def test_a_set_tempo_is_how_fast_the_song_is_played(heard: Analysis) -> None:
    """Another tempo moves no note in its bar, and version A is played at it."""
    slow = change_tune(heard, tempo_bpm=60.0)
    assert slow.melody == heard.melody
    assert compose(slow, brief("folk"), "A").tempo_bpm == 60.0


def test_corrected_notes_are_taken_at_their_word(heard: Analysis) -> None:
    """One pitch corrected is the one pitch that is otherwise in the tune."""
    at = 3
    wrong = heard.notes[at]
    corrected = [*heard.notes[:at], replace(wrong, pitch=wrong.pitch + 2, sung_pitch=wrong.pitch + 2.0)]
    corrected += heard.notes[at + 1 :]
    changed = change_tune(heard, notes=corrected)
    assert changed.notes == tuple(corrected)
    assert [b.pitch - a.pitch for a, b in zip(heard.melody, changed.melody, strict=True)] == [
        2 * (number == at) for number in range(len(heard.melody))
    ]
    assert changed.key == heard.key


def test_another_stretch_is_composed_upon_alone(heard: Analysis) -> None:
    """Only notes that begin in the chosen stretch are in the tune, and all that were heard stay listed."""
    half = heard.notes[len(heard.notes) // 2].start_s - 0.01
    changed = change_tune(heard, segment=Segment(half, heard.segment.end_s, 1.0))
    inside = [note.pitch for note in heard.notes if note.start_s >= half]
    assert [note.pitch for note in changed.melody] == inside
    assert changed.notes == heard.notes
    assert changed.segment.start_s == half


def test_a_stretch_without_a_note_is_refused(heard: Analysis) -> None:
    """Where nobody sings is nothing to compose upon."""
    end = heard.notes[-1].end_s
    with pytest.raises(TakeRefusedError) as refused:
        change_tune(heard, segment=Segment(end + 5.0, end + 9.0, 1.0))
    assert refused.value.code == "no_melody"


def test_all_changes_come_together(heard: Analysis) -> None:
    """Notes, stretch, key and tempo can be changed at once: the stretch of the new notes, then moved, then paced."""
    notes = [replace(note, pitch=note.pitch + 1, sung_pitch=note.pitch + 1.0) for note in heard.notes]
    changed = change_tune(heard, notes=notes, segment=Segment(0.0, notes[7].end_s, 1.0), transpose=-3, tempo_bpm=120.0)
    assert [note.pitch for note in changed.melody] == [note.pitch - 2 for note in heard.notes[:8]]
    assert changed.tempo_bpm == 120.0
