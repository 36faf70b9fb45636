"""The table of moods: what a feeling asked for does to energy, instruments and the choice of style."""

from __future__ import annotations

from dataclasses import dataclass

from services.composer.engine.compose.aliases import best_match


@dataclass(frozen=True, slots=True)
class Mood:
    """What a mood does: energy -1..1 moves dynamics, drums and the tempo of B; `lead` picks among the leads."""

    name: str
    aliases: tuple[str, ...]
    energy: float
    lead: int
    likes: tuple[str, ...]
    """Styles that suit the mood when none was asked for."""


MOODS: tuple[Mood, ...] = (
    Mood(
        "happy",
        ("happy", "快乐", "开心", "欢快", "joy", "cheerful", "bright", "甜", "sunny", "playful"),
        0.4,
        0,
        ("pop", "folk", "bossa", "funk"),
    ),
    Mood(
        "sad",
        ("sad", "悲伤", "伤感", "忧伤", "忧郁", "难过", "melanchol", "lonely", "孤独"),
        -0.6,
        1,
        ("ballad", "lofi", "guofeng"),
    ),
    Mood(
        "calm",
        ("calm", "平静", "安静", "放松", "治愈", "relax", "peaceful", "soft", "温柔", "gentle", "dreamy", "梦幻"),
        -0.8,
        1,
        ("lofi", "folk", "ballad"),
    ),
    Mood(
        "energetic",
        ("energetic", "激昂", "活力", "热血", "动感", "power", "excit", "激情", "energy", "angry", "愤怒"),
        1.0,
        0,
        ("rock", "electronic", "pop"),
    ),
    Mood(
        "romantic",
        ("romantic", "浪漫", "love", "爱", "甜蜜", "warm", "温暖", "温馨"),
        -0.2,
        0,
        ("ballad", "pop", "bossa", "jazz"),
    ),
    Mood("nostalgic", ("nostalgic", "怀旧", "思念", "回忆", "memory", "乡愁"), -0.4, 2, ("folk", "guofeng", "lofi")),
    Mood(
        "epic",
        ("epic", "史诗", "宏大", "壮阔", "heroic", "hope", "希望", "励志", "inspir"),
        0.7,
        1,
        ("cinematic", "rock"),
    ),
    Mood("neutral", (), 0.0, 0, ("pop", "folk", "ballad", "lofi", "guofeng", "electronic", "rock", "jazz")),
)
"""All moods; the last one stands for an empty or unknown word."""


def find_mood(text: str) -> Mood:
    """Return the mood whose name or alias occurs in `text`, or the neutral one."""
    return best_match(text, MOODS[:-1]) or MOODS[-1]
