"""Files that people send, good and bad."""

import io
import wave
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from services.composer.engine.music import ANALYSIS_RATE
from tests.composer.singer import speak
from tests.media.recordings import sound, video


def wav(samples: NDArray[Any], rate: int = ANALYSIS_RATE) -> bytes:
    """Return mono samples within -1 to 1 as a WAV file of 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
    return out.getvalue()


def decoded(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Return samples (n, 2) and rate of a file as libav reads it."""
    with av.open(io.BytesIO(data), "r") as file:
        resampler = av.AudioResampler(format="fltp", layout="stereo")
        frames = [each.to_ndarray() for frame in file.decode(audio=0) for each in resampler.resample(frame)]
        return np.concatenate(frames, axis=1).T.astype(np.float32), int(file.streams.audio[0].rate)


def padded(whole: bytes, size: int) -> bytes:
    """Return a WAV file of this many bytes that sounds the same: before its sound is a chunk that readers pass over."""
    begin, rest = whole[12:36], whole[36:]  # RIFF, its size and WAVE stand before the format
    filler = bytes(size - len(whole) - 8)
    body = b"WAVE" + begin + b"JUNK" + len(filler).to_bytes(4, "little") + filler + rest
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def silence(seconds: float = 5.0) -> bytes:
    """Return a recording of nothing."""
    return wav(np.zeros(int(seconds * ANALYSIS_RATE)))


def noise(seconds: float = 6.0) -> bytes:
    """Return a recording of white noise."""
    return wav(0.3 * np.random.default_rng(5).standard_normal(int(seconds * ANALYSIS_RATE)))


def speech(seconds: float = 8.0) -> bytes:
    """Return somebody talking."""
    return wav(speak(seconds, 3))


def ten_minutes() -> bytes:
    """Return a recording that is far too long but small in bytes."""
    return wav(0.1 * np.sin(np.arange(600 * 8_000) / 8.0), 8_000)


def moving_pictures() -> bytes:
    """Return a video with a tone in it."""
    return video("clip.mp4")


def text() -> bytes:
    """Return a text, to be sent under the name of a sound."""
    return b"It was the best of times, it was the worst of times.\n" * 100


def cut_short() -> bytes:
    """Return an m4a file whose second half, and with it its index, never arrived."""
    whole = sound("take.m4a", 4.0)
    return whole[: len(whole) // 2]
