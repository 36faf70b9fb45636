"""The sung voice as sound: on pitch, on the beat, in words that can be told apart, the same each time."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import pyworld
from numpy.typing import NDArray

from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.compose.words import compose_words
from services.composer.engine.music import RENDER_RATE, Brief, Sung
from services.composer.engine.render.song import song_samples
from services.composer.engine.sing.sounds import chinese_spelling, say_chinese, say_english
from services.composer.engine.sing.speak import SPEECH_RATE, speak
from services.composer.engine.sing.vocoder import FRAME_S, put_together, take_apart
from services.composer.engine.sing.voice import phrases, sing_part
from services.composer.engine.sing.voices import find_singing
from tests.score.singing import cents_off, english_consonant, onsets_ms, within
from tests.score.syllables import CLOSED_SET, ranks, top_shares
from tests.score.voice import closed_set_score, pieces_of, sung_song
from tests.score.words import FROZEN_EN, FROZEN_ZH


@pytest.mark.parametrize(("voice", "words"), [("female", FROZEN_ZH[0]), ("male", FROZEN_EN[0])])
def test_notes_are_on_pitch(voice: str, words: str) -> None:
    """Nearly every note is heard within 50 cents of its pitch, and none of a tune that is a semitone higher."""
    score, part, stem = sung_song(words, voice)
    assert within(cents_off(stem, part, score), 50.0) >= 0.98
    assert within(cents_off(stem, part, score, transpose=1), 50.0) <= 0.02


@pytest.mark.parametrize(("voice", "words"), [("female", FROZEN_ZH[0]), ("male", FROZEN_EN[0])])
def test_vowels_are_on_the_beat(voice: str, words: str) -> None:
    """Consonants come before the beat, so that vowels begin within 30 ms of it; beats 60 ms later are missed."""
    score, part, stem = sung_song(words, voice)
    found = onsets_ms(stem, part, score)
    assert len(found) >= 25
    assert within(found, 30.0) >= 0.95
    assert within(onsets_ms(stem, part, score, late_s=0.06), 30.0) <= 0.1


@pytest.mark.parametrize(
    ("text", "consonant"),
    [("the ", "v"), ("thing", "s"), ("street", "r"), ("shine", "s"), ("wind", ""), ("queen", ""), ("you", ""),
     ("o", ""), ("back", "b"), ("'s", "")],
)  # fmt: skip
def test_the_ear_reads_the_consonant_before_a_vowel(text: str, consonant: str) -> None:
    """The last consonant before the vowel counts, glides and none are left out."""
    assert english_consonant(text) == consonant


@pytest.mark.parametrize(("voice", "least"), [("male", 0.85), ("female", 0.75)])
def test_syllables_can_be_told_apart(voice: str, least: float) -> None:
    """Of 58 sung syllables enough are nearest to themselves among those of other voices; of noise hardly any are."""
    score = closed_set_score(voice)
    sound = sing_part(score.parts[0], score, song_samples(score))
    truth = range(len(CLOSED_SET))
    noise = np.random.default_rng(1).standard_normal((len(truth), RENDER_RATE // 2))
    assert top_shares(ranks(pieces_of(sound, score), RENDER_RATE), truth)[0] >= least
    assert top_shares(ranks(list(noise), RENDER_RATE), truth)[0] <= 0.1


def test_the_same_song_is_sung_alike() -> None:
    """The same part and score give the same samples, another seed gives others, and nobody sings in a rest."""
    score, part, stem = sung_song(FROZEN_ZH[2], "male")
    again = sing_part(part, score, song_samples(score))
    assert np.array_equal(stem, again)
    assert not np.array_equal(stem, sing_part(part, replace(score, seed=score.seed + 1), song_samples(score)))
    before = stem[: round((60.0 / score.tempo_bpm * part.notes[0].beat - 0.8) * RENDER_RATE)]
    assert float(np.abs(before).max()) == 0.0
    assert float(np.abs(stem).max()) < 1.0


def test_a_phrase_that_comes_again_is_sung_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words on the same notes are made once, sound alike but for their loudness, and other words do not."""
    made: list[int] = []

    def counted(pitch: NDArray[np.float64], spectrum: NDArray[np.float32], noise: NDArray[np.float32]) -> Any:
        made.append(len(pitch))
        return put_together(pitch, spectrum, noise)

    monkeypatch.setattr("services.composer.engine.sing.voice.put_together", counted)
    score = compose_words(FROZEN_EN[0], Brief("Song", "pop", "", 75.0, 1), "A", find_singing("male", 1))
    part = score.parts[0]
    stem = sing_part(part, score, song_samples(score))[:, 0]
    every = list(phrases(part.sung))
    assert len(made) < len(every)

    def heard(phrase: list[Sung]) -> NDArray[np.float32]:
        start = seconds_at(phrase[0].notes[0].beat, tempo_bpm=score.tempo_bpm, swing=score.swing)
        return stem[round(start * RENDER_RATE) :][: RENDER_RATE * 2]

    def alike(one: list[Sung], other: list[Sung]) -> float:
        return float(np.corrcoef(heard(one), heard(other))[0, 1])

    words = ["".join(each.text for each in phrase) for phrase in every]
    first = words.index("hold on to the morning ")
    again = words.index("hold on to the morning ", first + 1)
    assert alike(every[first], every[again]) > 0.97
    assert alike(every[first], every[first - 1]) < 0.5
    levels = [float(np.std(heard(every[at]))) for at in (first, again)]
    steps = every[again][0].notes[0].velocity - every[first][0].notes[0].velocity
    assert steps > 0
    assert 20.0 * np.log10(levels[1] / levels[0]) == pytest.approx(0.12 * steps, abs=0.05)


