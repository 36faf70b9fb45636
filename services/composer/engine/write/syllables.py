"""How many syllables a piece of text is sung in; exact for Chinese, a rule of thumb for the words people bring."""

from __future__ import annotations

import re

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f']+")
_VOWELS = re.compile(r"[aeiouy\u00c0-\u00c6\u00c8-\u00d6\u00d8-\u00dd\u00e0-\u00e6\u00e8-\u00f6\u00f8-\u00ff]+")


def count_syllables(text: str) -> int:
    """Return the syllables of a text: one for each Chinese character, groups of vowels for every other word."""
    return len(_HAN.findall(text)) + sum(_of_word(word) for word in _WORD.findall(text))


def has_han(text: str) -> bool:
    """Say whether the text holds Chinese characters."""
    return _HAN.search(text) is not None


_SILENT_INSIDE = re.compile(r"(?<=[aeiouy][^aeiouy])e(?=(?:ty|teen|ly|ment|less|ful|ness|time|some)$)")


def _of_word(word: str) -> int:
    """Return the syllables of an English word: its groups of vowels, without a final silent e."""
    plain = word.casefold().strip("'").removesuffix("'s")
    count = len(_VOWELS.findall(_SILENT_INSIDE.sub("", plain)))
    silent = plain.endswith(("e", "es", "ed")) and not plain.endswith(("le", "ee", "ted", "ded", "ses", "ces", "ges"))
    return max(1, count - (silent and count > 1))
