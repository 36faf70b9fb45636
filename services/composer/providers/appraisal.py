"""What is measured on songs that somebody else made; runs in the engine's own process, away from the worker.

What came from outside is decoded by ffmpeg as mp3 and nothing else, with a limit on its length, and a picture is read
with a limit on its size: both are other people's bytes.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from services.composer.domain.tune import KEY_NAMES
from services.composer.engine.draw.cover import SIDE, draw_cover
from services.composer.engine.judge.ab import VariantScores, measure_sound, recommend
from services.composer.engine.judge.loudness import gated_lufs, k_weighted_powers, true_peak_dbtp
from services.composer.engine.music import RENDER_RATE, Key, Mode
from services.composer.providers.sound import SoundUnreadable, decode, outline

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PIXELS = 40_000_000
_SYNC_BYTES = 2
_FRAME_START = 0xFF
_SYNC_MASK = 0xE0
_ID3_BYTES = 10
_TAG_SEARCH_BYTES = 64
_BYTES_FLAG = 2
# What an ID3v1 tag at the end and a padded frame may take besides.
_SLACK_BYTES = 4096


def appraise(mp3: bytes, *, ffmpeg: str) -> dict[str, Any]:
    """Return what is measured on an mp3 as plain data; `fault` is `unreadable` or `cut` where it is not a whole one."""
    if promised_bytes(mp3) > len(mp3) + _SLACK_BYTES:
        return {"fault": "cut"}
    try:
        heard = decode(mp3, rate=RENDER_RATE, channels=2, ffmpeg=ffmpeg)
    except SoundUnreadable:
        return {"fault": "unreadable"}
    power = k_weighted_powers(heard, RENDER_RATE)
    return {
        "fault": "",
        "duration_ms": round(1000 * len(heard) / RENDER_RATE),
        "loudness_lufs": round(gated_lufs(power), 2),
        "true_peak_dbtp": round(true_peak_dbtp(heard, RENDER_RATE), 2),
        "peaks": outline(heard),
        "scores": asdict(measure_sound("", heard, power)),
    }


def promised_bytes(mp3: bytes) -> int:
    """Return how many bytes the file's own first frame says that it has, 0 when it says nothing.

    Encoders put the whole length behind the words Xing or Info there, so half a file still tells what it was to be.
    """
    start = 0
    if mp3[:3] == b"ID3" and len(mp3) > _ID3_BYTES:
        size = 0
        for byte in mp3[6:10]:
            size = size << 7 | (byte & 0x7F)
        start = _ID3_BYTES + size
    frame = mp3[start : start + _TAG_SEARCH_BYTES]
    if len(frame) < _SYNC_BYTES or frame[0] != _FRAME_START or frame[1] & _SYNC_MASK != _SYNC_MASK:
        return 0
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0:
        return 0
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not flags & _BYTES_FLAG:
        return 0
    # The number of frames comes before that of bytes, if it is there.
    field = at + 8 + (4 if flags & 1 else 0)
    return start + int.from_bytes(frame[field : field + 4], "big")


def compare(variants: Mapping[str, Any], picture: bytes, seed: int) -> tuple[dict[str, Any], bytes]:
    """Return scores and remarks of one appraised song or two, the recommended label, and a cover as JPEG."""
    scored = [VariantScores(**{**made["scores"], "label": label}) for label, made in variants.items()]
    recommended, reasons = scored[0].label, list[str]()
    if len(scored) > 1:
        result = recommend(scored[0], scored[1])
        recommended, reasons = result.recommended, list(result.reasons)
    answer: dict[str, Any] = {"recommended": recommended}
    for each in scored:
        chosen = each.label == recommended
        remarks = reasons if chosen else []
        answer[each.label] = {"score": round(each.total, 4), "recommended": chosen, "remarks": remarks}
    best = variants[recommended]
    return answer, readable(picture) or draw_cover(best["peaks"], _key(best, seed), best["tempo_bpm"], seed)


def readable(picture: bytes) -> bytes:
    """Return the picture as a square JPEG of the size of our own covers, empty when it is none or far too large."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of pictures that are made to fill the memory.
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    return b""
                square = ImageOps.fit(opened.convert("RGB"), (SIDE, SIDE))
    except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError):
        return b""
    out = io.BytesIO()
    square.save(out, "JPEG", quality=86, optimize=True)
    return out.getvalue()


def _key(made: Mapping[str, Any], seed: int) -> Key:
    """Return the key that the vendor named, or one drawn from the seed: it only decides the colours."""
    tonic, _, mode = str(made["key"]).partition(" ")
    if tonic in KEY_NAMES and mode in {"major", "minor"}:
        return Key(KEY_NAMES.index(tonic), Mode(mode))
    drawn = np.random.default_rng(seed)
    return Key(int(drawn.integers(12)), list(Mode)[int(drawn.integers(2))])
