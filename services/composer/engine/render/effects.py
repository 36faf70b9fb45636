"""The signal processors of the desk: equaliser, compressor, moving gains and one synthetic room.

Filters run in double precision over short stretches and write back in place, so that a song of three
minutes never exists twice in double precision.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import signal

from services.composer.engine.music import RENDER_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK = 256
"""Samples per point of a gain curve, 5.8 ms."""

_STRETCH = 1 << 16
_ROOM_STRETCH = 1 << 19  # samples, twelve seconds

Section = tuple[float, float, float, float, float, float]


def high_pass(hz: float) -> list[Section]:
    """Return a second-order Butterworth high-pass."""
    return _sections(signal.butter(2, hz, "highpass", fs=RENDER_RATE, output="sos"))


def low_pass(hz: float) -> list[Section]:
    """Return a second-order Butterworth low-pass."""
    return _sections(signal.butter(2, hz, "lowpass", fs=RENDER_RATE, output="sos"))


def bell(hz: float, gain_db: float, quality: float = 0.9) -> list[Section]:
    """Return a peaking equaliser (Bristow-Johnson, "Cookbook formulae for audio EQ biquad filter coefficients")."""
    amplitude = 10.0 ** (gain_db / 40.0)
    omega = 2.0 * math.pi * hz / RENDER_RATE
    alpha = math.sin(omega) / (2.0 * quality)
    scale = 1.0 + alpha / amplitude
    cosine = -2.0 * math.cos(omega)
    return [((1.0 + alpha * amplitude) / scale, cosine / scale, (1.0 - alpha * amplitude) / scale,
             1.0, cosine / scale, (1.0 - alpha / amplitude) / scale)]  # fmt: skip


def high_shelf(hz: float, gain_db: float) -> list[Section]:
    """Return a shelf that lifts or lowers everything well above `hz` (same cookbook, slope 1)."""
    amplitude = 10.0 ** (gain_db / 40.0)
    omega = 2.0 * math.pi * hz / RENDER_RATE
    cosine, root = math.cos(omega), math.sqrt(2.0) * math.sin(omega) * math.sqrt(amplitude)
    up, down = amplitude + 1.0, amplitude - 1.0
    scale = up - down * cosine + root
    return [(amplitude * (up + down * cosine + root) / scale, -2.0 * amplitude * (down + up * cosine) / scale,
             amplitude * (up + down * cosine - root) / scale, 1.0, 2.0 * (down - up * cosine) / scale,
             (up - down * cosine - root) / scale)]  # fmt: skip


def _sections(table: NDArray[np.float64]) -> list[Section]:
    return [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in table.tolist()]


def equalise(audio: NDArray[np.float32], sections: Sequence[Section]) -> None:
    """Filter (n,) or (n, c) audio in place through the sections, one after the other."""
    if not sections or not len(audio):
        return
    table = np.array(sections, dtype=np.float64)
    state = np.zeros((len(table), 2) if audio.ndim == 1 else (len(table), 2, audio.shape[1]))
    for start in range(0, len(audio), _STRETCH):
        part = audio[start : start + _STRETCH]
        filtered, state = signal.sosfilt(table, part, axis=0, zi=state)
        part[...] = filtered


def block_levels(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the RMS of each `BLOCK` samples, all channels together; the last block may be short."""
    columns = audio[:, None] if audio.ndim == 1 else audio
    blocks = -(-len(columns) // BLOCK)
    power = np.zeros(blocks, dtype=np.float32)
    padded = np.zeros(blocks * BLOCK, dtype=np.float32)
    for channel in range(columns.shape[1]):
        padded[: len(columns)] = columns[:, channel]
        rows = padded.reshape(blocks, BLOCK)
        power += np.einsum("bi,bi->b", rows, rows)
    return np.asarray(np.sqrt(power / (BLOCK * columns.shape[1])), dtype=np.float32)


def apply_curve(audio: NDArray[np.float32], curve: NDArray[np.float32], block: int = BLOCK) -> None:
    """Multiply audio in place by a gain curve with one point per block, straight lines between the block centres."""
    padded = np.concatenate([curve[:1], curve, curve[-1:]])
    ramp = ((np.arange(block, dtype=np.float32) + 0.5) / block)[None, :]
    half = block // 2
    per_stretch = _STRETCH // block
    # Point i of `padded` is the centre of block i - 1; row i of a ramp runs from it to the next centre.
    for first in range(0, len(padded) - 1, per_stretch):
        points = padded[first : first + per_stretch + 1]
        gain = (points[:-1, None] + np.diff(points)[:, None] * ramp).ravel()
        start = first * block - half
        part = audio[max(start, 0) : start + len(gain)]
        gain = gain[max(-start, 0) :][: len(part)]
        part *= gain if part.ndim == 1 else gain[:, None]


def smoothed(levels: NDArray[np.float32], *, rise_s: float, fall_s: float, block: int = BLOCK) -> NDArray[np.float32]:
    """Return the levels followed by a one-pole that rises and falls with different time constants."""
    up = 1.0 - math.exp(-block / (rise_s * RENDER_RATE))
    down = 1.0 - math.exp(-block / (fall_s * RENDER_RATE))
    out: list[float] = []
    held = 0.0
    for level in levels.tolist():
        held += (up if level > held else down) * (level - held)
        out.append(held)
    return np.array(out, dtype=np.float32)


def compress(
    audio: NDArray[np.float32], *, threshold_db: float, ratio: float, attack_s: float = 0.01, release_s: float = 0.15
) -> None:
    """Compress in place: above the threshold (RMS, dBFS) the level grows by 1/`ratio`, all channels alike."""
    levels = smoothed(block_levels(audio), rise_s=attack_s, fall_s=release_s)
    over = 20.0 * np.log10(np.maximum(levels, 1e-6)) - threshold_db
    gain_db = -np.maximum(over, 0.0) * (1.0 - 1.0 / ratio)
    apply_curve(audio, (10.0 ** (gain_db / 20.0)).astype(np.float32))


def room_impulse(seconds: float, *, seed: int = 7) -> NDArray[np.float32]:
    """Return a stereo impulse response (n, 2): exponentially decaying noise that loses its treble first.

    Four bands of noise with their own decay times, a few early reflections and a gap before the tail
    (after Moorer, "About this reverberation business", 1979). It is always the same room.
    """
    rng = np.random.default_rng(seed)
    length = round(seconds * RENDER_RATE)
    time = np.arange(length) / RENDER_RATE
    impulse = np.zeros((length, 2))
    for low, high, share in (
        (150.0, 700.0, 1.0),
        (700.0, 2500.0, 0.85),
        (2500.0, 6000.0, 0.55),
        (6000.0, 11000.0, 0.3),
    ):
        noise = rng.standard_normal((length, 2))
        band = signal.sosfilt(signal.butter(2, (low, high), "bandpass", fs=RENDER_RATE, output="sos"), noise, axis=0)
        impulse += band * np.exp(-6.9 * time / (seconds * share))[:, None] * share
    gap = round(0.018 * RENDER_RATE)
    impulse = np.concatenate([np.zeros((gap, 2)), impulse[:-gap]])
    for delay_s, gain in ((0.011, 0.5), (0.017, 0.4), (0.023, 0.33), (0.031, 0.25)):
        side = int(rng.integers(2))
        impulse[round(delay_s * RENDER_RATE), side] += gain * float(np.abs(impulse).max())
    impulse /= math.sqrt(float((impulse**2).sum()) / 2.0)
    return impulse.astype(np.float32)


def reverberate(send: NDArray[np.float32], impulse: NDArray[np.float32], channel: int) -> NDArray[np.float32]:
    """Return one channel of the room's answer to the mono `send`, cut to the same length."""
    wet = np.zeros(len(send), dtype=np.float32)
    for start in range(0, len(send), _ROOM_STRETCH):  # a long song at once would need several times its own size
        part = signal.oaconvolve(send[start : start + _ROOM_STRETCH], impulse[:, channel])[: len(send) - start]
        wet[start : start + len(part)] += part
    return wet
