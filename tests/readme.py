"""The measured sections of README: each lies between two marks that bear its name, and is written by its command."""

import re
from pathlib import Path
from typing import Final

README: Final = Path(__file__).resolve().parents[1] / "README.md"


class MarksMissing(Exception):
    """The file has no place for the section; the text says what to add."""


def marks(name: str) -> tuple[str, str]:
    """Return the lines before and behind the section of that name."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def check_marks(path: Path, name: str) -> None:
    """Raise MarksMissing unless the file holds each mark of the section once and in order."""
    _place(path, name)


def read_section(path: Path, name: str) -> str:
    """Return what lies between the marks; raises MarksMissing."""
    return _place(path, name)[2].strip()


def write_section(path: Path, name: str, text: str) -> None:
    """Put the text between the marks instead of what was there, in one step; raises MarksMissing."""
    found = _place(path, name)
    begin, end = marks(name)
    unfinished = path.with_name(f"{path.name}.unfinished")
    whole = f"{found[1]}{begin}\n{text.strip()}\n{end}{found[3]}"
    unfinished.write_text(whole, encoding="utf-8")
    unfinished.replace(path)


def _place(path: Path, name: str) -> re.Match[str]:
    """Return what stands before the section, in it, and behind it."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    begin, end = marks(name)
    found = re.fullmatch(f"(.*){re.escape(begin)}(.*){re.escape(end)}(.*)", text, re.DOTALL)
    if found is None or text.count(begin) != 1 or text.count(end) != 1:
        raise MarksMissing(f"{path} must hold the line {begin} and after it the line {end}, each once.")
    return found
