"""When the words of a song are sung, for whoever shows them while it plays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.composer.engine.compose.timing import seconds_at

if TYPE_CHECKING:
    from services.composer.engine.music import Score, Sung


def sung_lines(score: Score) -> list[list[Any]]:
    """Return the lines in the order in which they are sung; none where nobody sings.

    A line is its text, start, end and syllables, a syllable its text, start and end, all times in milliseconds from
    the start of the song. A line of words is begun anew when it is sung again.
    """

    def at(beat: float) -> int:
        return round(1000.0 * seconds_at(beat, tempo_bpm=score.tempo_bpm, swing=score.swing))

    every = [each for part in score.parts if part.role == "voice" for each in part.sung]
    found: list[list[Any]] = []
    before: Sung | None = None
    seen: set[float] = set()
    for each in sorted(every, key=lambda sung: sung.notes[0].beat):
        if each.notes[0].beat in seen:
            continue  # two singers at once
        seen.add(each.notes[0].beat)
        start, end = at(each.notes[0].beat), at(each.notes[-1].beat + each.notes[-1].beats)
        if before is None or each.line != before.line or each.index <= before.index:
            found.append([score.lines[each.line], start, end, []])
        found[-1][2] = end
        found[-1][3].append([each.text, start, end])
        before = each
    return found
