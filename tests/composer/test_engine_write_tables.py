"""The writer's tables, row by row, heard by dictionaries that are not its own."""

import re
from itertools import combinations

import pytest

from services.composer.engine.write import (
    en_frames,
    en_nature,
    en_people,
    en_rhyme,
    zh_classical,
    zh_frames,
    zh_nature,
    zh_people,
)
from services.composer.engine.write.couplet import read_couplets
from services.composer.engine.write.theme import LIFE, THEMES
from services.composer.engine.write.zh_rhyme import CLASSES, RHYMES
from tests.composer.ears import en_beats, en_rhymes, en_syllables, en_words, zh_class

OWN = {"zh": "月亮", "en": "music"}


def tables(*modules: object) -> list[tuple[str, str]]:
    """Return name and rows of every table of the modules."""
    return [
        (f"{module.__name__.rpartition('.')[2]}.{name}", value)  # type: ignore[attr-defined]
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    ]


ZH = tables(zh_nature, zh_people, zh_frames, zh_classical)
EN = tables(en_nature, en_people, en_frames)


def variants(half: str, own: str) -> list[str]:
    """Return the half-line with each filling of its slots in turn."""
    half = half.replace("{T}", own)
    most = max((slot.count("|") + 1 for slot in re.findall(r"\{[^{}]*\}", half)), default=1)

    def pick(slot: re.Match[str], turn: int) -> str:
        fillings = slot[1].split("|")
        return fillings[turn % len(fillings)]

    return [re.sub(r"\{([^{}]*)\}", lambda slot, turn=turn: pick(slot, turn), half) for turn in range(most)]  # type: ignore[misc]


@pytest.mark.parametrize(("name", "table"), ZH, ids=lambda value: value if "." in value[:30] else "")
def test_zh_table(name: str, table: str) -> None:
    """Both lines of a Chinese couplet end in its class by the dictionary, on different characters."""
    for couplet in read_couplets(table, "zh"):
        ends = [line[1] for line in couplet.lines]
        assert zh_class("".join(variants("".join(couplet.lines[1]), OWN["zh"])[0])) == couplet.rhyme, couplet
        assert zh_class(variants("".join(couplet.lines[0]), OWN["zh"])[0]) in CLASSES, couplet
        assert ends[0][-1] != ends[1][-1], couplet


@pytest.mark.parametrize(("name", "table"), ZH, ids=lambda value: value if "." in value[:30] else "")
def test_zh_metre(name: str, table: str) -> None:
    """Every Chinese half-line has three to eight characters, and all fillings of its slots are equally long."""
    for couplet in read_couplets(table, "zh"):
        for line in couplet.lines:
            for half in line:
                lengths = {len(each) for each in variants(half, OWN["zh"])}
                assert len(lengths) == 1, half
                assert 3 <= lengths.pop() <= 8, half


@pytest.mark.parametrize(("name", "table"), EN, ids=lambda value: value if "." in value[:30] else "")
def test_en_table(name: str, table: str) -> None:
    """The lines of an English couplet rhyme perfectly by the dictionary, on different words."""
    for couplet in read_couplets(table, "en"):
        first, second = (en_words(line[1])[-1].lower() for line in couplet.lines)
        assert en_rhymes(first) & en_rhymes(second), couplet
        assert first != second, couplet


@pytest.mark.parametrize(("name", "table"), EN, ids=lambda value: value if "." in value[:30] else "")
def test_en_metre(name: str, table: str) -> None:
    """An English half-line has three to eight syllables and one beat or more, a line nine to thirteen and three."""
    for couplet in read_couplets(table, "en"):
        for line in couplet.lines:
            fillings = [variants(half, OWN["en"]) for half in line]
            assert all(len({en_syllables(each) for each in half}) == 1 for half in fillings), line
            halves = [half[0] for half in fillings]
            assert all(3 <= en_syllables(half) <= 8 for half in halves), line
            assert all(en_beats(half) >= 1 for half in halves), line
            assert 9 <= en_syllables(" ".join(halves)) <= 13, line
            assert en_beats(" ".join(halves)) >= 3, line


@pytest.mark.parametrize("theme", [*THEMES, LIFE], ids=lambda theme: theme.name)
def test_theme_has_enough(theme: object) -> None:
    """Every theme has three Chinese couplets in each class, and twelve English ones."""
    zh = read_couplets(theme.couplets_zh, "zh")  # type: ignore[attr-defined]
    assert all(sum(couplet.rhyme == name for couplet in zh) >= 3 for name in CLASSES)
    assert len(read_couplets(theme.couplets_en, "en")) >= 12  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_no_half_twice(language: str) -> None:
    """No half-line stands in two tables or twice in one: in the short layout each is a line of its own."""
    rows, pause = (ZH, " ") if language == "zh" else (EN, " | ")
    lines = [line for _, table in rows for row in table.strip().splitlines() for line in row.split(" / ")]
    halves = [half.rstrip(",").lower() for line in lines for half in line.split(pause)]
    assert len(halves) == len(set(halves))


def test_own_words_stand_inside() -> None:
    """The person's own words never end a line, so that no rhyme depends on them."""
    for _, table in ZH + EN:
        for row in table.strip().splitlines():
            assert not any(line.rstrip().endswith("}") for line in row.split(" / "))


def test_en_classes() -> None:
    """All words of an English class share a rhyming part by the dictionary."""
    for name in set(en_rhyme.RHYMES.values()):
        words = [word for word, listed in en_rhyme.RHYMES.items() if listed == name]
        assert set.intersection(*(en_rhymes(word) for word in words)), words


def test_classes_are_apart() -> None:
    """No character is listed in two rhyme classes."""
    assert set(RHYMES.values()) == set(CLASSES)
    for one, other in combinations(CLASSES, 2):
        listed = [{each for each, name in RHYMES.items() if name == wanted} for wanted in (one, other)]
        assert not listed[0] & listed[1]
