"""Pictures to look at: piano roll, spectrogram, loudness over time, and the curve of a voice with the notes on it."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from services.composer.engine.compose.timing import seconds_at
from services.composer.engine.judge.loudness import k_weighted_powers, short_term_lufs
from services.composer.engine.music import RENDER_RATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.composer.engine.music import HeardNote, Score

WIDTH = 1_100
_LEFT = 46
_COLOURS = {
    "lead": "#d62728", "harmony": "#ff9896", "pad": "#9ecae1", "comp": "#6baed6", "fill": "#2ca02c",
    "bass": "#8c564b", "drums": "#c7c7c7", "vocal": "#e377c2",
}  # fmt: skip
_GROUND, _INK, _FAINT = "#ffffff", "#333333", "#e3e3e3"
_LOW_HZ, _HIGH_HZ = 40.0, 16_000.0


def piano_roll(score: Score, height: int = 340) -> bytes:
    """Return the song's notes as PNG: pitch upwards, seconds to the right, a colour for each role, sections named."""
    image, pen = _sheet(height)
    total = score.total_beats
    low, high = 24, 100
    for section in score.sections:
        x = _across(section.beat / total)
        pen.line((x, 0, x, height), fill=_FAINT, width=2)
        pen.text((x + 4, 2), section.name, fill=_INK)
    for pitch in range(low, high + 1, 12):
        y = _up(pitch, low, high, height)
        pen.line((_LEFT, y, WIDTH, y), fill=_FAINT)
        pen.text((4, y - 6), f"C{pitch // 12 - 1}", fill=_INK)
    for part in sorted(score.parts, key=lambda part: part.role == "lead"):
        colour = _COLOURS.get(part.role, _INK)
        for note in part.notes if not part.drums else ():
            y = _up(note.pitch, low, high, height)
            x, end = _across(note.beat / total), _across((note.beat + note.beats) / total)
            pen.rectangle((x, y - 1.5, max(x + 1, end - 1), y + 1.5), fill=colour)
        for note in part.notes if part.drums else ():
            x = _across(note.beat / total)
            y = height - 18 + (note.pitch - 35) % 16
            pen.rectangle((x, y, x + 1, y + 1), fill="#777777")
    for place, (role, colour) in enumerate(_COLOURS.items()):
        pen.rectangle((_LEFT + 92 * place, height - 34, _LEFT + 92 * place + 10, height - 26), fill=colour)
        pen.text((_LEFT + 92 * place + 14, height - 36), role, fill=_INK)
    return _png(image)


def spectrogram(audio: NDArray[np.float32], height: int = 260) -> bytes:
    """Return the power over time as PNG: 40 Hz to 16 kHz upwards on a logarithmic scale, 70 dB from dark to light."""
    mono = audio.mean(axis=1) if audio.ndim > 1 else audio
    size, columns = 4_096, WIDTH - _LEFT
    starts = np.linspace(0, max(0, len(mono) - size), columns).astype(int)
    frames = np.stack([mono[at : at + size] for at in starts]) * np.hanning(size)
    power = 20.0 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-6)
    hertz = np.geomspace(_HIGH_HZ, _LOW_HZ, height)
    picture = power[:, np.clip((hertz * size / RENDER_RATE).astype(int), 0, size // 2)].T
    top = float(np.percentile(picture, 99.8))
    share = np.clip((picture - top + 70.0) / 70.0, 0.0, 1.0)[..., None]
    low, middle, high = (np.array(colour) for colour in ((8, 8, 40), (190, 40, 90), (255, 240, 150)))
    colours = np.where(share < 0.6, low + (middle - low) * share / 0.6, middle + (high - middle) * (share - 0.6) / 0.4)
    image, pen = _sheet(height)
    image.paste(Image.fromarray(colours.astype(np.uint8), "RGB"), (_LEFT, 0))
    for mark in (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000):
        y = height * math.log(_HIGH_HZ / mark) / math.log(_HIGH_HZ / _LOW_HZ)
        pen.text((4, y - 6), f"{mark}" if mark < 1_000 else f"{mark // 1_000}k", fill=_INK)
    return _png(image)


def loudness_curve(audio: NDArray[np.float32], score: Score, height: int = 150) -> bytes:
    """Return the loudness of each 3 s as PNG, -40 to -5 LUFS upwards, with the sections and the line at -14."""
    levels = short_term_lufs(k_weighted_powers(audio, RENDER_RATE))
    image, pen = _sheet(height)
    low, high = -40.0, -5.0
    for mark in (-40, -30, -20, -14, -10):
        y = _up(mark, low, high, height)
        pen.line((_LEFT, y, WIDTH, y), fill="#d62728" if mark == -14 else _FAINT)
        pen.text((4, y - 6), str(mark), fill=_INK)
    length_s = len(audio) / RENDER_RATE
    for section in score.sections:
        x = _across(seconds_at(section.beat, tempo_bpm=score.tempo_bpm, swing=score.swing) / length_s)
        pen.line((x, 0, x, height), fill=_FAINT, width=2)
    points = [
        (_across((at + 1.5) / length_s), _up(max(low, float(level)), low, high, height))
        for at, level in enumerate(levels)
    ]
    if len(points) > 1:
        pen.line(points, fill="#1f77b4", width=2)
    return _png(image)


def voice_curve(
    f0_hz: NDArray[np.float32], heard: Sequence[HeardNote], sung: Sequence[HeardNote], height: int = 280
) -> bytes:
    """Return a take as PNG: the tracked pitch as dots, the notes heard as bars, the notes really sung as outlines."""
    image, pen = _sheet(height)
    length_s = max(len(f0_hz) / 100.0, 0.1)
    pitches = [note.pitch for note in (*heard, *sung)] or [60]
    low, high = min(pitches) - 5, max(pitches) + 5
    step = height / (high - low)
    for pitch in range(low, high + 1):
        y = _up(pitch, low, high, height)
        pen.line((_LEFT, y, WIDTH, y), fill=_FAINT)
        if pitch % 12 in {0, 4, 7}:
            pen.text((4, y - 6), str(pitch), fill=_INK)
    for note in heard:
        box = _box(note, length_s, (low, high), height, step)
        pen.rectangle(box, fill="#a6cee3")
    for note in sung:
        pen.rectangle(_box(note, length_s, (low, high), height, step), outline="#2ca02c", width=2)
    for at, hz in enumerate(f0_hz.tolist()):
        if hz > 0:
            x = _across(at / 100.0 / length_s)
            y = _up(69.0 + 12.0 * math.log2(hz / 440.0), low, high, height)
            pen.rectangle((x - 1, y - 1, x + 1, y + 1), fill="#d62728")
    return _png(image)


def _box(
    note: HeardNote, length_s: float, bounds: tuple[int, int], height: int, step: float
) -> tuple[float, float, float, float]:
    y = _up(note.pitch, bounds[0], bounds[1], height)
    start, end = _across(note.start_s / length_s), _across(note.end_s / length_s)
    return (start, y - step / 2, max(start + 2, end), y + step / 2)


def _sheet(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, height), _GROUND)
    return image, ImageDraw.Draw(image)


def _across(share: float) -> float:
    return _LEFT + (WIDTH - _LEFT) * share


def _up(value: float, low: float, high: float, height: int) -> float:
    return height * (1.0 - (value - low) / (high - low))


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()
