"""Headers that are cut, empty, absurd or lie: every format, and every number of a WAV file."""

import random
import struct
from collections.abc import Iterator

import numpy as np

from tests.media.hostile import EITHER, GOOD, REFUSED, Hostile
from tests.media.hostile.boxes import wav
from tests.media.recordings import SOUNDS, sound

_CUTS = (1, 4, 12, 44, 200, 1000)
_SECONDS_2 = np.zeros(88_200, dtype="<i2").tobytes()


def files() -> Iterator[Hostile]:
    """Yield broken beginnings of every format, odd WAV files, and good files under wrong names."""
    noise = random.Random(7)
    for name in SOUNDS:
        whole = sound(name)
        yield from (Hostile(f"cut-{cut}-{name}", whole[:cut], REFUSED) for cut in _CUTS)
        yield Hostile(f"half-{name}", whole[: len(whole) // 2], EITHER)
        yield Hostile(f"zeros-{name}", whole[:12] + bytes(20_000), EITHER)
        yield Hostile(f"noise-{name}", whole[:12] + noise.randbytes(20_000), EITHER)
    names = list(SOUNDS)
    for name, wrong in zip(names, names[1:] + names[:1], strict=True):
        yield Hostile(f"wrongly-{name}-as-{wrong}", sound(name), GOOD, "text/plain")
    yield from _odd()


def _odd() -> Iterator[Hostile]:
    """Yield WAV files with odd channels, rates, widths, codes and values."""
    for channels, expected in ((0, REFUSED), (3, GOOD), (8, GOOD), (64, EITHER), (255, EITHER), (65_535, EITHER)):
        frames = np.zeros(48_000 * 2 * min(channels, 64), dtype="<i2").tobytes()
        yield Hostile(f"channels-{channels}.wav", wav(frames, channels=channels, rate=48_000), expected)
    for rate in (0, 1, 7, 100, 8000, 768_000, 2**31 - 1, 4_000_000_000):
        yield Hostile(f"rate-{rate}.wav", wav(_SECONDS_2, rate=rate), EITHER)
    for bits in (0, 1, 4, 7, 12, 20, 24, 32, 48, 64, 65_535):
        yield Hostile(f"bits-{bits}.wav", wav(_SECONDS_2 * 2, bits=bits), EITHER)
    for code in (0, 2, 6, 7, 0x11, 0x31, 0x50, 0x55, 0xFF, 0x161, 0x2000, 0xF1AC, 0xFFFE, 0xFFFF):
        yield Hostile(f"code-{code:x}.wav", wav(_SECONDS_2, code=code, bits=8 if code in {6, 7} else 16), EITHER)
    values = {
        "nan": np.full(88_200, np.nan),
        "inf": np.full(88_200, np.inf),
        "huge": np.full(88_200, 3e38),
        "denormal": np.full(88_200, 1e-42),
        "mixed": np.tile([np.nan, -np.inf, 1e30, 0.1], 22_050),
    }
    for name, samples in values.items():
        yield Hostile(f"float-{name}.wav", wav(samples.astype("<f4").tobytes(), code=3, bits=32), EITHER)
        yield Hostile(f"double-{name}.wav", wav(samples.astype("<f8").tobytes(), code=3, bits=64), EITHER)
    yield Hostile("no-samples.wav", wav(b""), REFUSED)
    yield Hostile("one-sample.wav", wav(b"\0\0"), REFUSED)
    yield Hostile("align-0.wav", _with(32, "<H", 0), EITHER)
    yield Hostile("align-odd.wav", _with(32, "<H", 3), EITHER)
    yield Hostile("bytes-0.wav", _with(28, "<I", 0), EITHER)
    yield Hostile("two-formats.wav", wav(_SECONDS_2, wav(b"", channels=9)[12:36]), EITHER)
    yield Hostile("data-first.wav", b"RIFF\xff\xff\xff\xffWAVEdata" + struct.pack("<I", 1000) + bytes(1000), REFUSED)
    yield Hostile("empty.mp3", b"", REFUSED)
    yield Hostile("nul.mp3", b"\0" * 5000, REFUSED)
    yield Hostile("newlines.mp3", b"\n" * 5000, REFUSED)


def _with(offset: int, form: str, value: int) -> bytes:
    """Return a WAV file with one number of its header changed."""
    data = bytearray(wav(_SECONDS_2))
    struct.pack_into(form, data, offset, value)
    return bytes(data)
