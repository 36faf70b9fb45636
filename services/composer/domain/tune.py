"""A person's changes to a tune that was heard: notes, stretch, key, tempo."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

from services.kit.errors import ParamInvalid

SLOWEST_BPM, FASTEST_BPM = 40.0, 240.0
LONGEST_MS = 180_000
SHORTEST_SEGMENT_MS = 2_000
KEY_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
"""How a tonic pitch class is printed."""
KEYS = frozenset(f"{tonic} {mode}" for tonic in KEY_NAMES for mode in ("major", "minor"))
_LOWEST_PITCH, _HIGHEST_PITCH = 24, 108

ChangedNote = tuple[int, int, int]
"""Start and end in milliseconds from the start of the take, MIDI pitch."""


@dataclass(frozen=True, kw_only=True)
class TuneChange:
    """What is to be otherwise; empty and 0 keep what was heard. Key and metre are those before transposing."""

    notes: tuple[ChangedNote, ...] = ()
    segment_start_ms: int = 0
    segment_end_ms: int = 0
    transpose_semitones: int = 0
    tempo_bpm: float = 0.0
    key: str = ""
    beats_per_bar: int = 0

    @classmethod
    def checked(
        cls,
        *,
        notes: Sequence[ChangedNote],
        segment_start_ms: int,
        segment_end_ms: int,
        transpose_semitones: int,
        tempo_bpm: float,
        key: str = "",
        beats_per_bar: int = 0,
    ) -> Self:
        """Return the change, notes cut where the next one begins; raises ParamInvalid for what is no tune."""
        for at, (start, end, pitch) in enumerate(notes):
            field = f"tune_change.notes[{at}]"
            if not 0 <= start < end <= LONGEST_MS:
                raise ParamInvalid.of(field, f"must start before it ends, within {LONGEST_MS} ms")
            if not _LOWEST_PITCH <= pitch <= _HIGHEST_PITCH:
                raise ParamInvalid.of(f"{field}.pitch", f"must lie between {_LOWEST_PITCH} and {_HIGHEST_PITCH}")
            if at and start <= notes[at - 1][0]:
                raise ParamInvalid.of(f"{field}.start_ms", "must be after the start of the note before")
        if (segment_start_ms or segment_end_ms) and segment_end_ms - segment_start_ms < SHORTEST_SEGMENT_MS:
            raise ParamInvalid.of(
                "tune_change.segment_end_ms", f"must be at least {SHORTEST_SEGMENT_MS} ms behind segment_start_ms"
            )
        if tempo_bpm and not SLOWEST_BPM <= tempo_bpm <= FASTEST_BPM:
            raise ParamInvalid.of("tune_change.tempo_bpm", f"must be 0 or {SLOWEST_BPM:.0f} to {FASTEST_BPM:.0f}")
        if key and key not in KEYS:
            raise ParamInvalid.of("tune_change.key", "must be a tonic and major or minor, for example `Eb minor`")
        cut = [(start, min(end, following[0]), pitch) for (start, end, pitch), following in pairwise(notes)]
        return cls(
            notes=(*cut, *notes[-1:]),
            segment_start_ms=segment_start_ms,
            segment_end_ms=segment_end_ms,
            transpose_semitones=transpose_semitones,
            tempo_bpm=tempo_bpm,
            key=key,
            beats_per_bar=beats_per_bar,
        )

    def plain(self) -> dict[str, Any]:
        """Return the change as JSON values, as a job keeps it."""
        return asdict(self)

    @classmethod
    def of_plain(cls, kept: dict[str, Any]) -> Self:
        """Return the change that was kept as JSON values."""
        return cls(**{**kept, "notes": tuple((start, end, pitch) for start, end, pitch in kept.get("notes", ()))})
