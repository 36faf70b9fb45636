"""Which of two variants to recommend, and for what reasons: measures only, no taste.

The reasons are stable keys; whoever shows them translates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.judge.loudness import SILENCE_LUFS, gated_lufs, k_weighted_powers, short_term_lufs
from services.composer.engine.judge.melody import melody_presence
from services.composer.engine.music import RENDER_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.composer.engine.music import Master, Score

TARGET_LUFS = -14.0
"""The loudness the streaming services play at, which the masters aim for."""

REASONS = (
    "clearer_melody",
    "better_loudness",
    "livelier_dynamics",
    "better_balance",
    "more_variety",
    "close_call",
)
"""Every reason a result can name."""

_WEIGHTS = {"melody": 0.4, "loudness": 0.15, "dynamics": 0.15, "brightness": 0.15, "variety": 0.15}
_REASON_OF = {
    "melody": "clearer_melody",
    "loudness": "better_loudness",
    "dynamics": "livelier_dynamics",
    "brightness": "better_balance",
    "variety": "more_variety",
}
_NOTABLE = 0.03
_CLOSE = 0.02
_IDEAL_DYNAMICS_LU = 7.0
_IDEAL_BRIGHTNESS_DB = -15.0
_SPLIT_HZ = 2_500.0
_ENOUGH_CHORDS = 8
_ENOUGH_PARTS = 8


@dataclass(frozen=True, slots=True)
class VariantScores:
    """The measures of one variant, each from 0 (poor) to 1 (as good as this judge can tell), and their weighted sum."""

    label: str
    melody: float
    """Share of the tune's notes that are heard in the mix."""
    loudness: float
    """1 at the target, 0 at 6 LU beside it."""
    dynamics: float
    """How near the spread of the level comes to that of a song that breathes."""
    brightness: float
    """How near the share of the treble comes to that of a balanced mix."""
    variety: float
    """Different chords, parts and ways the sections are filled."""
    total: float


@dataclass(frozen=True, slots=True)
class AbResult:
    """The scores of both variants, the label recommended and why, most telling reason first."""

    variants: tuple[VariantScores, VariantScores]
    recommended: str
    reasons: tuple[str, ...]


def evaluate(score_a: Score, master_a: Master, score_b: Score, master_b: Master) -> AbResult:
    """Return which variant to recommend, with reasons from `REASONS`; of equals the first."""
    return recommend(measure_variant(score_a, master_a), measure_variant(score_b, master_b))


def recommend(first: VariantScores, second: VariantScores) -> AbResult:
    """Return which of two measured variants to recommend and why; of equals the first."""
    winner, other = (second, first) if second.total > first.total else (first, second)
    leads = {name: weight * (getattr(winner, name) - getattr(other, name)) for name, weight in _WEIGHTS.items()}
    telling = sorted((name for name in leads if leads[name] > _NOTABLE * _WEIGHTS[name]), key=lambda name: -leads[name])
    reasons = [_REASON_OF[name] for name in telling[:3]]
    if not reasons or winner.total - other.total < _CLOSE:
        reasons.append("close_call")
    return AbResult((first, second), winner.label, tuple(reasons))


def measure_variant(score: Score, master: Master) -> VariantScores:
    """Return the scores of one variant, measured on its audio and its score."""
    power = k_weighted_powers(master.audio, RENDER_RATE)
    scores = {
        "melody": melody_presence(master.audio, score.melody, score.tempo_bpm, swing=score.swing),
        "loudness": float(np.clip(1.0 - abs(gated_lufs(power) - TARGET_LUFS) / 6.0, 0.0, 1.0)),
        "dynamics": _dynamics(power),
        "brightness": _brightness(master.audio),
        "variety": _variety(score),
    }
    total = sum(_WEIGHTS[name] * value for name, value in scores.items())
    return VariantScores(label=score.label, total=total, **scores)


def measure_sound(label: str, audio: NDArray[np.float32], power: NDArray[np.float64]) -> VariantScores:
    """Return the scores of a sound whose score nobody knows, weighed by what can be heard alone.

    *power* is what `k_weighted_powers` gives for it. `melody` and `variety` are 0 for each of them, so that neither
    ever tells two apart.
    """
    heard = {
        "loudness": float(np.clip(1.0 - abs(gated_lufs(power) - TARGET_LUFS) / 6.0, 0.0, 1.0)),
        "dynamics": _dynamics(power),
        "brightness": _brightness(audio),
    }
    total = sum(_WEIGHTS[name] * value for name, value in heard.items()) / sum(_WEIGHTS[name] for name in heard)
    return VariantScores(label=label, melody=0.0, variety=0.0, total=total, **heard)


def _dynamics(power: NDArray[np.float64]) -> float:
    """Return 1 when the loud moments lie about 7 LU over the quiet ones of what sounds, less on either side."""
    levels = short_term_lufs(power)
    sounding = levels[levels > max(SILENCE_LUFS, float(levels.max(initial=SILENCE_LUFS)) - 30.0)]
    if len(sounding) < 2:
        return 0.0
    spread = float(np.percentile(sounding, 95) - np.percentile(sounding, 10))
    return float(np.exp(-0.5 * ((spread - _IDEAL_DYNAMICS_LU) / 4.0) ** 2))


def _brightness(audio: NDArray[np.float32]) -> float:
    """Return 1 when the power above 2.5 kHz lies about 15 dB under the rest, less when it is dull or shrill."""
    mono = audio.mean(axis=1) if audio.ndim > 1 else audio
    size = 8_192
    frames = len(mono) // size
    if frames == 0:
        return 0.0
    chosen = mono[: frames * size].reshape(frames, size)[:: max(1, frames // 200)]
    power = (np.abs(np.fft.rfft(chosen * np.hanning(size), axis=1)) ** 2).mean(axis=0)
    split = int(_SPLIT_HZ * size / RENDER_RATE)
    below, above = float(power[:split].sum()), float(power[split:].sum())
    if below <= 0.0 or above <= 0.0:
        return 0.0
    ratio = 10.0 * float(np.log10(above / below))
    return float(np.exp(-0.5 * ((ratio - _IDEAL_BRIGHTNESS_DB) / 8.0) ** 2))


def _variety(score: Score) -> float:
    """Return the mean of three shares: different chords, parts that play, sections filled differently."""
    chords = min(1.0, len({chord.name for chord in score.chords}) / _ENOUGH_CHORDS)
    playing = [part for part in score.parts if part.notes]
    parts = min(1.0, len(playing) / _ENOUGH_PARTS)
    fillings = {
        tuple(
            part.name
            for part in playing
            if any(section.beat <= note.beat < section.beat + section.beats for note in part.notes)
        )
        for section in score.sections
    }
    sections = len(fillings) / max(1, len(score.sections))
    return (chords + parts + sections) / 3.0
