"""The offline writer over themes, styles, moods and seeds: rhyme, metre, no repetition, the person's own words."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.composer.engine.write.en_rhyme import RHYMES
from services.composer.engine.write.lyrics import LyricsBrief, LyricsSection, LyricsVersion
from services.composer.engine.write.manner import MANNERS, Manner, find_manner
from services.composer.engine.write.numbers import read_numbers
from services.composer.engine.write.syllables import count_syllables
from services.composer.engine.write.theme import LIFE, THEMES, clean, find_theme, own_words
from services.composer.engine.write.writer import write_lyrics
from tests.composer.ears import en_rhymes, en_words, zh_class

FREE_ZH = ("程序员的键盘", "减肥", "外星人", "我的第一双球鞋", "量子力学", "写一首关于火锅的歌", "18岁", "Python 和我")
FREE_EN = ("my blue bicycle", "a song about robots", "quantum mechanics", "coffee", "the last dance of 1999", "tax day")
STYLES = ("", "流行", "民谣", "rock", "electronic", "说唱", "古风", "ballad", "lo-fi", "儿歌", "something else")
MOODS = ("", "快乐", "sad", "治愈", "热血", "romantic", "unheard of")

themes_zh = st.sampled_from([theme.named_zh for theme in THEMES] + list(FREE_ZH))
themes_en = st.sampled_from([theme.named_en for theme in THEMES] + list(FREE_EN))


def briefs(themes: st.SearchStrategy[str]) -> st.SearchStrategy[LyricsBrief]:
    """Return briefs of every style and mood with these themes."""
    return st.builds(
        LyricsBrief,
        theme=themes,
        style=st.sampled_from(STYLES),
        mood=st.sampled_from(MOODS),
        seed=st.integers(0, 2**32 - 1),
    )


def rhyming_ends(section: LyricsSection) -> tuple[str, ...]:
    """Return the lines of a section that carry its rhymes: every line, or every second one when they are short."""
    return section.lines[1::2] if is_short(section) else section.lines


def is_short(section: LyricsSection) -> bool:
    """Say whether a section is laid out in half-lines."""
    return len(section.lines) == 8


def distinct_lines(version: LyricsVersion) -> list[str]:
    """Return the lines of a version, those of its chorus once."""
    seen_chorus = False
    lines: list[str] = []
    for section in version.sections:
        if section.kind == "chorus" and seen_chorus:
            continue
        seen_chorus |= section.kind == "chorus"
        lines += section.lines
    return lines


@settings(max_examples=120, deadline=None)
@given(brief=briefs(themes_zh))
def test_zh_rhymes(brief: LyricsBrief) -> None:
    """In Chinese every second line of a section ends in one class of rhymes, by a dictionary that is not ours."""
    for version in write_lyrics(brief):
        assert version.language == "zh"
        for section in version.sections:
            ends = rhyming_ends(section)[1::2]
            assert len({zh_class(line) for line in ends}) == 1, section
            assert zh_class(ends[0]), section


@settings(max_examples=120, deadline=None)
@given(brief=briefs(themes_en))
def test_en_rhymes(brief: LyricsBrief) -> None:
    """In English the lines rhyme in pairs, by a dictionary that is not ours, on different words."""
    for version in write_lyrics(brief):
        assert version.language == "en"
        for section in version.sections:
            ends = [en_words(line)[-1].lower() for line in rhyming_ends(section)]
            for first, second in zip(ends[::2], ends[1::2], strict=True):
                assert en_rhymes(first) & en_rhymes(second), section
                assert first != second, section
            sounds = [RHYMES[second] for second in ends[1::2]]
            assert len(sounds) == len(set(sounds)), section


@settings(max_examples=120, deadline=None)
@given(brief=briefs(themes_zh | themes_en))
def test_metre(brief: LyricsBrief) -> None:
    """Every line has 6 to 16 syllables, 3 to 12 in the short layout; the person's own words may add eight."""
    for version in write_lyrics(brief):
        for section in version.sections:
            short = is_short(section)
            for line in section.lines:
                least, most = (3, 9) if short else (6, 16)
                assert least <= count_syllables(line) <= most + 8, line


