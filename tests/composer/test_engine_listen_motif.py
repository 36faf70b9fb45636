"""A phrase that comes back is heard as one, and careless tries at it help each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.composer.engine.listen.key import HeardKey, find_key, snap_notes
from services.composer.engine.listen.motif import companions
from services.composer.engine.music import HeardNote, Key, Mode

_PHRASE = (60, 64, 67, 65, 64, 62)
_OTHER = (67, 72, 71, 69, 71, 74)
_STEPS_S = (0.5, 0.25, 0.25, 0.5, 0.5, 1.0)


def _sung(*phrases: tuple[float, ...], steps_s: tuple[float, ...] = _STEPS_S) -> tuple[HeardNote, ...]:
    """Return the phrases sung one after another in the same rhythm."""
    notes, now_s = [], 0.0
    for phrase in phrases:
        for pitch, step_s in zip(phrase, steps_s, strict=True):
            notes.append(HeardNote(now_s, now_s + 0.9 * step_s, round(pitch), float(pitch)))
            now_s += step_s
    return tuple(notes)


def _found(notes: tuple[HeardNote, ...]) -> list[list[int]]:
    return companions(notes, np.array([note.sung_pitch for note in notes]))


def test_each_note_of_a_phrase_that_comes_back_knows_its_other_tries() -> None:
    """In a phrase sung thrice, with another between, each note has the two others at its place and nothing else."""
    found = _found(_sung(_PHRASE, _PHRASE, _OTHER, _PHRASE))
    for place in range(6):
        tries = [place, place + 6, place + 18]
        for one in tries:
            assert sorted(found[one]) == [other for other in tries if other != one]
        assert found[place + 12] == []


def test_other_pitches_or_another_rhythm_are_no_return() -> None:
    """The phrase two semitones higher, or with long for short, has no companions; four notes alone are too few."""
    assert not any(_found(_sung(_PHRASE, tuple(pitch + 2 for pitch in _PHRASE))))
    slow = _sung(_PHRASE, steps_s=(0.25, 1.0, 0.5, 0.25, 1.0, 0.25))
    end_s = _STEPS_S[-1] + _sung(_PHRASE)[-1].start_s
    later = [replace(note, start_s=note.start_s + end_s, end_s=note.end_s + end_s) for note in slow]
    assert not any(_found((*_sung(_PHRASE), *later)))
    assert not any(_found(_sung(_PHRASE[:4], _PHRASE[:4], steps_s=_STEPS_S[:4])))


def test_a_note_missed_once_is_put_right_by_its_other_tries() -> None:
    """Thirds sung 65 cents sharp are heard as thirds where the phrase comes back twice, and as fourths alone."""
    sharp = tuple(64.65 if pitch == 64 else pitch for pitch in _PHRASE)
    in_c = HeardKey(Key(0, Mode.MAJOR), 0.1, 0.0, 0.0)
    alone = snap_notes(_sung(sharp), in_c)
    helped = snap_notes(_sung(sharp, _PHRASE, _PHRASE), in_c)
    assert [note.pitch for note in helped[:6]] == list(_PHRASE)
    assert [note.pitch for note in alone] == [65 if pitch == 64 else pitch for pitch in _PHRASE]


def test_the_key_of_a_phrase_sung_badly_once_is_that_of_its_tries_together() -> None:
    """Errors that fall on other notes each time leave the key where it is."""
    rng = np.random.default_rng(3)
    keys = []
    for _ in range(20):
        tries = [tuple(pitch + float(rng.normal(0.0, 0.35)) for pitch in (*_PHRASE[:5], 60)) for _ in range(4)]
        keys.append(find_key(_sung(*tries)).key)
    assert keys.count(Key(0, Mode.MAJOR)) >= 17
