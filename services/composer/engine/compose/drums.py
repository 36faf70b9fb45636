"""The drummer: a light and a full groove, fills that lead into the next section, a build in the bridge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.engine.compose.frame import Frame, limited
from services.composer.engine.compose.grooves import DRUM_KEYS, DRUMS, STEPS_PER_BEAT, bar_of
from services.composer.engine.music import Note

if TYPE_CHECKING:
    import numpy as np

    from services.composer.engine.compose.form import Passage

_FULL_ENERGY = 0.72
_STEP = 1.0 / STEPS_PER_BEAT

_FILLS = {
    "kit": ("S7..S5S6.S8T7T6F8", "S6.S7.T7.T6.F8.S9.", "..S5S6S7S8T8F9"),
    "soft": ("..R4.R5.T5..", "B4B4B5B5T5.T6.", "....T5..F6.."),
}
"""Fills as pairs of drum letter and velocity digit per sixteenth, `.` a rest; they end at the bar line."""

_SOFT_STYLES = frozenset({"folk", "guofeng", "ballad", "bossa", "jazz", "cinematic", "children"})


def play_drums(frame: Frame) -> tuple[Note, ...]:
    """Return the drum part: General MIDI percussion keys, one short note per stroke."""
    light, full = DRUMS[frame.style.drums]
    rng = frame.rng("drums")
    notes: list[Note] = []
    for passage in frame.form.passages:
        for bar in range(passage.bar, passage.bar + passage.bars):
            if bar == frame.form.bars - 1:
                notes.extend(_last_stroke(frame, bar))
                continue
            if not _plays(passage, bar, frame):
                continue
            strong = frame.energy_at(frame.beat_of(bar)) >= _FULL_ENERGY
            rows = bar_of(full if strong else light, frame.beats_per_bar)
            filling = bar == passage.bar + passage.bars - 1 and passage.name != "outro"
            notes.extend(_bar(rows, frame, bar, rng, fill=filling))
            if bar == passage.bar and strong:
                notes.append(Note(frame.beat_of(bar), _STEP, _crash(frame), 88))
    return tuple(sorted(notes, key=lambda n: (n.beat, n.pitch)))


def _plays(passage: Passage, bar: int, frame: Frame) -> bool:
    """Return whether the drums play in a bar: late in the intro, from the middle of a bridge, never in calm verses."""
    inside = bar - passage.bar
    calm = frame.mood.energy <= -0.6 or frame.style.name in {"ballad", "guofeng", "cinematic"}
    if passage.name == "intro":
        return inside >= passage.bars / 2 and (not calm or inside == passage.bars - 1)
    if passage.name == "verse":
        return not calm or inside >= passage.bars / 2
    if passage.name == "bridge":
        return inside >= passage.bars / 2
    return True


def _crash(frame: Frame) -> int:
    return DRUM_KEYS["D"] if frame.style.name in {"jazz", "bossa"} else DRUM_KEYS["C"]


def _last_stroke(frame: Frame, bar: int) -> list[Note]:
    beat = frame.beat_of(bar)
    low = DRUM_KEYS["F" if frame.style.drums in {"guofeng", "cinematic"} else "K"]
    return [Note(beat, _STEP, low, 80), Note(beat, _STEP, _crash(frame), 66)]


def _bar(rows: dict[str, str], frame: Frame, bar: int, rng: np.random.Generator, *, fill: bool) -> list[Note]:
    start = frame.beat_of(bar)
    end = float(frame.beats_per_bar)
    strokes = _fill(frame, rng) if fill else []
    cut = end - len(strokes) * _STEP
    notes = []
    for name, cells in rows.items():
        for step, cell in enumerate(cells):
            inside = step * _STEP
            if cell == "." or (inside >= cut - 1e-6 and name not in {"K", "P"}):
                continue
            notes.append(Note(start + inside, _STEP, DRUM_KEYS[name], _stroke(int(cell), frame, start)))
    for index, stroke in enumerate(strokes):
        if stroke:
            name, digit = stroke[0], stroke[1:]
            beat = start + cut + index * _STEP
            notes.append(Note(beat, _STEP, DRUM_KEYS[name], _stroke(int(digit), frame, start)))
    return notes


def _stroke(digit: int, frame: Frame, beat: float) -> int:
    return limited((14 + 11 * digit) * (0.75 + 0.3 * frame.energy_at(beat)))


def _fill(frame: Frame, rng: np.random.Generator) -> list[str]:
    """Return the strokes of a fill, at most half a bar of sixteenths."""
    texts = _FILLS["soft" if frame.style.name in _SOFT_STYLES else "kit"]
    text = texts[int(rng.integers(len(texts)))]
    strokes: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == ".":
            strokes.append("")
            position += 1
        else:
            strokes.append(text[position : position + 2])
            position += 2
    return strokes[-max(STEPS_PER_BEAT, frame.beats_per_bar * STEPS_PER_BEAT // 2) :]
