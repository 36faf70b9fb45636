"""An `Analysis` as plain JSON values and back, so that a job can store a finished stage and go on after a restart."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from services.composer.engine.listen.f0 import CURVE_DECIMALS
from services.composer.engine.music import Analysis, HeardNote, Key, Mode, Note, Segment, TakeCheck

if TYPE_CHECKING:
    from collections.abc import Mapping


def analysis_to_json(analysis: Analysis) -> dict[str, Any]:
    """Return the analysis as dicts, lists, strings and numbers; the pitch curve in hundredths of a Hz.

    `analysis_from_json` gives back the same value, except that the curve was rounded by this call: what has been
    through it once is kept exactly from then on.
    """
    return {
        "f0_hz": [round(float(value), CURVE_DECIMALS) for value in analysis.f0_hz],
        "notes": [asdict(note) for note in analysis.notes],
        "melody": [asdict(note) for note in analysis.melody],
        "key": {"tonic": analysis.key.tonic, "mode": analysis.key.mode.value},
        "key_margin": analysis.key_margin,
        "tempo_bpm": analysis.tempo_bpm,
        "beats_per_bar": analysis.beats_per_bar,
        "tuning_cents": analysis.tuning_cents,
        "drift_cents_per_s": analysis.drift_cents_per_s,
        "segment": asdict(analysis.segment),
        "swing": analysis.swing,
        "compound": analysis.compound,
    }


def analysis_from_json(record: Mapping[str, Any]) -> Analysis:
    """Return the analysis that `analysis_to_json` wrote.

    Raises `KeyError`, `TypeError` or `ValueError` when the record is of another form.
    """
    return Analysis(
        f0_hz=np.array(record["f0_hz"], dtype=np.float32),
        notes=tuple(HeardNote(**note) for note in record["notes"]),
        melody=tuple(Note(**{**note, "bend": tuple(note.get("bend", ()))}) for note in record["melody"]),
        key=Key(int(record["key"]["tonic"]), Mode(record["key"]["mode"])),
        key_margin=float(record["key_margin"]),
        tempo_bpm=float(record["tempo_bpm"]),
        beats_per_bar=int(record["beats_per_bar"]),
        tuning_cents=float(record["tuning_cents"]),
        drift_cents_per_s=float(record["drift_cents_per_s"]),
        segment=Segment(**record["segment"]),
        swing=float(record.get("swing", 0.0)),  # records of engine version 1 have neither
        compound=bool(record.get("compound", False)),
    )


def check_to_json(check: TakeCheck) -> dict[str, Any]:
    """Return the measures of a take as plain numbers."""
    return asdict(check)


def check_from_json(record: Mapping[str, Any]) -> TakeCheck:
    """Return the measures that `check_to_json` wrote; raises `TypeError` when the record is of another form."""
    return TakeCheck(**record)
