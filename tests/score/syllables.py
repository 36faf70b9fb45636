"""A listener of 58 syllables, Mandarin or English words of one: which of them was sung, by the nearest spoken one.

The spoken ones are of other voices of the same synthesiser, so that it tells whether singing has spoilt the syllables
and not whether a person would understand them. Cepstra as Davis and Mermelstein made them (1980), aligned by dynamic
time warping (Sakoe and Chiba, 1978).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import soxr

from services.composer.engine.sing.chinese import han_sounds
from services.composer.engine.sing.sounds import chinese_spelling, say_chinese, say_english
from services.composer.engine.sing.speak import SPEECH_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.sing.speak import Language

CLOSED_SET = (
    "八怕妈发大他那拉高看花家起下知吃是人子次三波多歌飞买给少好"
    "走头半们当冷天年边牙月瓜果快水酸村光女去元云中用九鸟灯心明"
)
"""Fifty-eight characters of as many syllables: every initial, every final that is not rare."""

ENGLISH_SET = (
    *(
        "bee",
        "pay",
        "five",
        "day",
        "tie",
        "go",
        "key",
        "fee",
        "vow",
        "thin",
        "they",
        "sea",
        "zoo",
        "she",
        "chair",
        "joy",
    ),
    *("him", "low", "ray", "me", "no", "yes", "way", "moon", "sun", "red", "hat", "map", "top", "cup", "book", "bird"),
    *("car", "door", "boat", "house", "coin", "white", "black", "green", "blue", "spring", "street", "star", "snow"),
    *("fly", "cry", "three", "clock", "frog", "glass", "twin", "queen", "judge", "leaf", "shape", "wood", "laugh"),
)
"""As many words of one syllable: every consonant that may begin one, the usual clusters, every vowel."""

SETS: dict[Language, tuple[str, ...]] = {"zh": tuple(CLOSED_SET), "en": ENGLISH_SET}

REFERENCES = ("m3", "f2", "m7", "f4")
"""The voices that the singers are compared with; none of them is one that sings."""

_RATE = 16_000
_FRAME, _HOP = 400, 160
_BANDS, _CEPSTRA = 26, 13
_MOST_FRAMES = 60


def spelling(character: str) -> str:
    """Return a character as it is said."""
    sound = han_sounds(character)[0]
    return chinese_spelling(sound.initial, sound.final)


@cache
def _filters() -> NDArray[np.float64]:
    """Return triangular filters on the mel scale, 100 to 7,600 Hz."""
    mel = np.linspace(1127 * np.log1p(100 / 700), 1127 * np.log1p(7600 / 700), _BANDS + 2)
    edges = 700 * np.expm1(mel / 1127)
    hertz = np.fft.rfftfreq(512, 1 / _RATE)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    sides = np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle))
    return np.asarray(np.clip(sides, 0, None), dtype=np.float64)


def cepstra(sound: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Return mel cepstra (frames, 12) of a sound, without its level."""
    heard = soxr.resample(sound, rate, _RATE)
    heard = np.append(heard[:1], heard[1:] - 0.97 * heard[:-1])
    heard = np.pad(heard, (0, max(0, _FRAME - len(heard))))
    count = 1 + (len(heard) - _FRAME) // _HOP
    frames = np.lib.stride_tricks.sliding_window_view(heard, _FRAME)[::_HOP][:count] * np.hamming(_FRAME)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    bands = np.log(power @ _filters().T + 1e-10)
    place = np.arange(1, _CEPSTRA)[:, None] * (np.arange(_BANDS) + 0.5) * np.pi / _BANDS
    values = bands @ np.cos(place).T
    loud = np.log(power.sum(axis=1) + 1e-12)
    values = values[loud > loud.max() - np.log(10) * 4.5]
    return np.asarray(values[np.linspace(0, len(values) - 1, min(len(values), _MOST_FRAMES)).round().astype(int)])


def of_one_voice(every: Sequence[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return the cepstra of many sounds of one voice without what is the same in all of them: the voice itself."""
    middle = np.mean([values.mean(axis=0) for values in every], axis=0)
    return [values - middle for values in every]


@cache
def references(language: Language = "zh") -> tuple[tuple[int, NDArray[np.float64]], ...]:
    """Return the place in the closed set and the cepstra of every spoken syllable of every reference voice."""
    found: list[tuple[int, NDArray[np.float64]]] = []
    for variant in REFERENCES:
        every = []
        for each in SETS[language]:
            said = (
                say_chinese([spelling(each)], variant=variant)
                if language == "zh"
                else say_english(each, 1, variant=variant)
            )
            whole = said.syllables[0]
            sound = said.speech.sound[round(whole.start_s * SPEECH_RATE) : round(whole.end_s * SPEECH_RATE)]
            every.append(cepstra(sound, SPEECH_RATE))
        found += enumerate(of_one_voice(every))
    return tuple(found)


def ranks(sounds: Sequence[NDArray[np.float64]], rate: int, language: Language = "zh") -> list[list[int]]:
    """Return for each sound of one voice the places in the closed set, the nearest first."""
    known = references(language)
    longest = max(len(values) for _, values in known)
    table = np.stack([np.pad(values, ((0, longest - len(values)), (0, 0))) for _, values in known])
    lengths = np.array([len(values) for _, values in known])
    places = np.array([place for place, _ in known])
    found = []
    for heard in of_one_voice([cepstra(sound, rate) for sound in sounds]):
        distance = _warped(heard, table, lengths)
        nearest = [distance[places == place].min() for place in range(len(SETS[language]))]
        found.append([int(place) for place in np.argsort(nearest)])
    return found


def _warped(heard: NDArray[np.float64], table: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cost of the best alignment with each reference, for each step of it."""
    count, longest = len(heard), table.shape[1]
    squares = (heard**2).sum(axis=1)[:, None, None] + (table**2).sum(axis=2).T[None]
    apart = np.sqrt(np.maximum(squares - 2.0 * np.einsum("hc,rlc->hlr", heard, table, optimize=True), 0.0))
    best = np.full((count + 1, longest + 1, len(table)), np.inf)
    best[0, 0] = 0.0
    for row in range(1, count + 1):
        straight = np.minimum(best[row - 1, 1:], best[row - 1, :-1])
        for column in range(1, longest + 1):
            best[row, column] = apart[row - 1, column - 1] + np.minimum(straight[column - 1], best[row, column - 1])
    return np.asarray(best[count, lengths, np.arange(len(table))] / (count + lengths))


def top_shares(found: Sequence[Sequence[int]], truth: Sequence[int]) -> tuple[float, float]:
    """Return the shares of sounds whose syllable is the nearest, and among the nearest five."""
    first = sum(order[0] == place for order, place in zip(found, truth, strict=True))
    five = sum(place in order[:5] for order, place in zip(found, truth, strict=True))
    return first / len(truth), five / len(truth)
