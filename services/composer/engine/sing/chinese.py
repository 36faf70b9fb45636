"""Chinese characters as sung syllables: initial, final and tone, with the changes that tones make to each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pypinyin import Style, pinyin

_NUMBER_BEFORE = frozenset("第十百千万零一二三四五六七八九")


@dataclass(frozen=True, slots=True)
class HanSound:
    """The sound of one character; `tone` is as it is spoken here, 1 to 4, or 5 for the light one."""

    initial: str
    final: str
    tone: int
    written_tone: int


@lru_cache(maxsize=1024)
def han_sounds(text: str) -> tuple[HanSound, ...]:
    """Return the sound of each character of a run of Chinese characters.

    Characters of several readings get the one that the words around them ask for; one that no dictionary knows has an
    empty initial and final.
    """
    # Its types do not say that unknown characters may be answered one by one.
    unknown: Any = lambda run: [""] * len(run)  # noqa: E731  # a name for the type
    read = pinyin(text, style=Style.TONE3, neutral_tone_with_five=True, errors=unknown)
    whole = [each[0] for each in read]
    return _spoken(text, [_sound(each) for each in whole])


def _sound(read: str) -> HanSound:
    """Return the sound of a reading such as `hai3`, its u with dots written v."""
    tone = int(read[-1]) if read[-1:].isdigit() else 5
    plain = read.rstrip("12345").replace("ü", "v")
    initial = next((each for each in _INITIALS if plain.startswith(each)), "")
    final = plain[len(initial) :]
    if initial in {"j", "q", "x", "y"} and final.startswith("u"):
        final = "v" + final[1:]
    return HanSound(initial, final, tone, tone)


_INITIALS = (*("zh", "ch", "sh"), *"bpmfdtnlgkhjqxrzcsyw")


def _spoken(text: str, sounds: list[HanSound]) -> tuple[HanSound, ...]:
    """Return the sounds with the tones they have together.

    Two third tones: the first rises (你好). 不 rises before a fourth tone; 一 rises before a fourth and falls before
    any other one, but not at the end and not in numbers.
    """
    spoken = list(sounds)
    for place in range(len(sounds) - 1, -1, -1):
        after = sounds[place + 1].written_tone if place + 1 < len(sounds) else 0
        tone = sounds[place].written_tone
        if text[place] == "不" and after == 4:
            tone = 2
        elif text[place] == "一" and after and not _counted(text, place):
            tone = 2 if after == 4 else 4
        elif tone == 3 and after == 3 and spoken[place + 1].tone == 3:
            tone = 2
        spoken[place] = replace(sounds[place], tone=tone)
    return tuple(spoken)


def _counted(text: str, place: int) -> bool:
    """Say whether 一 stands in a number, where it keeps its tone."""
    return text[place - 1 : place] in _NUMBER_BEFORE or text[place + 1 : place + 2] in _NUMBER_BEFORE
