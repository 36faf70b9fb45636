"""Numbers as they are sung: digits have no syllables until somebody reads them out."""

from __future__ import annotations

import re
from typing import Literal

_ZH = "零一二三四五六七八九"
_ZH_PLACES = ("", "十", "百", "千")
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DIGITS = re.compile(r"\d+")


def read_numbers(text: str, language: Literal["zh", "en"]) -> str:
    """Return the text with every run of ASCII digits read out in words of the language.

    Numbers below a thousand are counted; years of four digits are read as people say years; everything else, and
    whatever begins with a zero, is read digit by digit.
    """
    read, gap = (_zh, "") if language == "zh" else (_en, " ")
    return _DIGITS.sub(lambda found: f"{gap}{read(found[0])}{gap}", text)


def _zh(digits: str) -> str:
    if len(digits) > 3 or (digits[0] == "0" and len(digits) > 1):
        return "".join(_ZH[int(each)] for each in digits)
    if digits == "0":
        return _ZH[0]
    words, gap = "", False
    for place, each in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        if each == "0":
            gap = True
            continue
        words += ("零" if gap else "") + _ZH[int(each)] + _ZH_PLACES[place]
        gap = False
    return words.removeprefix("一") if words.startswith("一十") else words


def _en(digits: str) -> str:
    if digits[0] != "0" and len(digits) <= 3:
        return _counted(int(digits))
    if digits[0] in "12" and len(digits) == 4:
        century, year = int(digits[:2]), int(digits[2:])
        if century % 10 == 0 and year < 10:
            return f"{_ONES[century // 10]} thousand{f' {_ONES[year]}' if year else ''}"
        if year == 0:
            return f"{_counted(century)} hundred"
        return f"{_counted(century)} {f'oh {_ONES[year]}' if year < 10 else _counted(year)}"
    return " ".join(_ONES[int(each)] for each in digits)


def _counted(number: int) -> str:
    """Return a whole number below a thousand in words."""
    hundreds, rest = divmod(number, 100)
    if hundreds:
        return f"{_ONES[hundreds]} hundred{f' and {_counted(rest)}' if rest else ''}"
    tens, ones = divmod(rest, 10)
    if rest < 20:
        return _ONES[rest]
    return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
