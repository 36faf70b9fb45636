"""What a person may change in a tune: a table for each rule."""

import json
import math

import pytest

from services.composer.domain.tune import LONGEST_MS, ChangedNote, TuneChange
from services.kit.errors import ParamInvalid

A, B = (0, 500, 60), (500, 900, 62)


def change(*notes: ChangedNote, **others: float | str) -> TuneChange:
    """Return the checked change that says nothing but what is given."""
    said: dict[str, float | str] = {
        "segment_start_ms": 0,
        "segment_end_ms": 0,
        "transpose_semitones": 0,
        "tempo_bpm": 0.0,
    }
    return TuneChange.checked(notes=notes, **{**said, **others})  # type: ignore[arg-type]


def test_nothing_said_is_nothing_changed() -> None:
    """The empty change is the default one."""
    assert change() == TuneChange()


def test_a_note_ends_where_the_next_begins() -> None:
    """Overlapping notes are cut, gaps stay, and the last note keeps its end."""
    assert change((0, 700, 60), (500, 800, 62), (1000, 1200, 64)).notes == (
        (0, 500, 60), (500, 800, 62), (1000, 1200, 64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("notes", "others", "field"),
    [
        (((500, 500, 60),), {}, "tune_change.notes[0]"),
        (((500, 400, 60),), {}, "tune_change.notes[0]"),
        (((-1, 400, 60),), {}, "tune_change.notes[0]"),
        ((A, (600, LONGEST_MS + 1, 60)), {}, "tune_change.notes[1]"),
        ((A, (600, 700, 23)), {}, "tune_change.notes[1].pitch"),
        ((A, (600, 700, 109)), {}, "tune_change.notes[1].pitch"),
        ((A, B, (500, 700, 60)), {}, "tune_change.notes[2].start_ms"),
        ((B, A), {}, "tune_change.notes[1].start_ms"),
        ((), {"segment_start_ms": 3000, "segment_end_ms": 4999}, "tune_change.segment_end_ms"),
        ((), {"segment_start_ms": 3000}, "tune_change.segment_end_ms"),
        ((), {"tempo_bpm": 39.9}, "tune_change.tempo_bpm"),
        ((), {"tempo_bpm": 240.1}, "tune_change.tempo_bpm"),
        ((), {"tempo_bpm": math.nan}, "tune_change.tempo_bpm"),
        ((), {"tempo_bpm": -60.0}, "tune_change.tempo_bpm"),
        ((), {"key": "H major"}, "tune_change.key"),
        ((), {"key": "D"}, "tune_change.key"),
    ],
)
def test_what_is_no_tune_is_refused_by_its_field(
    notes: tuple[ChangedNote, ...], others: dict[str, float | str], field: str
) -> None:
    """A wrong note, stretch or tempo is an error that names where it is."""
    with pytest.raises(ParamInvalid) as refused:
        change(*notes, **others)
    assert field in str(refused.value.metadata)


def test_a_change_survives_as_json() -> None:
    """What a job keeps of a change is JSON with every value in it."""
    plain = json.loads(json.dumps(change(A, B, transpose_semitones=-2, tempo_bpm=90.0).plain()))
    assert plain["notes"] == [list(A), list(B)]
    assert (plain["transpose_semitones"], plain["tempo_bpm"]) == (-2, 90.0)
