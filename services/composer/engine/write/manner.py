"""What style and mood do to the words: form, length of the lines, who is singing, which feelings go in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.composer.engine.write import en_frames, zh_frames

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Manner:
    """One row of the table of styles.

    `forms` are those of A and B: V a verse, C the chorus, B the bridge. With `short` every half-line is a line of its
    own, with `plural` we sing and not I, with `classical` Chinese words are those of 古风.
    """

    name: str
    aliases: tuple[str, ...]
    forms: tuple[str, str]
    short: bool = False
    plural: bool = False
    classical: bool = False
    mood: str = ""
    """The mood when none was asked for."""


MANNERS: tuple[Manner, ...] = (
    Manner("folk", ("folk", "民谣", "country", "乡村", "acoustic"), ("VCVCB", "VVCBC"), plural=True, mood="calm"),
    Manner("rock", ("rock", "摇滚", "punk", "metal", "金属", "朋克"), ("VCVCBC", "CVCVBC"), short=True, mood="fierce"),
    Manner(
        "electronic",
        ("electro", "电子", "edm", "dance", "舞曲", "house", "techno", "synth", "disco", "funk", "放克"),
        ("CVCVC", "VCVCC"),
        short=True,
        mood="bright",
    ),
    Manner("rap", ("rap", "hip", "说唱", "嘻哈", "trap"), ("VVCVC", "VCVVC"), short=True, mood="fierce"),
    Manner(
        "guofeng",
        ("古风", "国风", "中国风", "guofeng", "classical chinese", "戏曲", "武侠"),
        ("VCVCBC", "VVCBC"),
        classical=True,
    ),
    Manner("ballad", ("ballad", "抒情", "情歌", "慢歌", "slow"), ("VVCBC", "VCVCBC"), mood="tender"),
    Manner("cinematic", ("cinema", "影视", "orchestra", "交响", "film"), ("VVCBC", "VCVCBC"), mood="fierce"),
    Manner(
        "lounge",
        ("jazz", "爵士", "lo-fi", "lofi", "bossa", "blues", "布鲁斯", "chill", "swing", "soul", "r&b", "rnb"),
        ("VCVBC", "VVBVC"),
        mood="calm",
    ),
    Manner(
        "children", ("child", "儿童", "儿歌", "kids", "nursery", "童谣"), ("CVCVC", "VCVC"), short=True, plural=True
    ),
    Manner("pop", ("pop", "流行", "华语"), ("VCVCBC", "VCVBC")),
)
"""All styles; the last one stands for an empty or unknown word."""

_MOODS: tuple[tuple[str, str], ...] = (
    ("bright", "happy|快乐|开心|欢快|joy|cheer|bright|sunny|playful|hope|希望|励志|阳光|俏皮|fun|uplift|inspir|轻快"),
    ("sad", "sad|悲伤|伤感|忧伤|忧郁|难过|melanchol|lonely|孤独|寂寞|heartbr|nostalg|怀旧|思念|回忆|失落|cry"),
    ("calm", "calm|平静|安静|放松|治愈|relax|peace|soft|dream|梦幻|chill|慵懒|宁静|cosy|cozy|quiet"),
    ("fierce", "energ|激昂|活力|热血|动感|power|excit|激情|angry|愤怒|epic|史诗|heroic|燃|wild|疯狂|坚定|brave|勇敢"),
    ("tender", "romantic|浪漫|love|甜|warm|温暖|温馨|温柔|gentle|sweet|tender|深情|感动|grateful|感恩"),
)

FEELINGS_ZH = {
    "bright": zh_frames.BRIGHT,
    "sad": zh_frames.SAD,
    "calm": zh_frames.CALM,
    "fierce": zh_frames.FIERCE,
    "tender": zh_frames.TENDER,
}
"""Chinese couplets of each mood."""

FEELINGS_EN = {
    "bright": en_frames.BRIGHT,
    "sad": en_frames.SAD,
    "calm": en_frames.CALM,
    "fierce": en_frames.FIERCE,
    "tender": en_frames.TENDER,
}
"""English couplets of each mood."""


def find_manner(style: str) -> Manner:
    """Return the style whose name occurs in the text, the longest name first, or pop."""
    wanted = style.strip().casefold()
    hits = [(len(alias), -place) for place, row in enumerate(MANNERS) for alias in row.aliases if alias in wanted]
    return MANNERS[-max(hits)[1]] if hits else MANNERS[-1]


def find_moods(mood: str, manner: Manner, theme: str) -> Sequence[str]:
    """Return the moods in the order in which their couplets are taken: the one asked for, or what style or theme like.

    The second one is its neighbour, for when the first has no more couplets.
    """
    wanted = mood.strip().casefold()
    asked = next((name for name, names in _MOODS if re.search(names, wanted)), "") if wanted else ""
    first = asked or manner.mood or _OF_THEME.get(theme, "bright")
    return first, _NEIGHBOURS[first]


_OF_THEME = {"love": "tender", "home": "tender", "farewell": "sad", "night": "calm", "rain": "calm", "stars": "calm"}
_NEIGHBOURS = {"bright": "tender", "tender": "calm", "calm": "tender", "sad": "calm", "fierce": "bright"}
