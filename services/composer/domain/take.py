"""Takes as they are heard before anything is made of them: what a person is shown, and what would make them better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Self

from services.composer.domain.tune import KEY_NAMES

REASONS = {
    "silent": "TAKE_SILENT",
    "noise": "TAKE_NOISE",
    "speech": "TAKE_SPEECH",
    "no_melody": "TAKE_NO_MELODY",
    "clipped": "TAKE_CLIPPED",
    "two_voices": "TAKE_TWO_VOICES",
    "far": "TAKE_FAR",
    "too_short": "TAKE_TOO_SHORT",
    "too_long": "TAKE_TOO_LONG",
    "no_words": "PARAM_INVALID",
}
"""The public reason for each word with which the engine refuses."""

CURVE_STEP_MS = 20

# The engine keeps one value of the curve per frame of 10 ms; the eye needs fewer.
_EVERY = 2
_A_HZ, _A_PITCH = 440.0, 69
_QUIET_LUFS = -38.0
_NOISY_DB = 12.0
_OVERDRIVEN_RUNS = 20
_FEW_NOTES = 8
_MUCH_PAUSE = 0.4
_UNSTEADY_SEMITONES = 0.3


@dataclass(frozen=True)
class Hearing:
    """What is heard in a take.

    `refusal` is the public reason for which no song can be made of it, or empty; `analysis` is None where there is no
    tune at all, and `f0_cents` is empty then.
    """

    refusal: str
    advice: list[str]
    analysis: dict[str, Any] | None
    f0_cents: list[int]

    @classmethod
    def of(cls, heard: Mapping[str, Any]) -> Self:
        """Return what the owner of a take is told of what an engine heard in it."""
        refusal = REASONS[heard["refused"]] if heard["refused"] else ""
        check, analysis = heard["check"], heard["analysis"]
        if analysis is None:
            return cls(refusal, [], None, [])
        # What a refusal says is the first thing to mend; more would only confuse.
        hints = [] if refusal else advice(check, analysis)
        return cls(refusal, hints, summary(check, analysis), curve_cents(analysis["f0_hz"]))


def summary(check: Mapping[str, Any], analysis: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a person is shown of what was heard; times in milliseconds from the start of the take."""
    segment = analysis["segment"]
    # The engine counts two bars of 6/8 as one of four beats.
    compound = analysis.get("compound", False)
    beats = 2 if compound else analysis["beats_per_bar"]
    return {
        "key": f"{KEY_NAMES[analysis['key']['tonic']]} {analysis['key']['mode']}",
        "tempo_bpm": round(analysis["tempo_bpm"], 2),
        "beats_per_bar": beats,
        "metre": "6/8" if compound else f"{beats}/4",
        "notes": [[_ms(n["start_s"]), _ms(n["end_s"]), n["pitch"]] for n in analysis["notes"]],
        "segment_start_ms": _ms(segment["start_s"]),
        "segment_end_ms": _ms(segment["end_s"]),
        "loudness_lufs": round(max(check["loudness_lufs"], -99.0), 2),
        "voiced_ratio": round(check["voiced_ratio"], 3),
        "snr_db": round(check["snr_db"], 2),
    }


def advice(check: Mapping[str, Any], analysis: Mapping[str, Any]) -> list[str]:
    """Return what would make the next take better, the most helpful first: words of the contract."""
    notes = analysis["notes"]
    found = {
        "noisy": check["snr_db"] < _NOISY_DB,
        "quiet": check["loudness_lufs"] < _QUIET_LUFS,
        "loud": check["clipped_runs"] >= _OVERDRIVEN_RUNS,
        "short": len(notes) < _FEW_NOTES,
        "unsteady": fmean(abs(note["sung_pitch"] - note["pitch"]) for note in notes) > _UNSTEADY_SEMITONES,
        "pauses": check["voiced_ratio"] < _MUCH_PAUSE,
    }
    return [word for word, holds in found.items() if holds]


def curve_cents(f0_hz: Sequence[float]) -> list[int]:
    """Return the curve every `CURVE_STEP_MS` in hundredths of a semitone above MIDI pitch 0; 0 where nobody sings."""
    return [round(100 * (_A_PITCH + 12 * math.log2(hz / _A_HZ))) if hz > 0 else 0 for hz in f0_hz[::_EVERY]]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)
