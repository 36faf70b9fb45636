"""Between bytes of mp3 and arrays of samples: ffmpeg, fed and read through pipes, with nothing on disk.

The input was made by Media's own transcoding, so it is sound and bounded; the limits here are a second fence.
"""

from __future__ import annotations

import io
import itertools
import subprocess
import wave
from typing import TYPE_CHECKING

import imageio_ffmpeg
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TIMEOUT_S = 120
_LONGEST_S = 600
BITRATE = "192k"
"""Of the finished songs; takes are stored at 128k."""


class SoundUnreadable(Exception):  # the fact
    """Raised when ffmpeg cannot decode the bytes."""


def ffmpeg_program(configured: str) -> str:
    """Return the ffmpeg to run: the configured one or the bundled one."""
    return configured or str(imageio_ffmpeg.get_ffmpeg_exe())


def decode(data: bytes, *, rate: int, channels: int, ffmpeg: str) -> NDArray[np.float32]:
    """Return the sound as float32: shape (samples,) for one channel, (samples, channels) otherwise.

    Raises SoundUnreadable.
    """
    command = [
        *(ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "pipe", "-f", "mp3", "-i", "pipe:0"),
        *("-t", str(_LONGEST_S), "-f", "f32le", "-ac", str(channels), "-ar", str(rate), "pipe:1"),
    ]
    done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False)
    samples = np.frombuffer(done.stdout[: len(done.stdout) // (4 * channels) * 4 * channels], dtype="<f4")
    if done.returncode or not samples.size:
        raise SoundUnreadable(done.stderr.decode(errors="replace")[-400:])
    return samples.copy() if channels == 1 else samples.reshape(-1, channels).copy()


def encode_mp3(audio: NDArray[np.float32], *, rate: int, ffmpeg: str, title: str) -> bytes:
    """Return the stereo sound of shape (samples, 2) as an mp3 that carries the title.

    Raises SoundUnreadable when ffmpeg fails, which means that the machine is out of memory or the program is broken.
    """
    command = [
        *(ffmpeg, "-nostdin", "-v", "error", "-f", "f32le", "-ac", "2", "-ar", str(rate), "-i", "pipe:0"),
        *("-codec:a", "libmp3lame", "-b:a", BITRATE, "-metadata", f"title={title}"),
        *("-metadata", "encoded_by=Cadenza offline engine", "-f", "mp3", "pipe:1"),
    ]
    raw = np.ascontiguousarray(audio, dtype="<f4").tobytes()
    done = subprocess.run(command, input=raw, capture_output=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode or not done.stdout:
        raise SoundUnreadable(done.stderr.decode(errors="replace")[-400:])
    return done.stdout


def encode_flac(audio: NDArray[np.float32], *, rate: int, ffmpeg: str) -> bytes:
    """Return the stereo sound of shape (samples, 2) as FLAC of 16 bits, the same bytes for the same sound.

    Raises SoundUnreadable when ffmpeg fails.
    """
    command = [
        *(ffmpeg, "-nostdin", "-v", "error", "-f", "s16le", "-ac", "2", "-ar", str(rate), "-i", "pipe:0"),
        *("-codec:a", "flac", "-compression_level", "5", "-bitexact", "-f", "flac", "pipe:1"),
    ]
    done = subprocess.run(command, input=_sixteen_bits(audio), capture_output=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode or not done.stdout:
        raise SoundUnreadable(done.stderr.decode(errors="replace")[-400:])
    return done.stdout


def encode_wav(audio: NDArray[np.float32], *, rate: int) -> bytes:
    """Return the stereo sound of shape (samples, 2) as a WAV file of 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(_sixteen_bits(audio))
    return out.getvalue()


def _sixteen_bits(audio: NDArray[np.float32]) -> bytes:
    return np.round(np.clip(audio, -1.0, 1.0) * 32_767.0).astype("<i2").tobytes()


def outline(audio: NDArray[np.float32], count: int = 256) -> list[int]:
    """Return the loudest value of each of *count* equal stretches, from 0 to 100."""
    # Channel by channel: numpy takes ten times as long for the largest of two neighbours.
    channels = audio.T if audio.ndim > 1 else audio[None, :]
    mono = np.abs(channels[0])
    for channel in channels[1:]:
        np.maximum(mono, np.abs(channel), out=mono)
    edges = np.linspace(0, mono.size, count + 1).astype(int)
    loudest = [float(mono[a:b].max()) if b > a else 0.0 for a, b in itertools.pairwise(edges)]
    return [min(100, round(100 * value)) for value in loudest]
