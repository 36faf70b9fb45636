"""A list of words that content must not hold, found however they are dressed up.

Letters are compared without case, width and accents. What is put between characters to hide a word (blanks, signs,
characters of no width) is passed over in Chinese words; a Latin word counts only whole, so that no town is refused for
the letters in its name.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.composer.domain.moderation import Standing

LONGEST_WORD = 64
MOST_WORDS = 100_000

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Hit:
    """A word of the list that was found, and how grave it is."""

    word: str
    standing: Standing


@dataclass(frozen=True)
class WordList:
    """Words by their gravity; made by `parsed`."""

    han: Mapping[str, Standing]
    latin: Mapping[str, Standing]
    _lengths: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    _most_words: int = 0

    @classmethod
    def parsed(cls, lines: Iterable[str]) -> "WordList":
        """Return the list of a text with a word on each line; `review` behind a tab asks a person to look at it.

        Lines that begin with # say nothing. Raises ValueError, with the number of the line, for a word that is empty or
        too long once it is folded, for another word behind the tab, and for more words than a list may have.
        """
        han: dict[str, Standing] = {}
        latin: dict[str, Standing] = {}
        for number, line in enumerate(lines, 1):
            text, _, gravity = line.partition("\t")
            if not text.strip() or text.startswith("#"):
                continue
            if gravity.strip() not in {"", "review", "risky"}:
                raise ValueError(f"line {number}: {gravity.strip()!r} is neither review nor risky")
            standing = Standing(gravity.strip() or "risky")
            into, word = (han, _bare(text)) if _HAN.search(text) else (latin, " ".join(_words(text)))
            if not 0 < len(word) <= LONGEST_WORD:
                raise ValueError(f"line {number}: a word has 1 to {LONGEST_WORD} letters or digits")
            into[word] = standing
            if len(han) + len(latin) > MOST_WORDS:
                raise ValueError(f"line {number}: a list has at most {MOST_WORDS} words")
        lengths: dict[str, set[int]] = {}
        for word in han:
            lengths.setdefault(word[0], set()).add(len(word))
        most_words = max((word.count(" ") + 1 for word in latin), default=0)
        return cls(han, latin, {first: tuple(sorted(each)) for first, each in lengths.items()}, most_words)

    def find(self, text: str) -> Hit | None:
        """Return the gravest word that the text holds, the first one of those, or None."""
        found = [*self._han_in(_bare(text)), *self._latin_in(_words(text))]
        return min(found, key=lambda hit: hit.standing is not Standing.RISKY, default=None)

    def _han_in(self, bare: str) -> Iterable[Hit]:
        for start, character in enumerate(bare):
            for length in self._lengths.get(character, ()):
                standing = self.han.get(bare[start : start + length])
                if standing is not None:
                    yield Hit(bare[start : start + length], standing)

    def _latin_in(self, words: list[str]) -> Iterable[Hit]:
        for start in range(len(words)):
            for count in range(1, self._most_words + 1):
                word = " ".join(words[start : start + count])
                standing = self.latin.get(word)
                if standing is not None and start + count <= len(words):
                    yield Hit(word, standing)


def _folded(text: str) -> str:
    """Return the text without case, width and accents; a text of other scripts keeps its letters."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(each for each in plain if not unicodedata.combining(each))


def _bare(text: str) -> str:
    """Return letters and digits alone."""
    return "".join(each for each in _folded(text) if each.isalnum())


def _words(text: str) -> list[str]:
    """Return the words between whatever is no letter or digit; characters of no width are in no word's way."""
    visible = "".join(each for each in _folded(text) if unicodedata.category(each) != "Cf")
    return re.findall(r"[^\W_]+", visible)
