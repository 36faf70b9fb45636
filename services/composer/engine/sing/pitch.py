"""The pitch of a sung phrase, frame by frame: the notes, and what a singer does on the way from one to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.sing.vocoder import FRAME_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_GLIDE_S = 0.055
"""How long the way from one note to the next takes."""
_EARLY_S = 0.02
"""The glide is over soon after the beat, so it begins before."""
_SCOOP_CENTS = -70.0
_SCOOP_S = 0.09
_APART_S = 0.12
"""A note after a longer rest than this is begun from below."""
_VIBRATO_HZ = 5.4
_VIBRATO_CENTS = 32.0
_VIBRATO_DELAY_S = 0.32
_VIBRATO_GROWS_S = 0.4
_DRIFT_CENTS = 5.0
_TONES = {2: (-55.0, 0.0), 3: (-45.0, 0.0), 4: (25.0, -45.0)}
"""Cents at the beginning and at the end of a note that let the tone of a Chinese syllable be heard."""
_TONE_S = 0.10


@dataclass(frozen=True, slots=True)
class SungNote:
    """A note in seconds from the start of the song."""

    start_s: float
    end_s: float
    pitch: int
    velocity: int = 90
    tone: int = 0


def pitch_curve(notes: Sequence[SungNote], start_s: float, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the hertz of `count` frames from `start_s`, also where nobody sings."""
    at = start_s + FRAME_S * np.arange(count, dtype=np.float64)
    cents = np.full(count, 100.0 * notes[0].pitch)
    for note in notes[1:]:
        cents[at >= note.start_s - _EARLY_S] = 100.0 * note.pitch
    frames = round(_GLIDE_S / 2 / FRAME_S)
    window = np.hanning(2 * frames + 3)[1:-1]
    smooth = np.convolve(np.pad(cents, frames, mode="edge"), window / window.sum(), mode="valid")
    cents = np.asarray(smooth, dtype=np.float64)
    before = -np.inf
    for note in notes:
        cents += _bends(note, at, scooped=note.start_s - before > _APART_S)
        before = note.end_s
    drift = rng.standard_normal(count // 40 + 3)
    cents += _DRIFT_CENTS * np.interp(np.arange(count) / 40.0, np.arange(len(drift)), drift)
    return np.asarray(440.0 * 2.0 ** ((cents / 100.0 - 69.0) / 12.0))


def _bends(note: SungNote, at: NDArray[np.float64], *, scooped: bool) -> NDArray[np.float64]:
    """Return the cents by which one note leaves its pitch: scoop, vibrato, and the tone of its syllable."""
    since, left = at - note.start_s, note.end_s - at
    inside = (since >= 0) & (left >= 0)
    bends = np.zeros(len(at))
    if scooped:
        bends += np.where(since < _SCOOP_S, _SCOOP_CENTS * np.clip(1.0 - since / _SCOOP_S, 0.0, 1.0) ** 2, 0.0) * (
            (since > -0.3) & (left >= 0)
        )
    first, last = _TONES.get(note.tone, (0.0, 0.0))
    short = min(_TONE_S, (note.end_s - note.start_s) / 3)
    bends += inside * first * np.clip(1.0 - since / short, 0.0, 1.0)
    bends += inside * last * np.clip(1.0 - left / short, 0.0, 1.0)
    if note.end_s - note.start_s > 1.6 * _VIBRATO_DELAY_S:
        depth = np.clip((since - _VIBRATO_DELAY_S) / _VIBRATO_GROWS_S, 0.0, 1.0) * np.clip(left / 0.08, 0.0, 1.0)
        bends += inside * depth * _VIBRATO_CENTS * np.sin(2 * np.pi * _VIBRATO_HZ * (since - _VIBRATO_DELAY_S))
    return bends
