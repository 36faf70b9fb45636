"""How a song is counted on paper: its time signature, and the bars that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.composer.engine.music import Score


@dataclass(frozen=True, slots=True)
class PaperMetre:
    """A time signature of `count` notes of which `unit` make a whole one, and what a beat and a bar are in it."""

    count: int
    unit: int
    quarters_a_beat: float
    beats_a_bar: int

    @property
    def name(self) -> str:
        """The signature as it is written, for example 6/8."""
        return f"{self.count}/{self.unit}"


def metre_of(score: Score) -> PaperMetre:
    """Return the time signature of a score: quarters, or six eighths in bars of two beats when it is compound."""
    if score.compound:
        return PaperMetre(6, 8, 1.5, 2)
    return PaperMetre(score.beats_per_bar, 4, 1.0, score.beats_per_bar)
