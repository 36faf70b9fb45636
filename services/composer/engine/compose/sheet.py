"""A score as a chord sheet: plain text that somebody with a guitar can play from, four bars to the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.engine.compose.chords import note_name

if TYPE_CHECKING:
    from services.composer.engine.music import Score, Section

BARS_A_LINE = 4
_GOES_ON = "%"
"""Stands for a chord that began before, as musicians write a repeated bar."""
_TOUCH = 1e-6


def chord_sheet(score: Score) -> str:
    """Return title, key, tempo and metre, then the chords of every section, bar by bar, ending in a line feed.

    A bar in which the chord only goes on is a `%`, but a section begins with the chord that sounds.
    """
    key = f"{note_name(score.key.tonic, score.key)} {score.key.mode.value}"
    head = [score.title, f"{key}, {score.tempo_bpm:.0f} bpm, {score.beats_per_bar}/4, {score.style}, {score.label}"]
    lines = [line.strip() for line in head]
    for section in score.sections:
        bars = _bars(score, section)
        width = max(map(len, bars))
        lines += ["", f"[{section.name}]"]
        for first in range(0, len(bars), BARS_A_LINE):
            lines.append("".join(f"| {bar:<{width}} " for bar in bars[first : first + BARS_A_LINE]) + "|")
    return "\n".join(lines) + "\n"


def _bars(score: Score, section: Section) -> list[str]:
    """Return what is written into each bar of the section."""
    bars = []
    count = max(1, round(section.beats / score.beats_per_bar))
    for number in range(count):
        begin = section.beat + number * score.beats_per_bar
        end = begin + score.beats_per_bar
        chords = [chord for chord in score.chords if begin - _TOUCH <= chord.beat < end - _TOUCH]
        written = [chord.name for chord in chords]
        if not chords or chords[0].beat > begin + _TOUCH:
            sounding = [chord.name for chord in score.chords if chord.beat <= begin + _TOUCH]
            written.insert(0, sounding[-1] if number == 0 and sounding else _GOES_ON)
        bars.append(" ".join(written))
    return bars
