"""What every part writer needs to know of the song: the plan, the chords, the feel and its own random stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.composer.engine.compose.seeds import generator

if TYPE_CHECKING:
    import numpy as np

    from services.composer.engine.compose.form import Form, Passage
    from services.composer.engine.compose.moods import Mood
    from services.composer.engine.compose.styles import Palette, Style
    from services.composer.engine.music import Chord, Key


_MOOD_WEIGHT = 0.25
"""How far the strongest mood moves the energy of a section."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The song without its notes."""

    style: Style
    palette: Palette
    mood: Mood
    key: Key
    tempo_bpm: float
    beats_per_bar: int
    form: Form
    chords: tuple[Chord, ...]
    seed: int
    label: str

    @property
    def total_beats(self) -> float:
        """The length of the song in beats."""
        return float(self.form.bars * self.beats_per_bar)

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the random stream of one purpose."""
        return generator(self.seed, self.label, purpose)

    def beat_of(self, bar: int) -> float:
        """Return the beat of a bar line."""
        return float(bar * self.beats_per_bar)

    def passage_at(self, beat: float) -> Passage:
        """Return the passage that holds `beat`; the last one also holds everything after."""
        found = self.form.passages[0]
        for passage in self.form.passages:
            if self.beat_of(passage.bar) > beat + 1e-6:
                break
            found = passage
        return found

    def energy_at(self, beat: float) -> float:
        """Return the energy 0 to 1 of the moment, the mood counted in."""
        return min(1.0, max(0.2, self.passage_at(beat).energy + _MOOD_WEIGHT * self.mood.energy))


def limited(velocity: float) -> int:
    """Return a MIDI velocity: whole and between 1 and 127."""
    return int(min(127, max(1, round(velocity))))
