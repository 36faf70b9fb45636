"""When the words of a song are sung, for whoever shows them while it plays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.composer.engine.compose.timing import seconds_at

if TYPE_CHECKING:
    from services.composer.engine.music import Score, Sung


def lines_in_order(score: Score) -> list[list[Sung]]:
    """Return the syllables of each line in the order in which they are sung; none where nobody sings.

    A line of words is begun anew when it is sung again. What two singers sing at once is there once.
    """
    every = [each for part in score.parts if part.role == "voice" for each in part.sung]
    found: list[list[Sung]] = []
    seen: set[float] = set()
    for each in sorted(every, key=lambda sung: sung.notes[0].beat):
        if each.notes[0].beat in seen:
            continue
        seen.add(each.notes[0].beat)
        before = found[-1][-1] if found else None
        if before is None or each.line != before.line or each.index <= before.index:
            found.append([])
        found[-1].append(each)
    return found


def sung_lines(score: Score) -> list[list[Any]]:
    """Return the lines in the order in which they are sung; none where nobody sings.

    A line is its text, start, end and syllables, a syllable its text, start and end, all times in milliseconds from
    the start of the song.
    """

    def at(beat: float) -> int:
        return round(1000.0 * seconds_at(beat, tempo_bpm=score.tempo_bpm, swing=score.swing))

    found: list[list[Any]] = []
    for line in lines_in_order(score):
        timed = [[s.text, at(s.notes[0].beat), at(s.notes[-1].beat + s.notes[-1].beats)] for s in line]
        found.append([score.lines[line[0].line], timed[0][1], timed[-1][2], timed])
    return found
