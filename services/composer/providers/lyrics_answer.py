"""Words out of a model's answer: read with patience, checked without it.

Whatever a model puts around the words is taken off: fences, thoughts, headings, numbers, markup. Words that are not
what was asked for are not mended but refused, for the model to be asked once more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from services.composer.domain.track import clean_line
from services.composer.providers import WrittenWords
from services.composer.providers.loose_json import read_loosely

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.providers import LyricsOrder
    from services.composer.providers.lyrics_prompt import Prompt

LABELS: Final = ("A", "B")
_LONGEST_TITLE: Final = 128
_LONGEST_LINE: Final = 100
_MOST_LINES: Final = 24
_SECTIONS: Final = (2, 16)
_LONGEST_TEXT: Final = 6000

_KINDS: Final[Mapping[str, str]] = {
    "verse": "verse", "prechorus": "verse", "intro": "verse", "outro": "verse", "主歌": "verse", "导歌": "verse",
    "chorus": "chorus", "hook": "chorus", "refrain": "chorus", "postchorus": "chorus", "副歌": "chorus",
    "bridge": "bridge", "桥段": "bridge", "过渡": "bridge", "间奏": "bridge",
}  # fmt: skip
_KIND: Final = re.compile(r"[^a-z\u4e00-\u9fff]+")
_HEADING: Final = re.compile(
    r"[\[(（【*#\s]*(?:verse|pre-?chorus|chorus|bridge|intro|outro|hook|主歌|副歌|桥段|导歌|间奏)[\s\d一二三四]*[\])）】*:：\s]*",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"^(?:[-*•]\s+|\d{1,2}[.)、]\s*)+")
_MARKS: Final = re.compile(r"\*\*|__|`+")
_CHINESE: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")
_STRUCTURE: Final = re.compile(r"[{}]|\"(?:versions|sections|lines|kind|refused)\"")


class Unusable(Exception):  # an outcome, not a fault
    """Raised when an answer does not hold two versions as asked for; the text says in a word or two why."""


class Declined(Exception):  # an outcome, not a fault
    """Raised when the model itself says that it will not write this."""


def written_words(
    text: str, order: LyricsOrder, prompt: Prompt, *, provider: str, model: str
) -> tuple[WrittenWords, WrittenWords]:
    """Return versions A and B of the answer; raises Declined and Unusable."""
    loose = read_loosely(text)
    if loose is None:
        raise Unusable("no JSON")
    if isinstance(loose.value, dict) and loose.value.get("refused") is True:
        raise Declined
    found = _versions(loose.value)[:2]
    if len(found) < len(LABELS):
        raise Unusable("fewer than two versions")
    a, b = (
        _version(each, order, prompt, label=cast('Literal["A", "B"]', label), maker=(provider, model))
        for label, each in zip(LABELS, found, strict=True)
    )
    if a.sections == b.sections:
        raise Unusable("the versions are the same")
    return a, b


def growing(text: str) -> dict[str, str]:
    """Return what can be read of each version so far, by label, in an answer that still comes.

    A text only ever grows at its end while the answer does.
    """
    loose = read_loosely(text)
    found: dict[str, str] = {}
    for label, version in zip(LABELS, _versions(loose.value) if loose else (), strict=False):
        parts: list[str] = []
        for section in _list(version.get("sections")):
            lines = [each for each in _list(section.get("lines")) if isinstance(each, str)]
            if lines and isinstance(section.get("kind"), str):
                parts.append("\n".join((f"[{section['kind']}]", *lines)))
        if parts:
            found[label] = "\n\n".join(parts)[:_LONGEST_TEXT]
    return found


def _versions(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        value = value.get("versions")
    return [each for each in _list(value) if isinstance(each, dict)]


def _list(value: Any) -> list[Any]:
    return [each for each in value if isinstance(each, (dict, str))] if isinstance(value, list) else []


def _version(
    found: Mapping[str, Any], order: LyricsOrder, prompt: Prompt, *, label: Literal["A", "B"], maker: tuple[str, str]
) -> WrittenWords:
    """Return one version, cleaned and checked; raises Unusable."""
    sections = tuple(_section(each, prompt) for each in _list(found.get("sections")) if isinstance(each, dict))
    sections = tuple(each for each in sections if each[1])
    least, most = _SECTIONS
    kinds = [kind for kind, _ in sections]
    if not least <= len(sections) <= most or not {"verse", "chorus"} <= set(kinds):
        raise Unusable("sections are missing")
    words = "\n".join(line for _, lines in sections for line in lines)
    if len(words) > _LONGEST_TEXT:
        raise Unusable("too long")
    title = order.title or _line(str(found.get("title", "")))
    if not title or len(title) > _LONGEST_TITLE or prompt.leaks(title):
        raise Unusable("no title")
    provider, model = maker
    return WrittenWords(
        label=label,
        title=title,
        language=_language(words, order.language),
        form="".join(kind[0].upper() for kind in kinds),
        sections=sections,
        provider=provider,
        model=model,
        prompt=prompt.label,
    )


def _section(found: Mapping[str, Any], prompt: Prompt) -> tuple[str, tuple[str, ...]]:
    kind = _KINDS.get(_KIND.sub("", str(found.get("kind", "")).lower()))
    if kind is None:
        raise Unusable("an unknown section")
    raw = found.get("lines")
    rows = raw.splitlines() if isinstance(raw, str) else [row for each in _list(raw) for row in str(each).splitlines()]
    lines = tuple(line for line in map(_line, rows) if line and not _HEADING.fullmatch(line))
    if len(lines) > _MOST_LINES or any(len(line) > _LONGEST_LINE for line in lines):
        raise Unusable("a section is too long")
    if any(_STRUCTURE.search(line) or prompt.leaks(line) for line in lines):
        raise Unusable("a line is no line of a song")
    return kind, tuple(line for line in lines if _CHINESE.search(line) or _LATIN.search(line))


def _line(text: str) -> str:
    return clean_line(_BULLET.sub("", _MARKS.sub("", text).strip()))


def _language(words: str, asked: str) -> str:
    """Return the language of the words; raises Unusable when another one was asked for."""
    chinese, latin = len(_CHINESE.findall(words)), len(_LATIN.findall(words))
    # A Chinese character is a syllable, an English one about three letters.
    language = "zh" if chinese * 3 >= latin else "en"
    if asked in {"zh", "en"} and asked != language:
        raise Unusable("the wrong language")
    return language
