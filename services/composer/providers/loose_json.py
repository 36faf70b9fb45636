"""JSON as models write it: behind a sentence, in fences, with trailing commas, with raw line breaks, cut in the middle.

The reader is strict wherever guessing could change words: strings and their escapes are those of RFC 8259, and anything
it does not know ends the reading.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

_THOUGHTS: Final = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# Nobody knows what a number at the end of the text would have become.
_CUT_NUMBER: Final = re.compile(r"-?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d*)?)?\Z")
_STRING_END: Final = re.compile(r'["\\]')
_SPACE: Final = re.compile(r"\s*")
_ESCAPES: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS: Final = {"true": True, "false": False, "null": None}
_DEEPEST: Final = 16
_NOTHING: Final = object()
_HIGH, _LOW, _END = 0xD800, 0xDC00, 0xE000


@dataclass(frozen=True)
class Loose:
    """What could be read, and whether nothing of it was missing."""

    value: Any
    whole: bool


def read_loosely(text: str) -> Loose | None:
    """Return the first object or list in the text, as far as it goes; None when there is none that makes sense."""
    text = _THOUGHTS.sub("", text)
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts:
        return None
    reader = _Reader(text, min(starts))
    try:
        value = reader.value(0)
    except (ValueError, IndexError):
        return None
    return Loose(value, not reader.cut)


class _Reader:
    """Reads on from a place in the text; `cut` once the text has ended too early."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.cut = False

    def value(self, depth: int) -> Any:
        """Return the next value, as far as it goes; ValueError for what is none."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        mark = self._peek()
        if mark == "{":
            return self._object(depth)
        if mark == "[":
            return self._list(depth)
        if mark == '"':
            return self._string()
        return self._plain()

    def _peek(self) -> str:
        """Return the next character that is no space, and note the end of the text."""
        found = _SPACE.match(self.text, self.at)
        self.at = found.end() if found else self.at
        if self.at >= len(self.text):
            self.cut = True
            return ""
        return self.text[self.at]

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while (mark := self._peek()) not in {"}", ""}:
            if mark != '"':
                raise ValueError("a name was expected")
            name = self._string()
            if self.cut or not self._peek():
                return found
            if self.text[self.at] != ":":
                raise ValueError("a colon was expected")
            self.at += 1
            if not self._peek():
                return found
            value = self.value(depth + 1)
            if value is not _NOTHING:
                found[name] = value
            if not self._goes_on("}"):
                break
        self.at += 1
        return found

    def _list(self, depth: int) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while self._peek() not in {"]", ""}:
            value = self.value(depth + 1)
            if value is not _NOTHING:
                found.append(value)
            if not self._goes_on("]"):
                break
        self.at += 1
        return found

    def _goes_on(self, end: str) -> bool:
        """Return whether a comma was there, which is passed; ValueError for anything but that, the end, or the cut."""
        mark = self._peek()
        if mark == ",":
            self.at += 1
            return True
        if mark in {end, ""}:
            return False
        raise ValueError("a comma was expected")

    def _string(self) -> str:
        self.at += 1
        parts: list[str] = []
        text = self.text
        while True:
            found = _STRING_END.search(text, self.at)
            stop = found.start() if found else len(text)
            parts.append(text[self.at : stop])
            self.at = stop + 1
            if stop >= len(text):
                self.cut = True
                return "".join(parts)
            if text[stop] == '"':
                return "".join(parts)
            parts.append(self._escape())
            if self.cut:
                return "".join(parts)

    def _escape(self) -> str:
        if self.at >= len(self.text):
            self.cut = True
            return ""
        mark = self.text[self.at]
        self.at += 1
        if mark != "u":
            return _ESCAPES.get(mark, mark)
        code = self._code()
        if _HIGH <= code < _LOW and self.text.startswith("\\u", self.at):
            self.at += 2
            low = self._code()
            if _LOW <= low < _END:
                return chr(0x10000 + ((code - _HIGH) << 10) + (low - _LOW))
            return ""
        # Half a pair is no character; the end of the text may have cut the other half off.
        return "" if code < 0 or _HIGH <= code < _END else chr(code)

    def _code(self) -> int:
        digits = self.text[self.at : self.at + 4]
        self.at += 4
        if len(digits) < 4:  # noqa: PLR2004  # the four digits of RFC 8259
            self.cut = True
            return -1
        return int(digits, 16)

    def _plain(self) -> Any:
        if _CUT_NUMBER.match(self.text, self.at):
            self.at, self.cut = len(self.text), True
            return _NOTHING
        found = _NUMBER.match(self.text, self.at)
        if found:
            self.at = found.end()
            return float(found[0]) if set(found[0]) & set(".eE") else int(found[0])
        rest = self.text[self.at :]
        for word, value in _WORDS.items():
            if rest.startswith(word):
                self.at += len(word)
                return value
        if any(word.startswith(rest) for word in _WORDS):
            self.at, self.cut = len(self.text), True
            return _NOTHING
        raise ValueError("no value")
