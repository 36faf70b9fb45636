"""Where songs stand by what was found in them, and how words are found."""

import itertools
from datetime import UTC, datetime

import pytest

from services.composer.domain.moderation import (
    ContentInReview,
    ContentRejected,
    Finding,
    Part,
    Standing,
    digest_of,
    require_shareable,
    standing_of,
    worst,
)
from services.composer.domain.word_list import MOST_WORDS, WordList
from services.composer.providers.word_list import word_list

NOW = datetime(2031, 5, 4, tzinfo=UTC)
HERE = digest_of("夏天", "la la")
LIST = WordList.parsed(["代开发票", "加微信\treview", "casino bonus", "ass", "# a remark", "", "café noir\treview"])


def _finding(part: Part, standing: Standing, digest: str = HERE) -> Finding:
    return Finding(part=part, standing=standing, source="test", digest="" if part is Part.SOUND else digest)


@pytest.mark.parametrize(("words", "sound"), list(itertools.product(Standing, Standing)))
def test_the_worst_part_decides(words: Standing, sound: Standing) -> None:
    """Whatever words and sound stand at, the song stands at the graver of the two, and never better."""
    found = [_finding(Part.WORDS, words), _finding(Part.SOUND, sound)]
    order = [Standing.PASS, Standing.PENDING, Standing.UNCHECKED, Standing.REVIEW, Standing.RISKY]
    assert standing_of(found, HERE) is max(words, sound, key=order.index)


@pytest.mark.parametrize("sound", list(Standing))
@pytest.mark.parametrize("said", [Standing.PASS, Standing.RISKY])
def test_a_person_has_the_last_word(said: Standing, sound: Standing) -> None:
    """A person's word stands above every checker, for these words."""
    found = [_finding(Part.WORDS, Standing.RISKY), _finding(Part.SOUND, sound), _finding(Part.PERSON, said)]
    assert standing_of(found, HERE) is said


def test_other_words_are_unchecked() -> None:
    """When the words change, what was found in the old ones counts for nothing, a person's pass as well."""
    found = [_finding(Part.WORDS, Standing.PASS), _finding(Part.PERSON, Standing.PASS)]
    assert standing_of(found, digest_of("夏天", "la")) is Standing.UNCHECKED


def test_other_words_do_not_cure_a_sound() -> None:
    """A sound that is risky stays so whatever its words become."""
    found = [_finding(Part.WORDS, Standing.PASS), _finding(Part.SOUND, Standing.RISKY)]
    assert standing_of(found, digest_of("other", "words")) is Standing.RISKY


def test_title_and_words_are_told_apart() -> None:
    """Words that move from the title into the lyrics are other words."""
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_nothing_found_is_no_pass() -> None:
    """A song in which nobody has looked is unchecked."""
    assert standing_of([], HERE) is Standing.UNCHECKED
    assert worst([]) is Standing.UNCHECKED


@pytest.mark.parametrize("standing", list(Standing))
def test_only_what_passes_may_be_shared(standing: Standing) -> None:
    """A song is shared when it passes or waits for the verdict on its sound alone."""
    if standing in {Standing.PASS, Standing.PENDING}:
        require_shareable(standing)
        return
    wanted = ContentRejected if standing is Standing.RISKY else ContentInReview
    with pytest.raises(wanted):
        require_shareable(standing)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("专业代开发票，量大从优", "代开发票"),
        ("代 开-发*票", "代开发票"),
        ("代\u200b开\u200d发票", "代开发票"),
        ("Casino  Bonus!", "casino bonus"),
        ("ＣＡＳＩＮＯ bonus", "casino bonus"),
        ("casino\nbonus", "casino bonus"),
        ("what an ass", "ass"),
        ("加V微信", ""),
        ("加微信", "加微信"),
        ("CAFE\u0301 noir", "cafe noir"),
        ("Sussex grass passes", ""),
        ("casino", ""),
        ("发票代开", ""),
        ("", ""),
    ],
)
def test_words_are_found_however_they_are_dressed(text: str, word: str) -> None:
    """Blanks, signs, case, width and accents hide no word, and a Latin word is found only whole."""
    hit = LIST.find(text)
    assert (hit.word if hit else "") == word


def test_the_gravest_word_is_told() -> None:
    """Of a word for review and a refused one in the same text, the refused one counts."""
    hit = LIST.find("加微信，代开发票")
    assert hit is not None
    assert (hit.word, hit.standing) == ("代开发票", Standing.RISKY)


@pytest.mark.parametrize(
    ("line", "words"),
    [("词\tmaybe", "line 2"), ("…", "line 2"), ("字" * 65, "line 2")],
)
def test_a_list_that_makes_no_sense_is_refused_by_line(line: str, words: str) -> None:
    """A list with an unknown gravity, or a word that is empty or endless, is refused with the number of the line."""
    with pytest.raises(ValueError, match=words):
        WordList.parsed(["good", line])


def test_a_list_has_a_limit() -> None:
    """A list of more words than may be is refused."""
    with pytest.raises(ValueError, match="at most"):
        WordList.parsed(f"word{number}" for number in range(MOST_WORDS + 1))


def test_our_own_list_is_whole() -> None:
    """The list that comes with Cadenza is read, refuses an offer of a crime, and leaves grief alone."""
    ours = word_list(None)
    assert len(ours.han) + len(ours.latin) > 20
    assert ours.find("网上赌场，注册送金币") is not None
    assert ours.find("我恨你，我爱你，让我哭一场") is None
