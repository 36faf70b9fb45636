"""What a person is told of a take that was heard."""

from typing import Any

import pytest

from services.composer.domain.take import Hearing, advice, curve_cents, summary

CHECK = {"loudness_lufs": -20.0, "voiced_ratio": 0.8, "snr_db": 30.0, "clipped_runs": 0}


def _heard(notes: int = 12, astray: float = 0.1) -> dict[str, Any]:
    return {
        "key": {"tonic": 3, "mode": "minor"},
        "tempo_bpm": 90.0,
        "beats_per_bar": 3,
        "notes": [{"start_s": at, "end_s": at + 0.9, "pitch": 60, "sung_pitch": 60 + astray} for at in range(notes)],
        "segment": {"start_s": 0.0, "end_s": float(notes), "score": 1.0},
        "f0_hz": [440.0] * 4,
    }


def test_a_good_take_needs_no_advice() -> None:
    """Nothing is said about a take in which nothing stands out."""
    assert advice(CHECK, _heard()) == []


@pytest.mark.parametrize(
    ("word", "check", "heard"),
    [
        ("noisy", {"snr_db": 5.0}, _heard()),
        ("quiet", {"loudness_lufs": -45.0}, _heard()),
        ("loud", {"clipped_runs": 400}, _heard()),
        ("short", {}, _heard(notes=5)),
        ("unsteady", {}, _heard(astray=-0.4)),
        ("pauses", {"voiced_ratio": 0.3}, _heard()),
    ],
)
def test_each_weakness_has_its_own_advice(word: str, check: dict[str, float], heard: dict[str, Any]) -> None:
    """One weakness is one word, and no other."""
    assert advice({**CHECK, **check}, heard) == [word]


def test_the_curve_is_in_hundredths_of_a_semitone() -> None:
    """Every second value of the curve is kept, a' is 6900, and silence is 0."""
    assert curve_cents([440.0, 1.0, 0.0, 1.0, 220.0]) == [6900, 0, 5700]


def test_six_eighths_are_called_so() -> None:
    """What the engine counts in four beats of three eighths is 6/8 with two beats in a bar for a person."""
    told = summary(CHECK, {**_heard(), "beats_per_bar": 4, "compound": True})
    assert (told["metre"], told["beats_per_bar"], told["tempo_bpm"]) == ("6/8", 2, 90.0)


def test_a_refused_take_says_why_and_nothing_else() -> None:
    """A refusal has its public reason and no advice beside it; without a tune there is nothing to look at."""
    seen = Hearing.of({"refused": "far", "check": {**CHECK, "snr_db": 1.0}, "analysis": _heard()})
    blind = Hearing.of({"refused": "silent", "check": {**CHECK, "loudness_lufs": float("-inf")}, "analysis": None})

    assert (seen.refusal, seen.advice) == ("TAKE_FAR", [])
    assert seen.analysis is not None
    assert (seen.analysis["key"], seen.analysis["beats_per_bar"], seen.analysis["metre"]) == ("Eb minor", 3, "3/4")
    assert (blind.refusal, blind.analysis, blind.f0_cents) == ("TAKE_SILENT", None, [])
