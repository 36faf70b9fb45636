"""Lyrics as people write them, read into what can be sung: sections, lines, syllables, pauses.

The rule for what cannot be sung. Digits are read out, in Chinese where the line has Chinese characters and in English
otherwise. Latin words stay English words, also inside a Chinese line; a word of two to five capitals is spelled,
letter by letter. Punctuation and gaps between Chinese words are pauses. Everything else (emoji, symbols, other
scripts, control characters) is left out, and named in `dropped`. Only the first 3,000 characters are read, to the end
of a line.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from typing import Literal

from services.composer.engine.sing.chinese import han_sounds
from services.composer.engine.sing.english import split_word, stresses
from services.composer.engine.write.numbers import read_numbers

LONGEST_LYRICS = 3000
"""Most characters that are read."""

Kind = Literal["verse", "chorus", "bridge"]

_KINDS: tuple[tuple[Kind, str], ...] = (
    ("verse", r"verse|主歌|第?[一二三1-3]?段|rap|intro|前奏|pre-?chorus|导歌"),
    ("chorus", r"chorus|副歌|hook|refrain"),
    ("bridge", r"bridge|桥段|过渡|间奏|outro|尾声|interlude"),
)
_TAG = re.compile(r"^[\[【(（]\s*([^\]】)）]{1,24}?)\s*\d{0,2}\s*[\]】)）]\s*[:：]?$")
_MARKUP = re.compile(r"<[a-zA-Z/!?][^<>]*>")
_HAN_CLASS = r"\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_HAN_CLASS}]+|[A-Za-z\u00c0-\u024f]+(?:'[A-Za-z]+)?|[^{_HAN_CLASS}A-Za-z\u00c0-\u024f]+")
_HAN = re.compile(rf"[{_HAN_CLASS}]")
_PAUSE = re.compile(r"[,.;:!?…。，、；：！？—–~～|/()（）《》「」『』“”\"]")
_SPELLED = {"W": ("dou", "ble", "u")}


@dataclass(frozen=True, slots=True)
class SungSyllable:
    """One syllable; Chinese ones have initial, final and tone, English ones a stress. `pause` follows it.

    `word` is the whole English word, in letters and an apostrophe, that the syllable is one of.
    """

    text: str
    language: Literal["zh", "en"]
    starts_word: bool
    stressed: bool
    initial: str = ""
    final: str = ""
    tone: int = 0
    pause: bool = False
    word: str = ""


@dataclass(frozen=True, slots=True)
class SungLine:
    """One line as it is sung; `written` is how the person wrote it."""

    written: str
    syllables: tuple[SungSyllable, ...]


@dataclass(frozen=True, slots=True)
class SungSection:
    """One section; what comes before the first tag is a verse."""

    kind: Kind
    lines: tuple[SungLine, ...]


@dataclass(frozen=True, slots=True)
class SungLyrics:
    """Lyrics as they are sung, and the characters that were left out, each once, in order."""

    sections: tuple[SungSection, ...]
    dropped: tuple[str, ...]


def read_lyrics(lyrics: str) -> SungLyrics:
    """Return the lyrics as they are sung; lines of which nothing can be sung, and sections without lines, are gone.

    Without any tag, a block of lines that comes again word for word is a chorus, every other one a verse.
    """
    blocks, tagged = _blocks(_cut(unicodedata.normalize("NFC", lyrics)))
    sections: list[SungSection] = []
    dropped: dict[str, None] = {}
    for kind, lines in blocks:
        sung = tuple(line for line in (_line(each, dropped) for each in lines) if line.syllables)
        if sung:
            sections.append(SungSection(kind, sung))
    if not tagged:
        texts = [tuple(line.written for line in section.lines) for section in sections]
        sections = [
            SungSection("chorus" if texts.count(text) > 1 else "verse", section.lines)
            for text, section in zip(texts, sections, strict=True)
        ]
    return SungLyrics(tuple(sections), tuple(dropped))


def _cut(lyrics: str) -> str:
    if len(lyrics) <= LONGEST_LYRICS:
        return lyrics
    head, _, _ = lyrics[: LONGEST_LYRICS + 1].rpartition("\n")
    return head or lyrics[:LONGEST_LYRICS]


def _blocks(lyrics: str) -> tuple[list[tuple[Kind, list[str]]], bool]:
    """Return the blocks of lines with their kinds, and whether a tag said so; an empty line ends an untagged block."""
    blocks: list[tuple[Kind, list[str]]] = [("verse", [])]
    tagged = False
    for line in map(str.strip, lyrics.splitlines()):
        tag = _TAG.match(line)
        kind = _kind(tag[1]) if tag else None
        if kind:
            tagged = True
            blocks.append((kind, []))
        elif line:
            blocks[-1][1].append(line)
        elif not tagged and blocks[-1][1]:
            blocks.append(("verse", []))
    return blocks, tagged


def _kind(name: str) -> Kind | None:
    return next((kind for kind, names in _KINDS if re.fullmatch(names, name.strip().lower())), None)


def _line(written: str, dropped: dict[str, None]) -> SungLine:
    """Return the line as it is sung; notes in *dropped* what was left out."""
    plain = unicodedata.normalize("NFKC", _MARKUP.sub(" ", written)).replace("\u2019", "'")
    read = read_numbers(plain, "zh" if _HAN.search(plain) else "en")
    syllables: list[SungSyllable] = []
    for token in _TOKEN.findall(read):
        if _HAN.match(token):
            syllables += _chinese(token)
        elif token[0].isalpha():
            syllables += _english(token)
        else:
            after_han = bool(syllables) and syllables[-1].language == "zh"
            if syllables and (_PAUSE.search(token) or (after_han and " " in token)):
                syllables[-1] = _with_pause(syllables[-1])
            for each in token:
                if not (each.isspace() or each in "'-" or unicodedata.category(each)[0] == "P" or _PAUSE.match(each)):
                    dropped[each] = None
    return SungLine(written, tuple(syllables))


def _with_pause(last: SungSyllable) -> SungSyllable:
    return replace(last, pause=True)


def _chinese(run: str) -> list[SungSyllable]:
    return [
        SungSyllable(each, "zh", starts_word=True, stressed=sound.tone != 5, initial=sound.initial, final=sound.final,
                     tone=sound.tone)
        for each, sound in zip(run, han_sounds(run), strict=True)
    ]  # fmt: skip


def _english(word: str) -> list[SungSyllable]:
    if re.fullmatch(r"[A-Z]{2,5}", word):
        return [
            SungSyllable(part, "en", starts_word=not place, stressed=not place, word=letter.lower())
            for letter in word
            for place, part in enumerate(_SPELLED.get(letter, (letter.lower(),)))
        ]
    plain = unicodedata.normalize("NFD", word).encode("ascii", "ignore").decode()
    parts = split_word(plain)
    marks = stresses(plain)
    return [
        SungSyllable(part, "en", starts_word=not place, stressed=stressed, word=plain.lower())
        for place, (part, stressed) in enumerate(zip(parts, marks, strict=True))
    ]