@settings(max_examples=120, deadline=None)
@given(brief=briefs(themes_zh | themes_en))
def test_no_line_twice(brief: LyricsBrief) -> None:
    """No line comes twice but in the repeated chorus, no slot is left open, and A and B share no line."""
    a, b = write_lyrics(brief)
    for version in (a, b):
        lines = distinct_lines(version)
        assert len(lines) == len(set(lines))
        assert not any(mark in line for line in lines for mark in "{}|/[]")
        assert all(line.strip() == line and line for line in lines)
    assert not set(distinct_lines(a)) & set(distinct_lines(b))
    assert a.form != b.form
    assert len(a.form) == len(a.sections)


@settings(max_examples=60, deadline=None)
@given(brief=briefs(themes_zh | themes_en))
def test_seed(brief: LyricsBrief) -> None:
    """The same brief gives the same words, and another seed other words."""
    again = LyricsBrief(**{name: getattr(brief, name) for name in LyricsBrief.__slots__})
    other = LyricsBrief(brief.theme, style=brief.style, mood=brief.mood, seed=brief.seed + 1)
    assert write_lyrics(brief) == write_lyrics(again)
    assert write_lyrics(brief)[0].as_text() != write_lyrics(other)[0].as_text()


@pytest.mark.parametrize("theme", [*FREE_ZH, *FREE_EN])
def test_own_words_are_sung(theme: str) -> None:
    """A theme that has no table is sung in chorus, first verse and bridge of both versions, word for word."""
    words = own_words(clean(theme), "zh" if theme in FREE_ZH else "en")
    assert words
    for version in write_lyrics(LyricsBrief(theme, seed=3)):
        first = {section.kind: section for section in reversed(version.sections)}
        for kind in ("chorus", "verse", "bridge"):
            sung = " ".join(first[kind].lines)
            assert words.casefold() in sung.casefold(), (words, sung)


@pytest.mark.parametrize(
    ("asked", "sung"),
    [
        ("请写一首关于夏天的西瓜的歌", "夏天的西瓜"),
        ("一个人在冬天的站台等末班车", "站台等末班车"),
        ("2024年的雪", "二零二四年的雪"),
        ("18岁", "十八岁"),
        ("Python 和我", "Python和我"),
        ("写作", "写作"),
    ],
)
def test_own_words_zh(asked: str, sung: str) -> None:
    """The words of a Chinese theme lose the request around them, their digits are read out, and they fit a line."""
    assert own_words(clean(asked), "zh").replace(" ", "") == sung.replace(" ", "")


@pytest.mark.parametrize(
    ("asked", "sung"),
    [
        ("Write me a song about my blue bicycle", "my blue bicycle"),
        ("the long way home from the station in the rain", "the long way home from the station"),
        ("summer of 1999", "summer of nineteen ninety-nine"),
        ("writing code", "writing code"),
    ],
)
def test_own_words_en(asked: str, sung: str) -> None:
    """The words of an English theme lose the request around them and never end with a word that needs another."""
    assert own_words(clean(asked), "en") == sung


@pytest.mark.parametrize(
    "theme",
    [
        "🤖🎸🔥",
        "<script>alert('x')</script>",
        "长" * 1000,
        "x" * 1000,
        "12345678901234567890",
        "שלום עולם",
        "\u202eabc",
        "",
    ],
)
def test_hostile_theme(theme: str) -> None:
    """Whatever the theme is, two whole songs come of it, no line with emoji, markup, digits or turned writing."""
    for language in ("auto", "zh", "en"):
        for version in write_lyrics(LyricsBrief(theme, language=language, seed=1)):
            text = "\n".join(line for section in version.sections for line in section.lines)
            assert not any(ord(each) > 0xFFFF or each in "<>{}0123456789\u202e" for each in text)
            assert "ש" not in text
            assert all(count_syllables(line) <= 24 for line in text.splitlines()), text


