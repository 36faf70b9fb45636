"""The sound that a phrase is sung from: its words said, taken apart, and cut into syllables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.sing.sounds import say_chinese, say_english
from services.composer.engine.sing.speak import SPEECH_RATE
from services.composer.engine.sing.vocoder import FRAME_S, take_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import Sung
    from services.composer.engine.sing.sounds import SpokenSyllable, Utterance
    from services.composer.engine.sing.vocoder import Frames

_SPOKEN_RATE = 130
_MOST_TOGETHER = 10
"""Chinese syllables that are said in one go."""
_VOICED = frozenset("mnNlrjwvzZDbdg")
_VOICED_BAND = (700.0, 3500.0, 6.0)
_R_BAND = (1800.0, 3500.0, 8.0)
_VOICELESS_BAND = (150.0, 1000.0, 9.0)
"""Hertz between which a vowel is told from the consonant before it, and how many decibels under its level. An English r
is told by its third formant, which lies low."""
_NEAR = 12
"""Frames from where espeak-ng says a vowel begins within which it is heard to begin."""


@dataclass(frozen=True)
class Source:
    """What was said for one phrase: all frames in a row, and where in them each syllable lies, in frames."""

    voiced: NDArray[np.bool_]
    spectrum: NDArray[np.float32]
    noise: NDArray[np.float32]
    places: tuple[tuple[float, float, float, float, float], ...]
    """Start, vowel, coda, end, hold of each syllable."""


def say_phrase(phrase: Sequence[Sung], variant: str, tract: float = 1.0) -> Source:
    """Return the phrase said by one of espeak-ng's voices and taken apart; one place for each syllable.

    Vowels begin where they are heard to begin once all resonances lie `tract` times as high.
    """
    frames: list[Frames] = []
    places: list[tuple[float, float, float, float, float]] = []
    before = 0
    for run in _runs(phrase):
        utterance, taken = _said(run[0].language, tuple(each.spoken for each in run), run[0].count, variant)
        frames.append(taken)
        places += [_place(spoken, taken, before, tract) for spoken in _matched(utterance, run)]
        before += len(taken.voiced)
    return Source(
        np.concatenate([each.voiced for each in frames]),
        np.concatenate([each.spectrum for each in frames]),
        np.concatenate([each.noise for each in frames]),
        tuple(places),
    )


def _runs(phrase: Sequence[Sung]) -> Iterator[list[Sung]]:
    """Yield what is said in one go: Chinese syllables in a row, or the syllables of one English word."""
    run: list[Sung] = []
    for each in phrase:
        same = run and each.language == run[-1].language
        if run and not (same and (each.place > 0 if each.language == "en" else len(run) < _MOST_TOGETHER)):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _matched(utterance: Utterance, run: Sequence[Sung]) -> list[SpokenSyllable]:
    """Return one spoken syllable for each sung one; those that the word as it is spoken lacks hold its last vowel."""
    found = list(utterance.syllables)
    if run[0].language == "zh":
        return found
    matched = []
    for each in run:
        if each.place < len(found):
            matched.append(found[each.place])
        else:
            last = found[-1]
            matched.append(type(last)(last.coda_s, last.coda_s, last.coda_s, last.end_s, 0.5, ()))
    return matched


def _heard_onset(frames: Frames, vowel: int, consonant: str, tract: float) -> int:
    """Return the frame near `vowel` at which a vowel is heard to begin after a consonant.

    That is where the band in which the two differ comes near the vowel's own level: the lowest formant after
    voiceless consonants, those above it after voiced ones, which have the lowest too, the third after an r.
    """
    voiced = _R_BAND if consonant == "r" else _VOICED_BAND
    low, high, below_db = voiced if consonant[0] in _VOICED else _VOICELESS_BAND
    bins = frames.spectrum.shape[1] - 1
    first, last = (round(hertz / tract * 2 * bins / SPEECH_RATE) for hertz in (low, high))
    start, end = max(0, vowel - _NEAR), min(len(frames.spectrum), vowel + 2 * _NEAR)
    power = np.exp(frames.spectrum[start:end, first:last].astype(np.float64)).sum(axis=1)
    level = 10.0 * np.log10(power + 1e-16)
    settled = min(vowel - start + _NEAR, len(level) - 1)
    wanted = float(np.median(level[settled:])) - below_db
    place = settled
    while place > 0 and level[place - 1] >= wanted:
        place -= 1
    return start + place


@lru_cache(maxsize=256)
def _said(language: str, spoken: tuple[str, ...], count: int, variant: str) -> tuple[Utterance, Frames]:
    utterance = (
        say_chinese(spoken, rate=_SPOKEN_RATE, variant=variant)
        if language == "zh"
        else say_english(spoken[0], count, rate=_SPOKEN_RATE, variant=variant)
    )
    return utterance, take_apart(utterance.speech)


def _place(
    spoken: SpokenSyllable, frames: Frames, before: int, tract: float
) -> tuple[float, float, float, float, float]:
    """Return start, vowel, coda, end in frames of the phrase; the vowel begins where it is heard to begin."""
    last = len(frames.voiced) - 1
    vowel = min(round(spoken.vowel_s / FRAME_S), last)
    if spoken.onset:
        vowel = _heard_onset(frames, vowel, spoken.onset[-1], tract)
    start = min(spoken.start_s / FRAME_S, vowel)
    coda = max(min(spoken.coda_s / FRAME_S, last), vowel + 2)
    end = max(min(spoken.end_s / FRAME_S, last), coda)
    return before + start, before + vowel, before + coda, before + end, spoken.hold
