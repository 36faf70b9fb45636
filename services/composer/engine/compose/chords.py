"""The chord vocabulary: what may be built on each degree, its functional class and its printed name."""

from __future__ import annotations

from dataclasses import dataclass

from services.composer.engine.music import Chord, Key, Mode

QUALITIES: dict[str, tuple[int, ...]] = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "add9": (0, 4, 7, 2),
    "madd9": (0, 3, 7, 2),
    "6": (0, 4, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
}
"""Semitones above the root by chord suffix; the first three are the triad."""

_SHARP = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLAT = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_FLAT_MAJORS = frozenset({5, 10, 3, 8, 1, 6})
"""Tonics of the major keys written with flats: F, Bb, Eb, Ab, Db, Gb."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chord that the harmoniser may choose: its root above the tonic, its suffix, its function and its price."""

    degree: int
    """Semitones of the root above the tonic."""
    quality: str
    function: str
    """T tonic, S subdominant, D dominant, X secondary dominant."""
    price: float = 0.0
    """What using it costs, in the units of the emission; rare colours cost more."""
    resolves: int = -1
    """Semitones above the tonic of the root a secondary dominant must go to."""

    def pitch_classes(self, key: Key) -> tuple[int, ...]:
        """Return the sounding pitch classes, root first."""
        return tuple((key.tonic + self.degree + step) % 12 for step in QUALITIES[self.quality])

    def placed(self, key: Key, beat: float, beats: float) -> Chord:
        """Return the chord as it stands in a song."""
        root = (key.tonic + self.degree) % 12
        return Chord(beat, beats, root, self.pitch_classes(key), note_name(root, key) + self.quality)


def note_name(pitch_class: int, key: Key) -> str:
    """Return the name of a pitch class, spelled with flats in the keys that have them."""
    major_tonic = key.tonic if key.mode is Mode.MAJOR else (key.tonic + 3) % 12
    return (_FLAT if major_tonic in _FLAT_MAJORS else _SHARP)[pitch_class % 12]


_PLAIN = {
    Mode.MAJOR: (
        Candidate(0, "", "T"),
        Candidate(2, "m", "S", 0.15),
        Candidate(4, "m", "T", 0.45),
        Candidate(5, "", "S"),
        Candidate(7, "", "D"),
        Candidate(9, "m", "T", 0.1),
    ),
    Mode.MINOR: (
        Candidate(0, "m", "T"),
        Candidate(3, "", "T", 0.2),
        Candidate(5, "m", "S"),
        Candidate(7, "", "D"),
        Candidate(7, "m", "D", 0.35),
        Candidate(8, "", "S", 0.1),
        Candidate(10, "", "D", 0.15),
    ),
}

_SEVENTHS = {
    Mode.MAJOR: (
        Candidate(0, "maj7", "T", 0.05),
        Candidate(0, "6", "T", 0.2),
        Candidate(2, "m7", "S"),
        Candidate(4, "m7", "T", 0.2),
        Candidate(5, "maj7", "S"),
        Candidate(5, "m", "S", 0.7),
        Candidate(7, "7", "D"),
        Candidate(9, "m7", "T"),
        Candidate(9, "7", "X", 0.5, 2),
        Candidate(2, "7", "X", 0.5, 7),
        Candidate(4, "7", "X", 0.5, 9),
        Candidate(0, "7", "X", 0.6, 5),
    ),
    Mode.MINOR: (
        Candidate(0, "m7", "T"),
        Candidate(0, "madd9", "T", 0.2),
        Candidate(2, "m7b5", "S", 0.2),
        Candidate(3, "maj7", "T", 0.1),
        Candidate(5, "m7", "S"),
        Candidate(7, "7", "D"),
        Candidate(8, "maj7", "S"),
        Candidate(10, "7", "X", 0.2, 3),
        Candidate(0, "7", "X", 0.6, 5),
    ),
}

_MODAL = {
    Mode.MAJOR: (
        Candidate(0, "add9", "T"),
        Candidate(2, "m7", "S", 0.1),
        Candidate(4, "m7", "T", 0.35),
        Candidate(5, "add9", "S"),
        Candidate(7, "sus4", "D", 0.25),
        Candidate(7, "", "D", 0.1),
        Candidate(9, "m7", "T"),
        Candidate(10, "", "S", 0.6),
        Candidate(4, "7", "X", 0.7, 9),
    ),
    Mode.MINOR: (
        Candidate(0, "madd9", "T"),
        Candidate(3, "add9", "T", 0.1),
        Candidate(5, "m7", "S"),
        Candidate(7, "m7", "D", 0.2),
        Candidate(7, "", "D", 0.2),
        Candidate(8, "add9", "S"),
        Candidate(10, "", "D"),
        Candidate(10, "sus4", "D", 0.4),
    ),
}

_VOCABULARIES = {"plain": _PLAIN, "sevenths": _SEVENTHS, "modal": _MODAL}


def vocabulary(colour: str, mode: Mode) -> tuple[Candidate, ...]:
    """Return the chords of a colour: `plain` (diatonic triads), `sevenths` (with secondary dominants) or `modal`."""
    return _VOCABULARIES[colour][mode]
