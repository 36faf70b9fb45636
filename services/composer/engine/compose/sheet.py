"""A score as a chord sheet: plain text that somebody with a guitar can play from, four bars to the line."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from services.composer.engine.compose.chords import note_name
from services.composer.engine.compose.metre import metre_of
from services.composer.engine.sing.timings import lines_in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Score, Section, Sung

BARS_A_LINE = 4
_GOES_ON = "%"
"""Stands for a chord that began before, as musicians write a repeated bar."""
_TOUCH = 1e-6


def chord_sheet(score: Score) -> str:
    """Return title, key, tempo and metre, then the chords of every section, bar by bar, ending in a line feed.

    A bar in which the chord only goes on is a `%`, but a section begins with the chord that sounds. The words of a
    section that is sung follow its bars, each chord over the syllable on which it comes.
    """
    key = f"{note_name(score.key.tonic, score.key)} {score.key.mode.value}"
    metre = metre_of(score)
    tempo = f"{score.tempo_bpm:.0f} bpm{' (dotted quarters)' if score.compound else ''}"
    head = [score.title, f"{key}, {tempo}, {metre.name}, {score.style}, {score.label}"]
    lines = [line.strip() for line in head]
    words = lines_in_order(score)
    for section in score.sections:
        bars = _bars(score, section, metre.beats_a_bar)
        width = max(map(len, bars))
        lines += ["", f"[{section.name}]"]
        for first in range(0, len(bars), BARS_A_LINE):
            lines.append("".join(f"| {bar:<{width}} " for bar in bars[first : first + BARS_A_LINE]) + "|")
        for line in words:
            # A line that begins before the bar line belongs to the section it ends in.
            if section.beat - _TOUCH <= line[-1].notes[0].beat < section.beat + section.beats - _TOUCH:
                lines += _words(score, line)
    return "\n".join(lines) + "\n"


def _bars(score: Score, section: Section, per_bar: int) -> list[str]:
    """Return what is written into each bar of the section."""
    bars = []
    count = max(1, round(section.beats / per_bar))
    for number in range(count):
        begin = section.beat + number * per_bar
        end = begin + per_bar
        chords = [chord for chord in score.chords if begin - _TOUCH <= chord.beat < end - _TOUCH]
        written = [chord.name for chord in chords]
        if not chords or chords[0].beat > begin + _TOUCH:
            written.insert(0, _sounding(score, begin) if number == 0 and score.chords else _GOES_ON)
        bars.append(" ".join(written))
    return bars


def _sounding(score: Score, beat: float) -> str:
    """Return the name of the chord that sounds at `beat`, the first one before all."""
    return ([chord.name for chord in score.chords if chord.beat <= beat + _TOUCH] or [score.chords[0].name])[-1]


def _words(score: Score, line: Sequence[Sung]) -> list[str]:
    """Return two lines of text: chord names where they come, and under them the words as they were written."""
    text = score.lines[line[0].line]
    begin, end = line[0].notes[0].beat, line[-1].notes[-1].beat + line[-1].notes[-1].beats
    coming = [(begin, _sounding(score, begin))] if score.chords else []
    coming += [(chord.beat, chord.name) for chord in score.chords if begin + _TOUCH < chord.beat < end - _TOUCH]
    columns = _columns(text, line)
    above = ""
    before = ""
    for beat, name in coming:
        if name == before:
            continue
        before = name
        over = [column for each, column in zip(line, columns, strict=True) if each.notes[0].beat <= beat + _TOUCH]
        above = f"{above} " if above else ""
        above += " " * (over[-1] - len(above)) + name
    return [above, text]


def _columns(text: str, line: Sequence[Sung]) -> list[int]:
    """Return the column of a typewriter at which each syllable begins in the text; what is not there has the last."""
    at = 0
    letters, places = "", []
    for sign in text:
        if sign.isalnum():
            letters += sign.lower()[0]
            places.append(at)
        at += 2 if east_asian_width(sign) in "WF" else 1
    found: list[int] = []
    cursor = 0
    for each in line:
        wanted = "".join(filter(str.isalnum, each.text.lower()))
        place = letters.find(wanted, cursor) if wanted else -1
        if place >= 0:
            cursor = place + len(wanted)
            found.append(places[place])
        else:
            found.append(found[-1] if found else 0)
    return found
