"""Words set to music: each section of the lyrics gets rhythm and tune, and sections of a kind share theirs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.composer.engine.music import Note, Sung
from services.composer.engine.sing.melody import TONE_WEIGHT, Range, Slot, draw_chance, find_tune, model_at
from services.composer.engine.sing.rhythm import Grid, Rhythm, in_lines, line_rhythm
from services.composer.engine.sing.sounds import chinese_spelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from services.composer.engine.music import Chord
    from services.composer.engine.sing.text import SungLine, SungSyllable

_STRONG = 2
_TOGETHER = 2
"""Lines whose tunes are found together; the next ones answer them."""
_VERSE_PULL, _LINE_PULL = 0.9, 0.4
"""How closely a verse keeps to the tune of the verse before, and a line to that of the line that it answers."""


@dataclass(frozen=True, slots=True)
class Verse:
    """One line of music: its syllables, which line of the words they are of, and which of its syllables is the first.

    Both are counted from 0. `more` says that the line of words goes on in the next line of music.
    """

    line: int
    first: int
    syllables: tuple[SungSyllable, ...]
    more: bool = False


@dataclass
class Memory:
    """What was sung to the lines of one kind of section, so that its next verse has the same tune."""

    rhythms: dict[int, Rhythm] = field(default_factory=dict)
    tunes: dict[int, dict[float, int]] = field(default_factory=dict)
    """For each line of music the pitches by beats from its beginning."""


@dataclass(frozen=True)
class Manner:
    """How the words are sung: the grid of a line, where the tune lies, how much the tones of the words weigh."""

    grid: Grid
    place: Range
    tone_weight: float = TONE_WEIGHT

    @property
    def line_beats(self) -> float:
        """The length of one line of music in beats."""
        return self.grid.steps * self.grid.step_beats


def verses_of(lines: Sequence[SungLine], first_line: int, most: int) -> list[Verse]:
    """Return the lines of music of some lines of words, the first of which is line `first_line` of all."""
    verses = []
    for place, line in enumerate(lines):
        first = 0
        parts = in_lines(line.syllables, most)
        for part in parts:
            verses.append(Verse(first_line + place, first, part, more=part is not parts[-1]))
            first += len(part)
    return verses


def set_section(
    verses: Sequence[Verse],
    chords: Sequence[Chord],
    manner: Manner,
    memory: Memory,
    *,
    rng: np.random.Generator,
    closed: bool,
) -> tuple[Sung, ...]:
    """Return the syllables on their notes, from beat 0 of the section, whose chords begin there too.

    A line answers the line of its place in the section of this kind before, or the last but one of this section.
    `closed` ends the section on the tonic.
    """
    rhythms: list[Rhythm] = []
    for place, verse in enumerate(verses):
        rhythms.append(line_rhythm(verse.syllables, manner.grid, _model(memory.rhythms, rhythms, place)))
    chance = draw_chance(rng)
    slots = _slots(verses, rhythms, manner, closed=closed)
    tunes: list[tuple[int, ...]] = []
    for place in range(0, len(verses), _TOGETHER):
        here = [_answering(slots[p], p, memory, manner, rhythms, tunes) for p in range(place, len(slots))[:_TOGETHER]]
        after = tunes[-1][-1] if tunes else None
        found = find_tune(
            [slot for slotted in here for slot in slotted],
            chords,
            manner.place,
            chance=chance,
            after=after,
            tone_weight=manner.tone_weight,
        )
        for slotted in here:
            tunes.append(found[: len(slotted)])
            found = found[len(slotted) :]
    sung: list[Sung] = []
    for place, (verse, rhythm, line) in enumerate(zip(verses, rhythms, tunes, strict=True)):
        start = place * manner.line_beats
        memory.rhythms.setdefault(place, rhythm)
        memory.tunes.setdefault(place, dict(zip(rhythm.beats, line, strict=True)))
        notes = [
            Note(start + beat, beats, pitch)
            for beat, beats, pitch in zip(rhythm.beats, rhythm.lengths, line, strict=True)
        ]
        sung += words_on(verse, [(note,) for note in notes])
    return tuple(sung)


def words_on(verse: Verse, notes: Sequence[tuple[Note, ...]]) -> list[Sung]:
    """Return the syllables of a line of music on the notes of each."""
    sung = []
    syllables = verse.syllables
    for place, (each, its) in enumerate(zip(syllables, notes, strict=True)):
        first = max(p for p in range(place + 1) if syllables[p].starts_word or p == 0)
        last = next((p for p in range(place + 1, len(syllables)) if syllables[p].starts_word), len(syllables))
        english = each.language == "en"
        sung.append(
            Sung(
                text=each.text
                + (" " if english and last == place + 1 and (last < len(syllables) or verse.more) else ""),
                language=each.language,
                spoken=each.word if english else chinese_spelling(each.initial, each.final),
                place=place - first if english else 0,
                count=last - first if english else 1,
                tone=each.tone,
                line=verse.line,
                index=verse.first + place,
                breath=place == 0 or syllables[place - 1].pause,
                notes=its,
            )
        )
    return sung


def _model(before: dict[int, Rhythm], here: Sequence[Rhythm], place: int) -> Rhythm | None:
    if place in before:
        return before[place]
    return here[place - 2] if place >= 2 else here[-1] if here else None


def _slots(verses: Sequence[Verse], rhythms: Sequence[Rhythm], manner: Manner, *, closed: bool) -> list[list[Slot]]:
    """Return the slots of each line."""
    lines = []
    for place, (verse, rhythm) in enumerate(zip(verses, rhythms, strict=True)):
        slots = []
        for index, syllable in enumerate(verse.syllables):
            last = index == len(verse.syllables) - 1
            beat = rhythm.beats[index]
            slots.append(
                Slot(
                    beat=place * manner.line_beats + beat,
                    beats=rhythm.lengths[index],
                    tone=syllable.tone,
                    share=beat / manner.line_beats,
                    strong=manner.grid.strength(round(beat / manner.grid.step_beats)) >= _STRONG,
                    tied=index > 0 and not verse.syllables[index - 1].pause,
                    last=last,
                    closes=last and closed and place == len(verses) - 1,
                )
            )
        lines.append(slots)
    return lines


def _answering(
    line: Sequence[Slot],
    place: int,
    memory: Memory,
    manner: Manner,
    rhythms: Sequence[Rhythm],
    tunes: Sequence[tuple[int, ...]],
) -> list[Slot]:
    """Return the slots of a line with the pitches of the line that it answers, where that has a note."""
    known, pull = memory.tunes.get(place), _VERSE_PULL
    if known is None and place >= _TOGETHER and place - _TOGETHER < len(tunes):
        other = place - _TOGETHER
        known, pull = dict(zip(rhythms[other].beats, tunes[other], strict=True)), _LINE_PULL
    if known is None:
        return list(line)
    start = place * manner.line_beats
    return [replace(slot, model=model_at(known, slot.beat - start), pull=pull) for slot in line]
