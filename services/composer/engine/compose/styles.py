"""The table of styles: tempo, feel, instruments and patterns of each, and the words that people call them by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.compose.aliases import best_match

if TYPE_CHECKING:
    from services.composer.engine.compose.moods import Mood


@dataclass(frozen=True, slots=True)
class Palette:
    """The instruments and patterns of one version (A or B) of a style; programs are General MIDI."""

    leads: tuple[int, ...]
    """Instruments that can carry the tune, the first one preferred; the rest serve other moods."""
    comp: int
    pad: int
    bass: int
    fill: int
    verse_comp: str
    chorus_comp: str
    verse_bass: str
    chorus_bass: str
    colour: str = "plain"
    """Chord vocabulary: plain, sevenths or modal."""


@dataclass(frozen=True, slots=True)
class Style:
    """One row of the table."""

    name: str
    aliases: tuple[str, ...]
    tempo: tuple[float, float]
    """The usual tempo range in quarter notes per minute."""
    swing: float
    """How late the off-beat eighth comes, in beats."""
    drums: str
    drum_gain_db: float
    pad_gain_db: float
    reverb: float
    """How wet the room is, 1 for the usual amount."""
    a: Palette
    b: Palette


STYLES: tuple[Style, ...] = (
    Style(
        "pop",
        aliases=("pop", "流行", "华语", "mandopop", "kpop", "r&b", "rnb", "soul"),
        tempo=(84, 126),
        swing=0.0,
        drums="pop",
        drum_gain_db=0.0,
        pad_gain_db=0.0,
        reverb=0.9,
        a=Palette((73, 65, 82), 25, 50, 33, 11, "fingers", "strum", "long", "pop"),
        b=Palette((65, 26, 81), 4, 89, 33, 24, "block", "piano8", "half", "eighths", "sevenths"),
    ),
    Style(
        "folk",
        aliases=("folk", "民谣", "acoustic", "country", "乡村", "校园"),
        tempo=(76, 116),
        swing=0.0,
        drums="folk",
        drum_gain_db=-3.0,
        pad_gain_db=-2.0,
        reverb=0.8,
        a=Palette((22, 73, 71), 24, 49, 32, 73, "fingers", "strum_soft", "half", "root5"),
        b=Palette((110, 68, 71), 25, 21, 32, 24, "strum_soft", "strum", "half", "root5", "modal"),
    ),
    Style(
        "rock",
        aliases=("rock", "摇滚", "punk", "朋克", "metal", "金属", "band", "乐队"),
        tempo=(104, 152),
        swing=0.0,
        drums="rock",
        drum_gain_db=1.5,
        pad_gain_db=-3.0,
        reverb=0.6,
        a=Palette((29, 65, 81), 30, 18, 34, 27, "power_long", "power", "eighths", "eighths"),
        b=Palette((81, 29, 65), 27, 50, 34, 29, "broken8", "strum", "long", "eighths", "modal"),
    ),
    Style(
        "electronic",
        aliases=("electronic", "电子", "edm", "dance", "舞曲", "house", "techno", "synth", "synthpop", "电音"),
        tempo=(112, 132),
        swing=0.0,
        drums="electronic",
        drum_gain_db=1.5,
        pad_gain_db=0.0,
        reverb=0.9,
        a=Palette((81, 87, 82), 88, 90, 38, 80, "arp16up", "arp16", "octaves", "drive"),
        b=Palette((82, 81, 87), 5, 89, 39, 98, "stabs", "stabs", "octaves", "drive", "modal"),
    ),
    Style(
        "guofeng",
        aliases=("guofeng", "古风", "国风", "中国风", "chinese", "戏曲", "仙侠", "古典中国"),
        tempo=(66, 104),
        swing=0.0,
        drums="guofeng",
        drum_gain_db=-1.0,
        pad_gain_db=-1.0,
        reverb=1.4,
        a=Palette((73, 77, 110), 107, 49, 32, 46, "zheng", "zheng_full", "long", "root5"),
        b=Palette((110, 77, 73), 105, 52, 32, 107, "pluck", "arp16up", "half", "root5", "modal"),
    ),
    Style(
        "jazz",
        aliases=("jazz", "爵士", "swing", "摇摆", "blues", "布鲁斯", "蓝调"),
        tempo=(92, 152),
        swing=0.13,
        drums="jazz",
        drum_gain_db=-1.5,
        pad_gain_db=-6.0,
        reverb=0.9,
        a=Palette((66, 71, 65), 0, 49, 32, 26, "charleston", "charleston", "root5", "walking", "plain"),
        b=Palette((59, 11, 64), 26, 89, 32, 0, "jazz_push", "charleston", "walking", "walking", "sevenths"),
    ),
    Style(
        "lofi",
        aliases=("lofi", "lo-fi", "低保真", "chill", "chillhop", "hiphop", "hip-hop", "嘻哈", "说唱", "rap", "study"),
        tempo=(70, 94),
        swing=0.08,
        drums="lofi",
        drum_gain_db=-0.5,
        pad_gain_db=-1.0,
        reverb=1.1,
        a=Palette((11, 4, 73), 4, 89, 33, 26, "lofi", "block", "lazy", "lazy"),
        b=Palette((26, 71, 4), 5, 49, 35, 11, "block", "lofi", "half", "lazy", "sevenths"),
    ),
    Style(
        "ballad",
        aliases=("ballad", "抒情", "情歌", "慢歌", "piano", "钢琴", "soft", "lyrical"),
        tempo=(58, 88),
        swing=0.0,
        drums="ballad",
        drum_gain_db=-2.5,
        pad_gain_db=1.0,
        reverb=1.2,
        a=Palette((110, 73, 42), 0, 49, 33, 68, "ballad", "ballad", "long", "half"),
        b=Palette((68, 71, 64), 46, 52, 35, 0, "broken8", "arp16up", "long", "half", "sevenths"),
    ),
    Style(
        "bossa",
        aliases=("bossa", "bossa nova", "latin", "拉丁", "巴萨诺瓦", "tropical", "reggae", "雷鬼"),
        tempo=(100, 144),
        swing=0.0,
        drums="bossa",
        drum_gain_db=-2.0,
        pad_gain_db=-4.0,
        reverb=0.9,
        a=Palette((73, 65, 11), 24, 49, 32, 11, "bossa", "bossa", "bossa", "bossa"),
        b=Palette((64, 11, 71), 4, 89, 32, 24, "bossa", "bossa", "bossa", "bossa", "sevenths"),
    ),
    Style(
        "cinematic",
        aliases=("cinematic", "史诗", "epic", "orchestral", "管弦", "交响", "classical", "古典", "影视", "配乐"),
        tempo=(60, 112),
        swing=0.0,
        drums="cinematic",
        drum_gain_db=0.0,
        pad_gain_db=1.5,
        reverb=1.5,
        a=Palette((60, 40, 73), 46, 48, 43, 69, "swell", "ostinato", "long", "root5"),
        b=Palette((68, 60, 42), 45, 52, 43, 46, "ostinato", "ostinato", "long", "eighths", "modal"),
    ),
    Style(
        "funk",
        aliases=("funk", "放克", "funky", "disco", "迪斯科", "groove", "律动"),
        tempo=(94, 122),
        swing=0.04,
        drums="funk",
        drum_gain_db=1.0,
        pad_gain_db=-6.0,
        reverb=0.5,
        a=Palette((65, 56, 66), 28, 18, 36, 61, "scratch", "chank", "slap", "slap", "sevenths"),
        b=Palette((56, 62, 65), 7, 51, 37, 28, "chank", "clav", "slap_busy", "slap", "modal"),
    ),
    Style(
        "children",
        aliases=("children", "儿歌", "童谣", "kids", "child", "儿童", "nursery", "童趣", "幼儿"),
        tempo=(96, 138),
        swing=0.0,
        drums="children",
        drum_gain_db=-3.0,
        pad_gain_db=-7.0,
        reverb=0.7,
        a=Palette((74, 72, 71), 0, 49, 32, 9, "oompah", "oompah_full", "root5", "root5"),
        b=Palette((71, 22, 73), 25, 21, 33, 13, "strum_soft", "strum", "oompah", "oompah", "plain"),
    ),
)
"""All styles; the order breaks ties when none was asked for."""


def find_style(text: str) -> Style | None:
    """Return the style whose name or alias occurs in `text` (any case, Chinese or English), or None."""
    return best_match(text, STYLES)


def choose_style(mood: Mood, tempo_bpm: float, rng: np.random.Generator) -> Style:
    """Return a style that suits the mood and the tempo, drawn from the best of them."""
    liked = [style for style in STYLES if style.name in mood.likes]
    off = np.array([_tempo_distance(style, tempo_bpm) for style in liked])
    weights = np.exp(-8.0 * (off - off.min()))
    return liked[int(rng.choice(len(liked), p=weights / weights.sum()))]


def _tempo_distance(style: Style, tempo_bpm: float) -> float:
    """Return how far the tempo lies outside the style's range, as a ratio, octaves of tempo forgiven at a price."""
    low, high = style.tempo
    found = []
    for factor, price in ((1.0, 0.0), (2.0, 0.15), (0.5, 0.15)):
        tempo = tempo_bpm * factor
        found.append(price + max(0.0, low / tempo - 1.0, tempo / high - 1.0))
    return min(found)
