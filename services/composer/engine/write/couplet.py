"""Couplets as values: read from the tables, their slots filled, laid out as lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from services.composer.engine.write import en_rhyme, zh_rhyme
from services.composer.engine.write.person import sung_by_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from services.composer.engine.write.lyrics import Language

_SLOT = re.compile(r"\{([^{}]+)\}")
_WORD = re.compile(r"[A-Za-z']+")


@dataclass(frozen=True, slots=True)
class Couplet:
    """Two lines that belong together, each of two half-lines; `rhyme` is the class of their last sounds."""

    lines: tuple[tuple[str, str], tuple[str, str]]
    rhyme: str
    ends: frozenset[str]
    """The last character or word of each line, in lower case."""


@cache
def read_couplets(table: str, language: Language) -> tuple[Couplet, ...]:
    """Return the couplets of a table; raises ValueError for a line that is not one."""
    return tuple(_couplet(row, language) for row in table.strip().splitlines())


def _couplet(row: str, language: Language) -> Couplet:
    pause = " " if language == "zh" else " | "
    lines: list[tuple[str, str]] = []
    for line in row.split(" / "):
        halves = line.split(pause)
        if len(halves) != 2:
            raise ValueError(f"not a line of two halves: {line}")
        lines.append((halves[0], halves[1]))
    if len(lines) != 2:
        raise ValueError(f"not a couplet: {row}")
    ends = [line[1][-1] if language == "zh" else _WORD.findall(line[1])[-1].lower() for line in lines]
    rhyme = (zh_rhyme if language == "zh" else en_rhyme).RHYMES[ends[1]]
    return Couplet((lines[0], lines[1]), rhyme, frozenset(ends))


def fill(couplet: Couplet, *, own: str, plural: bool, rng: Random) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return the couplet's half-lines with every slot filled; T by the person's own words, which nothing changes.

    With *plural* we sing and not I: in Chinese by a slot, in English by the rules of `person`.
    """
    fillings = {"T": own, "我": "我们" if plural else "我"}

    def filled(half: str) -> str:
        if plural:
            half = sung_by_us(half)
        return _SLOT.sub(lambda slot: fillings.get(slot[1]) or rng.choice(slot[1].split("|")), half)

    first, second = couplet.lines
    return (filled(first[0]), filled(first[1])), (filled(second[0]), filled(second[1]))


def lay_out(
    couplets: Sequence[tuple[tuple[str, str], tuple[str, str]]], language: Language, *, short: bool
) -> list[str]:
    """Return the lines of a section: one for each line of the couplets, or with *short* one for each half-line."""
    lines: list[str] = []
    for couplet in couplets:
        for halves in couplet:
            if short:
                lines += [half.rstrip(",") for half in halves]
            else:
                lines.append(" ".join(halves))
    return lines if language == "zh" else [line[0].upper() + line[1:] for line in lines]
