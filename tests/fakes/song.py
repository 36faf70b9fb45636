"""Songs for the stand-ins of music vendors: short, real mp3 files that decode, each pitch another song."""

import io
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from services.composer.providers.sound import ffmpeg_program

RATE = 22_050
_PITCHES = 24


@lru_cache(maxsize=64)
def song_mp3(number: int, seconds: float, *, silent: bool = False) -> bytes:
    """Return an mp3 of so many seconds: a melody of plucked notes that differs by *number*, or silence."""
    at = np.arange(round(RATE * seconds)) / RATE
    sound = np.zeros_like(at)
    if not silent:
        beat = 0.25
        for index in range(int(seconds / beat) + 1):
            pitch = 57 + (number * 5 + index * 7) % _PITCHES
            since = at - index * beat
            ringing = (since >= 0) & (since < 2 * beat)
            tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * since) * np.exp(-6 * np.clip(since, 0, None))
            sound += np.where(ringing, 0.4 * tone, 0)
    pcm = np.clip(sound * 32_000, -32_000, 32_000).astype("<i2").tobytes()
    with tempfile.TemporaryDirectory() as folder:
        # Into a file and not a pipe, so that the encoder goes back and writes the length into the first frame.
        path = Path(folder) / "song.mp3"
        command = [
            *(ffmpeg_program(""), "-nostdin", "-v", "error", "-f", "s16le", "-ac", "1", "-ar", str(RATE), "-i", "-"),
            *("-codec:a", "libmp3lame", "-b:a", "64k", "-write_xing", "1", str(path)),
        ]
        subprocess.run(command, input=pcm, check=True, capture_output=True, timeout=60)
        return path.read_bytes()


@lru_cache(maxsize=8)
def cover_png(number: int) -> bytes:
    """Return a small picture as vendors send it."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (30 * number % 255, 90, 160)).save(out, "PNG")
    return out.getvalue()
