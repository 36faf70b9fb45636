"""Sung syllables as espeak-ng has to be told them, and what it then says cut into syllables again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from services.composer.engine.sing.speak import speak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.sing.speak import Phone, Speech

_VOWEL = re.compile(r"[aeiouyAEIOUVQ@03&]|[nlrmN]-$")
"""How a sound that can be held begins in espeak-ng's spelling, and how its syllabic consonants end."""
_SOFT_LEVEL = "1"
"""Everything is spoken in the level tone: the melody is given later, and a level vowel can be held."""
_UNREAD = {"jiong": "[[tS;'ong]]", "qiong": "[[tS;h'ong]]", "xiong": "[[S;'ong]]", "hm": "en1", "m": "en1", "n": "en1",
           "": "a1"}  # fmt: skip
"""What espeak-ng would spell out as English letters, as its sounds."""
_ONSETS = re.compile(
    r"[pbtdkgfvszSZTDhmnNlrjw]|[td][SZ]|[pbkgfs]l|[pbtdkgfTS]r|s[ptkmnw]|[tdkgT]w|s?[pbkfmhn]j|spl|s[ptk]r|skw"
)
"""Consonants that may begin a syllable together."""
_FALLING = frozenset(("ai", "ei", "Au", "ou", "aI", "eI", "oU", "aU", "OI", "aI3", "aI@", "aU@"))
_RISING = frozenset(("iA", "iE", "uo", "ua", "uA", "yE", "y&", "iE", "u@", "io", "y@", "ong"))


@dataclass(frozen=True, slots=True)
class SpokenSyllable:
    """Where one syllable lies in what was said, in seconds: its consonants, its vowel, what closes it.

    `hold` says where in the vowel, 0 to 1, a singer stays.
    """

    start_s: float
    vowel_s: float
    coda_s: float
    end_s: float
    hold: float
    onset: tuple[str, ...]


@dataclass(frozen=True)
class Utterance:
    """Something said with its syllables."""

    speech: Speech
    syllables: tuple[SpokenSyllable, ...]


def chinese_spelling(initial: str, final: str) -> str:
    """Return the letters of a Chinese syllable as espeak-ng reads them, in the level tone."""
    whole = initial + ("u" + final[1:] if initial in {"j", "q", "x", "y"} and final.startswith("v") else final)
    return _UNREAD.get(whole, whole + _SOFT_LEVEL)


def say_chinese(spellings: Sequence[str], *, rate: int = 130, variant: str = "") -> Utterance:
    """Return the syllables said in one breath, one spoken syllable for each spelling.

    Raises ValueError when they were not said as so many, which no spelling of `chinese_spelling` does.
    """
    speech = speak(" ".join(spellings), "zh", rate=rate, variant=variant)
    groups: list[list[Phone]] = [[]]
    starts: list[float] = []
    for phone in speech.phones:
        if phone.name == "|":
            starts.append(phone.start_s)
            groups.append([])
        else:
            groups[-1].append(phone)
    if not groups[-1]:
        groups.pop()
    ends = [*starts[: len(groups) - 1], speech.end_s] if len(groups) > len(starts) else starts
    if len(groups) != len(spellings):
        message = f"{' '.join(spellings)!r} was said as {len(groups)} syllables"
        raise ValueError(message)
    return Utterance(speech, tuple(_cut(group, end) for group, end in zip(groups, ends, strict=True)))


def say_english(word: str, count: int, *, rate: int = 130, variant: str = "") -> Utterance:
    """Return a word said, as `count` syllables or fewer: the last one takes the vowels that are too many."""
    speech = speak(word, "en", rate=rate, variant=variant)
    phones = [phone for phone in speech.phones if phone.name != "|"]
    nuclei = [place for place, phone in enumerate(phones) if _VOWEL.match(phone.name)][:count]
    if not nuclei:
        return Utterance(speech, (_cut(phones, speech.end_s),) if phones else ())
    firsts = [0]
    for before, after in pairwise(nuclei):
        first = after
        while first - 1 > before and _ONSETS.fullmatch("".join(p.name for p in phones[first - 1 : after])):
            first -= 1
        firsts.append(first)
    cuts = [*firsts[1:], len(phones)]
    syllables = []
    for first, last in zip(firsts, cuts, strict=True):
        end = phones[last].start_s if last < len(phones) else speech.end_s
        syllables.append(_cut(phones[first:last], end))
    return Utterance(speech, tuple(syllables))


def _cut(phones: Sequence[Phone], end_s: float) -> SpokenSyllable:
    """Return the parts of one syllable; one without a vowel holds its last sound."""
    nucleus = next((place for place, phone in enumerate(phones) if _VOWEL.match(phone.name)), len(phones) - 1)
    vowel = phones[nucleus]
    coda_s = phones[nucleus + 1].start_s if nucleus + 1 < len(phones) else end_s
    hold = 0.3 if vowel.name in _FALLING else 0.7 if vowel.name in _RISING else 0.5
    # A glide before the vowel is sung as a part of it.
    first = nucleus - 1 if nucleus and phones[nucleus - 1].name in {"w", "j"} else nucleus
    if first < nucleus:
        glide = (vowel.start_s - phones[first].start_s) / max(1e-3, coda_s - phones[first].start_s)
        hold = glide + (1.0 - glide) * hold
    return SpokenSyllable(
        phones[0].start_s, phones[first].start_s, coda_s, end_s, hold, tuple(phone.name for phone in phones[:first])
    )