def test_noise_is_found_in_few_frames_and_drawn_between_them() -> None:
    """The share of noise lies near that of every single frame where there is a voice; that of another word does not."""
    speech, other = speak("window", "en"), speak("shadow", "en")
    rough, at = pyworld.dio(speech.sound, SPEECH_RATE, f0_floor=60.0, f0_ceil=400.0, frame_period=1000 * FRAME_S)
    pitch = pyworld.stonemask(speech.sound, rough, at, SPEECH_RATE)
    whole = pyworld.d4c(speech.sound, pitch, at, SPEECH_RATE)
    voiced = pitch > 0
    found = take_apart(speech).noise
    assert float(np.abs(found - whole)[voiced].mean()) < 0.03
    wrong = np.resize(take_apart(other).noise, whole.shape)
    assert float(np.abs(wrong - whole)[voiced].mean()) > 0.1


def test_a_phrase_ends_where_the_singer_breathes() -> None:
    """Every phrase begins with a breath and has none inside."""
    _, part, _ = sung_song(FROZEN_ZH[2], "male")
    found = list(phrases(part.sung))
    assert sum(map(len, found)) == len(part.sung)
    assert all(phrase[0].breath and not any(each.breath for each in phrase[1:]) for phrase in found)


def test_every_chinese_syllable_is_said() -> None:
    """Characters of all sounds there are come back as one syllable each, also those that espeak-ng would spell."""
    for spelt in ("xiong1", "jiong1", "qiong1", "hm1", "m1", "n1", "lve1", "er1", "yo1"):
        plain = chinese_spelling("", spelt[:-1])
        assert len(say_chinese(["ni1", plain, "hao1"]).syllables) == 3
    whole = say_chinese(["zhuang1", "ou1"]).syllables
    assert whole[0].onset == ("ts.",)
    assert whole[1].onset == ()
    assert all(a.start_s <= a.vowel_s <= a.coda_s <= a.end_s <= b.start_s for a, b in pairwise(whole))


@pytest.mark.parametrize(
    ("word", "count", "onsets"),
    [
        ("beautiful", 3, [("b",), (), ("f",)]),
        ("extraordinary", 5, [(), ("s", "t", "r"), ("d",), ("n",), ("r",)]),
        ("strengths", 1, [("s", "t", "r")]),
        ("don't", 1, [("d",)]),
    ],
)
def test_english_words_are_cut_before_their_consonants(word: str, count: int, onsets: list[tuple[str, ...]]) -> None:
    """A word falls into its syllables, each with the consonants that may begin it."""
    assert [each.onset for each in say_english(word, count).syllables] == onsets


def test_what_makes_no_sound() -> None:
    """Words without any sound are no failure: nothing is said."""
    assert speak("...", "en").phones == ()
    assert say_english("...", 1).syllables == ()


def test_whatever_is_written_is_sung() -> None:
    """Odd words, single sounds and long lines come out as sound without a failure."""
    words = "嗯\nhmm brr K TV 儿\n" + "哎呀" * 30 + "\nxqzt 3.14 café " + "tick tock " * 20
    score = compose_words(words, Brief("Song", "rock", "", 30.0, 3), "B", find_singing("duet", 3))
    for part in score.parts:
        if part.voice:
            stem = sing_part(part, score, song_samples(score))
            assert np.isfinite(stem).all()
            assert float(np.abs(stem).max()) > 0.01
