"""From beats to seconds: one map for the renderer and the MIDI file, so that both swing alike."""

from __future__ import annotations

import math


def swung(beat: float, swing: float) -> float:
    """Return where `beat` falls when the off-beat eighth comes `swing` beats late (0 straight, 1/6 triplet).

    The warp is linear on both halves of every beat, so whole beats stay and the order of notes is kept.
    """
    whole = math.floor(beat)
    inside = beat - whole
    middle = 0.5 + swing
    warped = inside * middle / 0.5 if inside < 0.5 else middle + (inside - 0.5) * (1.0 - middle) / 0.5
    return whole + warped


def seconds_at(beat: float, *, tempo_bpm: float, swing: float) -> float:
    """Return the seconds from the start of the song at which `beat` sounds."""
    return swung(beat, swing) * 60.0 / tempo_bpm
