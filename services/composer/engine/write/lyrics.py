"""What the writer is asked for and what it gives: plain values, the same for both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]
SectionKind = Literal["verse", "chorus", "bridge"]
VersionLabel = Literal["A", "B"]

MOST_SECTIONS = 8


@dataclass(frozen=True, slots=True)
class LyricsBrief:
    """The wishes of a person in their own words; any text is taken, what cannot be sung is left out by rule."""

    theme: str
    title: str = ""
    style: str = ""
    mood: str = ""
    language: Literal["zh", "en", "auto"] = "auto"
    keywords: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class LyricsSection:
    """One section; a chorus that comes again is a section again, with the same lines."""

    kind: SectionKind
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LyricsVersion:
    """One of the two versions; `form` is the sections' initials, for example `VCVCBC`."""

    label: VersionLabel
    title: str
    language: Language
    form: str
    sections: tuple[LyricsSection, ...]

    def as_text(self) -> str:
        """Return the words as they are sung, each section under its tag in square brackets."""
        return "\n\n".join("\n".join((f"[{each.kind}]", *each.lines)) for each in self.sections)
