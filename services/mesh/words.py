"""Words of the offline writer on the terminal, so that a person can read and judge them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from services.composer.engine.write.lyrics import LyricsBrief
from services.composer.engine.write.writer import write_lyrics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from services.composer.engine.write.lyrics import LyricsVersion

# Theme, style, mood: every theme of the tables, themes that nobody foresaw, every style, both languages in turn.
_ASKED: tuple[tuple[str, str, str], ...] = (
    ("海边的夏天", "民谣", ""),
    ("the sea in winter", "folk", "calm"),
    ("外婆的糖罐", "流行", "温暖"),
    ("my grandmother's kitchen", "ballad", ""),
    ("凌晨的城市", "摇滚", ""),
    ("city lights", "electronic", "happy"),
    ("暗恋", "抒情", ""),
    ("falling in love at the laundromat", "jazz", "romantic"),
    ("失眠的夜", "lo-fi", "孤独"),
    ("midnight", "lo-fi", "sad"),
    ("春天", "古风", ""),
    ("spring cleaning", "children", ""),
    ("毕业", "流行", "怀旧"),
    ("goodbye to the old house", "ballad", "sad"),
    ("小时候", "儿歌", ""),
    ("growing up", "pop", "nostalgic"),
    ("加班", "说唱", ""),
    ("monday morning", "rock", "angry"),
    ("程序员的键盘", "摇滚", "热血"),
    ("robots", "electronic", ""),
)


def samples(count: int, seed: int) -> Iterator[tuple[LyricsBrief, LyricsVersion]]:
    """Yield that many versions with what was asked for, A and B of one brief after the other."""

    def every() -> Iterator[tuple[LyricsBrief, LyricsVersion]]:
        turn = 0
        while True:
            for theme, style, mood in _ASKED:
                brief = LyricsBrief(theme, style=style, mood=mood, seed=seed + turn)
                for version in write_lyrics(brief):
                    yield brief, version
            turn += 1

    return islice(every(), count)


def written(
    theme: str, *, style: str, mood: str, language: str, seed: int
) -> Iterator[tuple[LyricsBrief, LyricsVersion]]:
    """Yield A and B for a theme; a language that is neither zh nor en is left to the theme."""
    wanted: Literal["zh", "en", "auto"] = "zh" if language == "zh" else "en" if language == "en" else "auto"
    brief = LyricsBrief(theme, style=style, mood=mood, language=wanted, seed=seed)
    for version in write_lyrics(brief):
        yield brief, version


def shown(brief: LyricsBrief, version: LyricsVersion) -> str:
    """Return one version for the terminal, with what was asked for above it."""
    asked = " · ".join(part for part in (brief.theme, brief.style, brief.mood) if part)
    title = f"{version.label}  {version.title}"
    return f"{title}\n({asked}; {version.form}; seed {brief.seed})\n\n{version.as_text()}\n"