@settings(max_examples=150, deadline=None)
@given(theme=st.text(max_size=300), title=st.text(max_size=50), words=st.lists(st.text(max_size=40), max_size=4))
def test_any_text(theme: str, title: str, words: list[str]) -> None:
    """No text makes the writer fail."""
    for version in write_lyrics(LyricsBrief(theme, title=title, keywords=tuple(words))):
        assert version.title
        assert len(version.sections) >= 4


def test_languages() -> None:
    """The language asked for wins; else a Chinese character makes a Chinese song, and Latin letters an English one."""
    assert write_lyrics(LyricsBrief("海边"))[0].language == "zh"
    assert write_lyrics(LyricsBrief("the sea"))[0].language == "en"
    assert write_lyrics(LyricsBrief("Python 和我"))[0].language == "zh"
    english = write_lyrics(LyricsBrief("海边", language="en"))[0]
    assert (english.language, english.title) == ("en", "The sea")
    long = write_lyrics(LyricsBrief("falling in love at the laundromat in june"))[0]
    assert long.title == "Falling in love at the laundromat in june"
    assert write_lyrics(LyricsBrief("the sea", language="zh"))[0].title == "大海"


def test_themes_are_found() -> None:
    """A theme is found by its names in both languages, and not inside of other words."""
    found = {text: find_theme(text).name for text in ("海边的夏天", "missing the last train", "training", "大家好")}
    assert found == {
        "海边的夏天": "sea",
        "missing the last train": "farewell",
        "training": LIFE.name,
        "大家好": LIFE.name,
    }


@pytest.mark.parametrize("manner", MANNERS, ids=lambda manner: manner.name)
def test_manner(manner: Manner) -> None:
    """Every style gives its forms, and the short ones lines of half the length."""
    style = manner.aliases[0]
    assert find_manner(style) is manner
    a, b = write_lyrics(LyricsBrief("大海", style=style, seed=2))
    assert (a.form, b.form) == manner.forms
    assert {len(section.lines) for section in a.sections} == ({8} if manner.short else {4})


def test_we_sing_together() -> None:
    """Folk songs are sung by us: no I is left in an English one."""
    for seed in range(30):
        for version in write_lyrics(LyricsBrief("old friends", style="folk", seed=seed)):
            words = {word.lower() for line in distinct_lines(version) for word in en_words(line)}
            assert not words & {"i", "i'm", "i've", "i'd", "i'll", "me", "my"}


def test_own_words_stay_as_they_are() -> None:
    """Singing in the plural does not change what the person wrote."""
    for seed in range(10):
        for version in write_lyrics(LyricsBrief("my blue bicycle", style="folk", seed=seed)):
            assert "my blue bicycle" in version.as_text()
            assert "our blue bicycle" not in version.as_text()


def test_keyword_is_sung() -> None:
    """A keyword opens the second verse."""
    a, _ = write_lyrics(LyricsBrief("大海", keywords=("外婆",), seed=4))
    verses = [section for section in a.sections if section.kind == "verse"]
    assert "外婆" in verses[1].lines[0]


def test_numbers() -> None:
    """Numbers are read out the way each language counts, years and long ones digit by digit or in pairs."""
    assert read_numbers("110 和 105, 20, 10, 0", "zh") == "一百一十 和 一百零五, 二十, 十, 零"
    read = {digits: read_numbers(digits, "en").strip() for digits in ("7", "42", "110", "1999", "2005", "2024", "007")}
    assert read == {
        "7": "seven",
        "42": "forty-two",
        "110": "one hundred and ten",
        "1999": "nineteen ninety-nine",
        "2005": "two thousand five",
        "2024": "twenty twenty-four",
        "007": "zero zero seven",
    }
    for one, other in pairwise(range(1000)):
        assert read_numbers(str(one), "zh") != read_numbers(str(other), "zh")
        assert read_numbers(str(one), "en") != read_numbers(str(other), "en")
