"""The tones of Mandarin against the tune: whether a melody goes where its words go.

A syllable is as high as its tone is on the average of the five levels of Chao (1930): 55, 35, 214, 51. Where the next
one is a level or more higher or lower, the tune should move that way or stay, and not the other way. After the
measure of tone and tune of Wee, "Unraveling the relation between Mandarin tones and musical melody" (Journal of
Chinese Linguistics, 2007), with heights in place of the five cases that he tells apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.composer.engine.music import Sung

_HEIGHTS = {1: 5.0, 2: 4.0, 3: 1.5, 4: 3.0, 5: 2.5}
_LEVEL = 0.9
"""Heights that lie nearer than this are level."""


def tone_direction(before: int, after: int) -> int:
    """Return 1 when speech rises from one tone to the next, -1 when it falls, 0 when it is level or has no tones."""
    if before not in _HEIGHTS or after not in _HEIGHTS:
        return 0
    step = _HEIGHTS[after] - _HEIGHTS[before]
    return 0 if abs(step) < _LEVEL else 1 if step > 0 else -1


def tone_pairs(sung: Iterable[Sung]) -> list[tuple[int, int]]:
    """Return for each two neighbours of one line whose tones differ where the tones go, and where the tune goes."""
    pairs = []
    before: Sung | None = None
    for each in sung:
        if before is not None and each.line == before.line and not each.breath:
            wanted = tone_direction(before.tone, each.tone)
            move = each.notes[0].pitch - before.notes[-1].pitch
            if wanted:
                pairs.append((wanted, (move > 0) - (move < 0)))
        before = each
    return pairs


def shares(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Return the shares of contrary and of parallel motion among pairs of `tone_pairs`; 0 and 0 of none."""
    if not pairs:
        return 0.0, 0.0
    contrary = sum(wanted == -move for wanted, move in pairs)
    parallel = sum(wanted == move for wanted, move in pairs)
    return contrary / len(pairs), parallel / len(pairs)
