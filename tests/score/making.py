"""Songs for the table: composed of known tunes, rendered, encoded to mp3 and decoded again, as a listener gets them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Literal

from services.composer.engine.compose.song import compose
from services.composer.engine.music import RENDER_RATE, Note
from services.composer.engine.render.song import render
from services.composer.engine.render.soundfont import find_soundfont
from services.composer.providers.sound import decode, encode_mp3, ffmpeg_program
from tests.composer.frozen_tunes import FROZEN_TUNES
from tests.composer.hand_made import analysis_from, brief
from tests.composer.tunes import TUNING_TUNES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.composer.engine.music import Analysis, Score
    from tests.score.row import Kept

Label = Literal["A", "B"]
TUNES = {tune.name: tune for tune in (*TUNING_TUNES, *FROZEN_TUNES)}
SOUNDFONT = find_soundfont(None)


@dataclass(frozen=True)
class Plan:
    """One song to make: a tune as a perfect listener hears it, and the wishes."""

    tune: str
    style: str
    label: Label
    seconds: float
    tempo_bpm: float
    transpose: int
    seed: int

    @property
    def kept(self) -> Kept:
        """Whether somebody who sets the engine's numbers has looked at the tune."""
        return "tuned on" if any(tune.name == self.tune for tune in TUNING_TUNES) else "frozen"

    @property
    def words(self) -> str:
        """The song in a few words."""
        return f"{self.style} {self.label}, {self.tune}, {self.seconds:.0f} s"


def analysis_for(plan: Plan) -> Analysis:
    """Return what a perfect listener would have heard."""
    tune = TUNES[plan.tune]
    beat = -float(tune.pickup)
    melody = []
    for beats, pitch in tune.notes(plan.transpose):
        if pitch is not None:
            melody.append(Note(beat, beats, pitch))
        beat += beats
    return analysis_from(melody, tune.key(plan.transpose), tempo_bpm=plan.tempo_bpm, beats_per_bar=tune.beats_per_bar)


def score_for(plan: Plan) -> Score:
    """Return the song of the plan before any sound."""
    return compose(analysis_for(plan), brief(plan.style, seconds=plan.seconds, seed=plan.seed), plan.label)


def truth(plan: Plan, score: Score) -> tuple[Note, ...]:
    """Return the tune of the plan where each chorus of the song has to begin with it, in the octave of the song.

    Taken from the notation and not from what the engine says it has placed. A pickup before the song is left out.
    """
    notes: list[Note] = []
    tune = analysis_for(plan).melody
    octave = 12 * round((median(n.pitch for n in score.melody) - median(n.pitch for n in tune)) / 12.0)
    for section in score.sections:
        if section.name == "chorus":
            inside = [note for note in tune if note.beat < section.beats - 1e-6 and section.beat + note.beat >= 0.0]
            notes += [replace(note, beat=section.beat + note.beat, pitch=note.pitch + octave) for note in inside]
    return tuple(notes)


def heard(score: Score) -> NDArray[np.float32]:
    """Return the song as people hear it: rendered, through an mp3, decoded to (samples, 2)."""
    ffmpeg = ffmpeg_program("")
    mp3 = encode_mp3(render(score, soundfont=SOUNDFONT).audio, rate=RENDER_RATE, ffmpeg=ffmpeg, title=score.title)
    return decode(mp3, rate=RENDER_RATE, channels=2, ffmpeg=ffmpeg)


def backing_of(score: Score) -> Score:
    """Return the score without any part that follows the tune."""
    return replace(score, parts=tuple(part for part in score.parts if part.role not in {"lead", "harmony"}))
