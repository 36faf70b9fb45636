"""The cover of a song: its outline bent into a ring, coloured by its key and tempo, so that no two songs look alike."""

from __future__ import annotations

import colorsys
import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.composer.engine.music import Key

SIDE = 800
"""Width and height of the picture in pixels."""
_FINE = 2
_BARS = 144


def draw_cover(peaks: Sequence[int], key: Key, tempo_bpm: float, seed: int) -> bytes:
    """Return a square JPEG. `peaks` are the loudest values of equal stretches, 0 to 100.

    Keys a fifth apart get neighbouring colours, minor keys darker ones, and fast songs a sharper ring.
    """
    hue = 0.55 + ((key.tonic * 7) % 12) / 12
    minor = key.mode.value == "minor"
    ground = _ground(hue, dark=0.55 if minor else 0.85, seed=seed)
    ring = _ring(peaks, hue, tempo_bpm)
    # Blurred small: a glow has no edges that the size could cost.
    glow = ring.resize((SIDE // 2, SIDE // 2)).filter(ImageFilter.GaussianBlur(10)).resize(ring.size)
    picture = Image.alpha_composite(Image.alpha_composite(ground, glow), ring)
    out = io.BytesIO()
    picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(out, "JPEG", quality=86, optimize=True)
    return out.getvalue()


def _ground(hue: float, *, dark: float, seed: int) -> Image.Image:
    """Return a soft two-coloured ground whose lights lie where the seed puts them."""
    side = SIDE * _FINE
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    chance = np.random.default_rng(seed)
    near, far = _colour(hue, 0.8, 0.62 * dark), _colour(hue + 0.1, 0.9, 0.13)
    light = np.zeros((side, side), dtype=np.float32)
    for _ in range(3):
        centre_x, centre_y = chance.uniform(0.1, 0.9, 2)
        light += np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / chance.uniform(0.08, 0.2))
    light = np.clip(light / 1.6, 0, 1)[..., None]
    colours = light * np.array(near, dtype=np.float32) + (1 - light) * np.array(far, dtype=np.float32)
    return Image.fromarray((255 * colours).astype(np.uint8), "RGB").convert("RGBA")


def _ring(peaks: Sequence[int], hue: float, tempo_bpm: float) -> Image.Image:
    """Return the outline as bars around a circle on a clear ground."""
    side = SIDE * _FINE
    # Clear, but not black: the glow is blurred out of this colour.
    clear = tuple(round(255 * part) for part in _colour(hue + 0.55, 0.6, 0.9))
    image = Image.new("RGBA", (side, side), (*clear, 0))
    pen = ImageDraw.Draw(image)
    values = np.interp(np.linspace(0, 1, _BARS), np.linspace(0, 1, max(2, len(peaks))), _two(peaks)) / 100
    values = (values - values.min()) / max(1e-6, float(np.ptp(values)))
    centre, inner, reach = side / 2, 0.24 * side, 0.17 * side
    width = round(side * (0.0075 - 0.002 * min(1.0, tempo_bpm / 180)))
    for index, value in enumerate(values):
        angle = 2 * math.pi * index / _BARS - math.pi / 2
        start, end = inner - 0.03 * side * value, inner + reach * (0.12 + 0.88 * value)
        colour = tuple(round(255 * part) for part in _colour(hue + 0.5 + 0.16 * index / _BARS, 0.45, 1.0))
        points = [(centre + math.cos(angle) * r, centre + math.sin(angle) * r) for r in (start, end)]
        pen.line(points, fill=(*colour, 235), width=width)
    disc = 0.145 * side
    pen.ellipse((centre - disc, centre - disc, centre + disc, centre + disc), fill=(255, 255, 255, 28))
    hole = 0.018 * side
    pen.ellipse((centre - hole, centre - hole, centre + hole, centre + hole), fill=(255, 255, 255, 200))
    return image


def _two(peaks: Sequence[int]) -> list[float]:
    """Return the peaks, at least two of them."""
    return [float(each) for each in peaks] if len(peaks) > 1 else [0.0, 1.0]


def _colour(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    return colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
