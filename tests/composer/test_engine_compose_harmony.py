"""Chords and voices: they fit the tune, move as a listener expects and keep out of the lead's way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from services.composer.engine.compose.chords import vocabulary
from services.composer.engine.compose.harmony import Ending, chord_at, harmonise
from services.composer.engine.compose.progression import roots_differ
from services.composer.engine.compose.tune import read_tune
from services.composer.engine.compose.voicing import parallels, voice_chords
from services.composer.engine.music import Chord, Key, Mode, Note
from tests.composer.hand_made import TUNES, analysis_of

C_MAJOR = Key(0, Mode.MAJOR)
ENDINGS: tuple[Ending, Ending] = ("open", "closed")


def _chords(
    name: str, colour: str = "plain", *, ending: Ending = "closed", avoid: tuple[Chord, ...] = ()
) -> tuple[Chord, ...]:
    analysis = analysis_of(name)
    tune = read_tune(analysis.melody, analysis.beats_per_bar)
    return harmonise(
        tune.notes,
        analysis.key,
        beats=tune.beats,
        beats_per_bar=tune.beats_per_bar,
        colour=colour,
        ending=ending,
        avoid=avoid,
    )


def _share_of_chord_tones(name: str, chords: tuple[Chord, ...]) -> float:
    notes = [note for note in analysis_of(name).melody if note.beat >= 0]
    inside = sum(n.beats for n in notes if n.pitch % 12 in chord_at(chords, n.beat).pitch_classes)
    return inside / sum(n.beats for n in notes)


@pytest.mark.parametrize("name", sorted(TUNES))
@pytest.mark.parametrize("colour", ["plain", "sevenths", "modal"])
def test_chords_cover_the_tune_without_gaps(name: str, colour: str) -> None:
    """Every beat of the tune has exactly one chord."""
    analysis = analysis_of(name)
    chords = _chords(name, colour)
    ends = [chord.beat + chord.beats for chord in chords]
    assert chords[0].beat == 0.0
    assert [chord.beat for chord in chords[1:]] == ends[:-1]
    assert ends[-1] == read_tune(analysis.melody, analysis.beats_per_bar).beats


def test_chords_fit_the_tune_better_than_the_same_chords_in_another_order() -> None:
    """Over all tunes most of the melody is made of chord tones, and shuffling the chords destroys that."""
    rng = np.random.default_rng(3)
    fitting, shuffled = [], []
    for name in sorted(TUNES):
        chords = _chords(name)
        order = rng.permutation(len(chords))
        mixed = tuple(
            Chord(chord.beat, chord.beats, chords[i].root, chords[i].pitch_classes, chords[i].name)
            for chord, i in zip(chords, order, strict=True)
        )
        fitting.append(_share_of_chord_tones(name, chords))
        shuffled.append(_share_of_chord_tones(name, mixed))
    assert np.mean(fitting) >= 0.72
    assert min(fitting) >= 0.6
    assert np.mean(fitting) - np.mean(shuffled) >= 0.2


@pytest.mark.parametrize("name", sorted(TUNES))
def test_a_closed_statement_ends_on_the_tonic(name: str) -> None:
    """The last chord of a closed statement stands on the tonic of the key."""
    assert _chords(name, ending="closed")[-1].root == analysis_of(name).key.tonic


def test_an_open_statement_can_end_on_the_dominant() -> None:
    """Where the tune leaves its last bar empty, an open ending turns to the dominant and a closed one does not."""
    melody = [
        Note(float(beat), 1.0, pitch) for beat, pitch in enumerate((60, 64, 67, 64, 65, 69, 65, 60, 62, 67, 65, 62))
    ]
    ends = [harmonise(melody, C_MAJOR, beats=16.0, beats_per_bar=4, ending=ending)[-1].root for ending in ENDINGS]
    assert ends == [7, 0]


@pytest.mark.parametrize("name", sorted(TUNES))
def test_secondary_dominants_resolve(name: str) -> None:
    """A secondary dominant in the rich vocabulary is followed by the chord it leads to."""
    analysis = analysis_of(name)
    leading = {
        ((analysis.key.tonic + c.degree) % 12, c.pitch_classes(analysis.key)): (analysis.key.tonic + c.resolves) % 12
        for c in vocabulary("sevenths", analysis.key.mode)
        if c.function == "X"
    }
    chords = _chords(name, "sevenths")
    for chord, following in pairwise(chords):
        if (chord.root, chord.pitch_classes) in leading and following.name != chord.name:
            assert following.root == leading[chord.root, chord.pitch_classes]


def test_the_other_version_gets_other_chords() -> None:
    """Told what version A uses, the harmoniser chooses other chords for at least half of every tune."""
    for name in sorted(TUNES):
        plain = _chords(name)
        assert roots_differ(_chords(name, "sevenths", avoid=plain), plain) >= 0.5, name


def test_voices_move_less_than_block_chords_and_avoid_parallels() -> None:
    """Led voices travel less than half as far as root-position chords and hardly ever in parallel fifths or octaves."""
    led_steps = block_steps = led_parallels = block_parallels = 0
    for name in sorted(TUNES):
        chords = _chords(name)
        led = voice_chords(chords, voices=4, low=45, highs=[67] * len(chords))
        block = [tuple(48 + c.root + step for step in (0, *_shape(c))) for c in chords]
        for voicings, is_led in ((led, True), (block, False)):
            for old, new in pairwise(voicings):
                steps = sum(abs(a - b) for a, b in zip(old, new, strict=True))
                count = parallels(old, new)
                led_steps, block_steps = led_steps + steps * is_led, block_steps + steps * (not is_led)
                led_parallels, block_parallels = led_parallels + count * is_led, block_parallels + count * (not is_led)
    assert led_steps < 0.5 * block_steps
    assert led_parallels < 0.2 * block_parallels


def _shape(chord: Chord) -> tuple[int, int, int]:
    third, fifth = ((pc - chord.root) % 12 for pc in chord.pitch_classes[1:3])
    return third, fifth, 12


def test_every_voicing_has_its_third_and_stays_in_its_window() -> None:
    """No voicing lacks the tone that makes it major or minor, and none leaves the given range."""
    for name in sorted(TUNES):
        chords = _chords(name, "sevenths")
        highs = [60 + index % 8 for index in range(len(chords))]
        for chord, high, voicing in zip(
            chords, highs, voice_chords(chords, voices=4, low=44, highs=highs), strict=True
        ):
            assert chord.pitch_classes[1] in {pitch % 12 for pitch in voicing}
            assert voicing[0] >= 44
            assert voicing[-1] <= high
            assert {pitch % 12 for pitch in voicing} <= set(chord.pitch_classes)
