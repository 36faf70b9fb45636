"""The values that travel between the stages of the engine; every stage is a function from one to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANALYSIS_RATE = 16_000
"""Samples per second of the mono take that `listen` reads."""

RENDER_RATE = 44_100
"""Samples per second of the stereo signal that `render` makes."""


class Mode(StrEnum):
    """The two modes the key finder tells apart."""

    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic pitch class (0 = C ... 11 = B) and a mode."""

    tonic: int
    mode: Mode


@dataclass(frozen=True, slots=True)
class HeardNote:
    """One note as it was sung: seconds from the start of the take, MIDI pitch, strength from 0 to 1."""

    start_s: float
    end_s: float
    pitch: int
    """The pitch after the key, the tuning offset and the drift were found."""
    sung_pitch: float
    """The median pitch really sung, in fractional MIDI numbers."""
    strength: float = 0.8


BEND_RANGE_CENTS = 200
"""How far a pitch bend reaches to either side, as General MIDI has it until told otherwise."""


@dataclass(frozen=True, slots=True)
class Note:
    """One note of a score: quarter-note beats from the start of the song, MIDI pitch, velocity 1 to 127."""

    beat: float
    beats: float
    pitch: int
    velocity: int = 90
    bend: tuple[int, ...] = ()
    """Cents off the pitch at evenly spaced moments from the first to the last of the note: the singer's own slides
    and vibrato. Empty for a straight note."""


@dataclass(frozen=True, slots=True)
class TakeCheck:
    """What the judgement of a take measured before any note was looked for."""

    duration_s: float
    loudness_lufs: float
    peak: float
    noise_floor_db: float
    snr_db: float
    voiced_ratio: float
    clipped_runs: int


@dataclass(frozen=True, slots=True)
class Segment:
    """The stretch of the take that is composed upon, in seconds, and why it won (0 to 1)."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Analysis:
    """Everything that was heard in a take. Note times are seconds; melody beats start at the first bar line."""

    f0_hz: NDArray[np.float32]
    """One value per 10 ms, 0 where nothing is voiced."""
    notes: tuple[HeardNote, ...]
    melody: tuple[Note, ...]
    """The quantised tune of the segment; a pickup has negative beats."""
    key: Key
    key_margin: float
    """Log-likelihood lead of the key over the next one, per note."""
    tempo_bpm: float
    """Beats per minute; the beat is a quarter, or three eighths when `compound`."""
    beats_per_bar: int
    tuning_cents: float
    drift_cents_per_s: float
    segment: Segment
    swing: float = 0.0
    """How many beats the off-beat eighth comes late: 0 straight, 1/6 when beats are divided in three."""
    compound: bool = False
    """Whether each beat is divided in three throughout: 6/8, of which two bars are counted as one of four beats."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What the person asked for: empty style or mood lets the engine choose."""

    title: str = ""
    style: str = ""
    mood: str = ""
    duration_s: float = 75.0
    """Wanted length of the song, 30 to 180 s."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sung:
    """One syllable of the words, on its notes: one, or several in a row that are sung on the same vowel."""

    text: str
    """As it is shown, with the blank or the hyphen that follows it in its line."""
    language: Literal["zh", "en"]
    spoken: str
    """What the voice says: a Chinese syllable in letters, or the whole English word that this is a syllable of."""
    place: int
    """Which syllable of that word it is, from 0."""
    count: int
    """How many syllables the word has."""
    tone: int
    """1 to 4, 5 for the light one, 0 for what has none."""
    line: int
    """Which line of the words it is in, from 0."""
    index: int
    """Which syllable of that line it is, from 0."""
    breath: bool
    """Whether the singer takes breath before it."""
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a score. `role` is lead, harmony, pad, comp, bass, drums or fill; voice or choir where it is sung."""

    name: str
    role: str
    program: int
    """General MIDI program 0 to 127; ignored when `drums`."""
    drums: bool
    notes: tuple[Note, ...]
    pan: float = 0.0
    """-1 left to 1 right."""
    gain_db: float = 0.0
    voice: str = ""
    """Who sings it, male or female; empty for an instrument."""
    sung: tuple[Sung, ...] = ()
    """The words; their notes are those of the part."""


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord of the song: start and length in beats, root pitch class, sounding pitch classes, printed name."""

    beat: float
    beats: float
    root: int
    pitch_classes: tuple[int, ...]
    name: str


@dataclass(frozen=True, slots=True)
class Section:
    """A named stretch of the form (intro, verse, chorus, bridge, outro) in beats."""

    name: str
    beat: float
    beats: float


@dataclass(frozen=True, slots=True)
class Score:
    """A whole arranged song, ready to be rendered or written as MIDI."""

    title: str
    label: str
    """A or B."""
    style: str
    key: Key
    tempo_bpm: float
    beats_per_bar: int
    swing: float
    parts: tuple[Part, ...]
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    melody: tuple[Note, ...]
    """Every statement of the singer's own tune, as placed in this song: what the melody score listens for."""
    seed: int
    total_beats: float
    compound: bool = False
    """Whether each beat is three eighths, a dotted quarter: two bars of 6/8 are counted as one of four beats."""
    lines: tuple[str, ...] = ()
    """The words line by line as they were written, which `Sung.line` counts; empty where nobody sings."""


@dataclass(frozen=True)
class Master:
    """A mastered song: float32 stereo of shape (samples, 2) at `RENDER_RATE` and its measures."""

    audio: NDArray[np.float32]
    loudness_lufs: float
    true_peak_dbtp: float
    stems: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Dry stems by part name, only when they were asked for."""
