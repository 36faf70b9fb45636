"""From what a person typed to a theme of the tables and to the words of theirs that can be sung."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.composer.engine.write import en_nature, en_people, zh_nature, zh_people
from services.composer.engine.write.numbers import read_numbers
from services.composer.engine.write.syllables import count_syllables, has_han

if TYPE_CHECKING:
    from services.composer.engine.write.lyrics import Language

LONGEST_OWN_ZH = 8
"""Most syllables of the person's own words in a Chinese line."""
LONGEST_OWN_EN = 9
"""Most syllables of the person's own words in an English line."""
_READ_AT_MOST = 400

_TAG = re.compile(r"<[^<>]*>")
# What can be sung or stands between what can be sung: Chinese, Latin letters, digits, apostrophes.
_SILENT = re.compile(r"[^\u3400-\u4dbf\u4e00-\u9fffA-Za-z\u00c0-\u024f0-9' ]+")
_ABOUT_ZH = "关于|有关|描写|讲述|献给|写给|歌颂"
_ASKED_ZH = re.compile(
    "^(?:请|帮我|给我|我想要?|我要|想要?|为我)*(?:"
    f"(?:写|创作|唱|作|做|来)?[一两1][首个段篇](?:{_ABOUT_ZH})?|(?:写|创作|唱)[首个段篇](?:{_ABOUT_ZH})?"
    f"|(?:写|创作|唱)?(?:{_ABOUT_ZH}))"
)
_TOLD_ZH = re.compile(r"(的)?(一首)?(歌词|歌曲|的歌|曲子|主题|故事)$")
_ASKED_EN = re.compile(
    r"^(please )?((can|could) you )?(write|make|create|compose|sing|give)?( me)?( us)?( (a|an|some))?"
    r"( [a-z-]+)?( (song|lyrics|words|ballad|poem|tune))( (about|for|on|of|to))? |^about ",
    re.IGNORECASE,
)
_WEAK_END = re.compile(
    r"(?:a|an|the|of|and|or|to|in|on|at|for|with|my|your|our|his|her|their|is|are|was|be|by|from|that|as|but)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme of the tables: how it is found, how it is named in each language, and its couplets."""

    name: str
    named_zh: str
    named_en: str
    zh: tuple[str, ...]
    en: tuple[str, ...]
    couplets_zh: str
    couplets_en: str


LIFE = Theme("life", "这首歌", "this song", (), (), zh_people.LIFE, en_people.LIFE)
"""The theme of everything that has no table of its own: small things of every day, beside the person's own words."""

THEMES: tuple[Theme, ...] = (
    Theme(
        "sea",
        *("大海", "the sea"),
        ("海", "海边", "大海", "海浪", "沙滩", "渔船", "灯塔", "海风", "岛"),
        ("sea", "ocean", "beach", "wave", "waves", "seaside", "lighthouse", "island", "shore"),
        *(zh_nature.SEA, en_nature.SEA),
    ),
    Theme(
        "night",
        *("夜晚", "the night"),
        ("夜", "夜晚", "深夜", "失眠", "午夜", "凌晨", "晚上", "月亮", "月光"),
        ("night", "midnight", "moon", "moonlight", "insomnia", "sleepless", "dark"),
        *(zh_nature.NIGHT, en_nature.NIGHT),
    ),
    Theme(
        "spring",
        *("春天", "the spring"),
        ("春", "春天", "花开", "樱花", "桃花", "燕子", "风筝", "三月"),
        ("spring", "springtime", "blossom", "blossoms", "garden", "flowers", "april", "kite"),
        *(zh_nature.SPRING, en_nature.SPRING),
    ),
    Theme(
        "rain",
        *("下雨天", "the rain"),
        ("雨", "下雨", "雨天", "雨伞", "暴雨", "梅雨"),
        ("rain", "rainy", "raining", "umbrella", "storm", "thunder"),
        *(zh_nature.RAIN, en_nature.RAIN),
    ),
    Theme(
        "stars",
        *("星空", "the stars"),
        ("星", "星星", "星空", "银河", "宇宙", "流星", "太空"),
        ("star", "stars", "starlight", "galaxy", "space", "universe", "comet", "sky"),
        *(zh_nature.STARS, en_nature.STARS),
    ),
    Theme(
        "road",
        *("远方", "the road"),
        ("路", "旅行", "远方", "旅途", "公路", "流浪", "出发", "火车", "高铁", "列车"),
        ("road", "travel", "journey", "highway", "train", "trip", "wander", "wandering", "miles"),
        *(zh_nature.ROAD, en_nature.ROAD),
    ),
    Theme(
        "love",
        *("喜欢你", "loving you"),
        ("爱", "爱情", "恋", "恋爱", "喜欢", "暗恋", "心动", "情人", "结婚", "婚礼", "求婚"),
        ("love", "lover", "loving", "romance", "wedding", "crush", "valentine", "kiss", "heart"),
        *(zh_people.LOVE, en_people.LOVE),
    ),
    Theme(
        "home",
        *("回家", "going home"),
        ("家", "回家", "家乡", "故乡", "妈妈", "爸爸", "母亲", "父亲", "外婆", "奶奶", "爷爷", "老家", "亲人"),
        ("home", "hometown", "mother", "mom", "father", "dad", "grandma", "grandmother", "family", "kitchen"),
        *(zh_people.HOME, en_people.HOME),
    ),
    Theme(
        "city",
        *("这座城", "the city"),
        ("城", "城市", "地铁", "都市", "北京", "上海", "深圳", "广州", "街头", "高楼"),
        ("city", "town", "downtown", "subway", "street", "streets", "skyline", "neon"),
        *(zh_people.CITY, en_people.CITY),
    ),
    Theme(
        "friendship",
        *("老朋友", "old friends"),
        ("朋友", "友情", "友谊", "兄弟", "闺蜜", "同学", "老友", "死党"),
        ("friend", "friends", "friendship", "buddy", "brothers", "together"),
        *(zh_people.FRIENDSHIP, en_people.FRIENDSHIP),
    ),
    Theme(
        "farewell",
        *("再见", "goodbye"),
        ("离别", "再见", "告别", "分手", "毕业", "分别", "送别", "离开", "失恋", "想念", "思念"),
        ("goodbye", "farewell", "leaving", "breakup", "graduation", "parting", "missing", "apart"),
        *(zh_people.FAREWELL, en_people.FAREWELL),
    ),
    Theme(
        "childhood",
        *("小时候", "being small"),
        ("童年", "小时候", "儿时", "孩子", "童话", "儿童", "小学", "暑假"),
        ("childhood", "child", "children", "kid", "kids", "growing up", "school", "playground"),
        *(zh_people.CHILDHOOD, en_people.CHILDHOOD),
    ),
    Theme(
        "work",
        *("上班", "the job"),
        ("工作", "上班", "加班", "下班", "老板", "打工", "职场", "工人", "劳动", "周一"),
        ("work", "working", "job", "office", "boss", "monday", "overtime", "worker", "workers", "deadline"),
        *(zh_people.WORK, en_people.WORK),
    ),
)


def clean(text: str) -> str:
    """Return what of the text can be sung, on one line.

    Tags, emoji, punctuation, control characters and other scripts fall away, full-width forms become plain ones, and
    only the first 400 characters are read.
    """
    text = unicodedata.normalize("NFKC", _TAG.sub(" ", text[:_READ_AT_MOST]))
    return " ".join(_SILENT.sub(" ", text.replace("\u2019", "'")).split()).strip("' ")


def find_theme(text: str) -> Theme:
    """Return the theme whose longest name occurs in the cleaned text, else `LIFE`.

    A name of a single character counts only at the end of the text or in a text of two characters: 大家 is no home
    in the middle of a sentence.
    """
    lowered = f" {text.casefold()} "
    hits: list[tuple[int, int, Theme]] = []
    for place, theme in enumerate(THEMES):
        for name in theme.zh:
            whole = len(name) > 1 or len(text) <= 2 or text.endswith(name)
            if whole and name in text:
                hits.append((2 * len(name), -place, theme))
        hits += [(len(name), -place, theme) for name in theme.en if f" {name} " in lowered]
    return max(hits, key=lambda hit: hit[:2])[2] if hits else LIFE


def own_words(text: str, language: Language, *, most: int = 0) -> str:
    """Return the words of the cleaned text that the song sings, *most* syllables or what fits a line; may be empty.

    "Write a song about" and its like are taken off and digits read out. What is still too long for a line is cut at a
    gap of the sentence, a Chinese one also behind its last 的, and never ends with an English word that needs another.
    """
    if language == "en":
        return _own_en(_ASKED_EN.sub("", text, count=1), most or LONGEST_OWN_EN)
    asked = _ASKED_ZH.sub("", text, count=1) or text
    # 关于海 without its 关于; but a theme that only looks like a request stays whole.
    told = _TOLD_ZH.sub("", asked) or asked
    return _own_zh(read_numbers(told, "zh"), most or LONGEST_OWN_ZH)


def _own_zh(text: str, most: int) -> str:
    pieces = [piece for piece in _pieces(text) if count_syllables(piece)]
    for piece in pieces:
        if count_syllables(piece) <= most:
            return piece
    for piece in pieces:
        tail = piece.rpartition("的")[2]
        if 2 <= count_syllables(tail) <= most:
            return tail
    return _first_syllables(pieces[0], most) if pieces else ""


def _pieces(text: str) -> list[str]:
    """Return the parts of a Chinese sentence: cut at gaps, but not beside a Latin word."""
    return re.split(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", text)


def _first_syllables(text: str, most: int) -> str:
    kept = ""
    for each in text:
        if count_syllables(kept + each) > most:
            break
        kept += each
    return kept.strip("' ")


def _own_en(text: str, most: int) -> str:
    kept: list[str] = []
    # A number is one word here: half of a year is another year.
    for word in (" ".join(read_numbers(each, "en").split()) for each in text.split()):
        if count_syllables(" ".join([*kept, word])) > most:
            break
        kept.append(word)
    while kept and _WEAK_END.fullmatch(kept[-1]):
        kept.pop()
    if not kept and text and has_han(text):
        return _first_syllables(text, most)
    return " ".join(kept)
