"""Make a sound playable with ffmpeg: one pass gives the mp3 that is played and the samples for its waveform.

The input is opened with the demuxer that its content asked for and by the `file` protocol
only, so that no playlist, script or reference inside it leads to another file or host.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.media.domain.upload import Limits
from services.media.jobs import cage
from services.media.jobs.probe import Inside, refusal

MP3_SAMPLE_RATE_HZ = 44_100
MP3_BITRATE = "128k"
PEAKS = 256
_PEAK_RATE_HZ = 8_000
_FULL_SCALE = 32_768
_STEREO = 2
# A file that states more than this beyond what can be decoded has lost its end.
_MISSING_SHARE = 0.05
_MISSING_MS = 500


@dataclass(frozen=True)
class Playable:
    """A made mp3: where it is, how long it plays, how loud each stretch of it is from 0 to 100."""

    path: Path
    duration_ms: int
    peaks: tuple[int, ...]


def default_binary() -> str:
    """Return the path of the ffmpeg that was installed with us."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True)
class Ffmpeg:
    """The program with its limits."""

    binary: str
    bars: cage.Bars = field(default_factory=cage.Bars)

    async def make_playable(self, source: Path, inside: Inside, folder: Path, limits: Limits) -> Playable:
        """Return the mp3 made in `folder`; mono stays mono, more than two channels become two.

        Raises UploadFormatInvalid when the sound cannot be decoded or its end is missing, and
        UploadDurationInvalid for a length that is not allowed; cage.TookTooLong on a busy machine.
        """
        mp3, samples = folder / "playable.mp3", folder / "samples.s16"
        # One second more than allowed is enough to know that it is too long.
        arguments = _arguments(source, inside, mp3, samples, longest_s=limits.longest_ms / 1000 + 1)
        outcome = await cage.run([self.binary, *arguments], self.bars)
        outcome.check_our_side()
        if outcome.code != 0:
            raise refusal("stalling" if outcome.used_up else "broken", outcome.complaint)
        heard = await asyncio.to_thread(np.fromfile, samples, "<i2")
        if not heard.size:
            raise refusal("no sound")
        duration_ms = round(heard.size * 1000 / _PEAK_RATE_HZ)
        if duration_ms > limits.longest_ms:
            limits.check_duration(max(duration_ms, inside.stated_ms))
        if inside.stated_ms - duration_ms > max(_MISSING_MS, inside.stated_ms * _MISSING_SHARE):
            raise refusal("truncated")
        limits.check_duration(duration_ms)
        return Playable(mp3, min(duration_ms, limits.longest_ms), peaks_of(heard))


def peaks_of(samples: NDArray[np.int16]) -> tuple[int, ...]:
    """Return the loudest value of each of up to 256 equal stretches of the samples, 0 to 100 of full scale."""
    count = min(PEAKS, samples.size)
    starts = np.arange(count) * samples.size // count
    # Widened first: the magnitude of the lowest 16-bit value does not fit into 16 bits.
    loudest = np.maximum.reduceat(np.abs(samples.astype(np.int32)), starts)
    return tuple(int(value) for value in np.rint(loudest * (100 / _FULL_SCALE)))


def _arguments(source: Path, inside: Inside, mp3: Path, samples: Path, *, longest_s: float) -> list[str]:
    """Return ffmpeg's arguments for one reading of the source and two outputs."""
    channels = min(inside.channels, _STEREO)
    bound = ["-map", "0:a:0", "-t", f"{longest_s:g}", "-map_metadata", "-1"]
    return [
        *("-nostdin", "-y", "-hide_banner", "-v", "error", "-threads", "1", "-protocol_whitelist", "file"),
        *("-f", inside.format.demuxer, "-i", f"file:{source}"),
        *bound,
        *("-ac", str(channels), "-ar", str(MP3_SAMPLE_RATE_HZ), "-c:a", "libmp3lame", "-b:a", MP3_BITRATE),
        *("-f", "mp3", f"file:{mp3}"),
        *bound,
        *("-ac", "1", "-ar", str(_PEAK_RATE_HZ), "-c:a", "pcm_s16le", "-f", "s16le", f"file:{samples}"),
    ]
