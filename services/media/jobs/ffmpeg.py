"""Make a sound playable with ffmpeg: one pass gives the mp3 that is played and the samples that are measured.

The input is opened with the demuxer that its content asked for, by the `file` protocol and with decoders
of sound only, in a room without a way out: no playlist, script or reference inside it leads to another
file or host.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.media.domain.asset import Waveform
from services.media.domain.sound import Format
from services.media.domain.upload import Limits
from services.media.jobs import cage
from services.media.jobs.look import read_report, refusal
from services.media.jobs.measure import measure

MP3_SAMPLE_RATE_HZ = 44_100
MP3_BITRATE = "128k"
_FRAME_BYTES = 2 * 2
# A file that states more than this beyond what can be decoded has lost its end.
_MISSING_SHARE = 0.05
_MISSING_MS = 500
# What people bring: the formats of phones and browsers, and plain samples in all widths.
_DECODERS = (
    *("mp3float", "mp3", "mp2float", "mp2", "mp1float", "mp1", "aac", "vorbis", "opus", "libopus", "flac", "alac"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "gsm_ms"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s8"),
    *(f"pcm_{kind}{order}" for kind in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
)
_MOST_STREAMS = 32
# By the input's own clock, which recorders let jump.
_SLACK_S = 60
# No sound of three minutes needs more in one piece; what asks for it is made to.
_LARGEST_BLOCK_BYTES = 256 * 1024 * 1024
# Enough for the report of the input, however many tags it has.
_REPORT_BYTES = 256 * 1024


@dataclass(frozen=True)
class Playable:
    """A made mp3: where it is, how long it plays, how loud each stretch of it is from 0 to 100, how it looks."""

    path: Path
    duration_ms: int
    peaks: tuple[int, ...]
    waveform: Waveform
    codec: str


def default_binary() -> str:
    """Return the path of the ffmpeg that was installed with us."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True)
class Ffmpeg:
    """The program with its limits."""

    binary: str
    bars: cage.Bars = field(default_factory=lambda: cage.Bars(output_bytes=_REPORT_BYTES))

    async def make_playable(self, source: Path, found: Format, folder: Path, limits: Limits) -> Playable:
        """Return the mp3 made in `folder`; mono stays mono, more than two channels become two.

        Raises UploadFormatInvalid when the sound cannot be decoded or its end is missing, and
        UploadDurationInvalid for a length that is not allowed; cage.TookTooLong on a busy machine.
        """
        mp3, samples = folder / "playable.mp3", folder / "samples.wav"
        # One second more than allowed is enough to know that it is too long.
        longest_s = limits.longest_ms / 1000 + 1
        arguments = _arguments(source, found, mp3, samples, longest_s=longest_s)
        largest_mb = math.ceil(longest_s * MP3_SAMPLE_RATE_HZ * _FRAME_BYTES / 2**20) + 1
        bars, room = replace(self.bars, file_mb=largest_mb), cage.Room(folder, (source,))
        outcome = await cage.run([self.binary, *arguments], bars, room)
        outcome.check_our_side()
        inside = await asyncio.to_thread(read_report, outcome.complaint, source, found)
        if inside.moving_pictures:
            raise refusal("video")
        if outcome.code != 0:
            nothing = not inside.codec and "Input #0" in outcome.complaint
            word = "stalling" if outcome.used_up else "no sound" if nothing else "broken"
            raise refusal(word, outcome.complaint)
        heard = await asyncio.to_thread(measure, samples)
        if heard is None:
            raise refusal("no sound")
        duration_ms = round(heard.frames * 1000 / heard.sample_rate_hz)
        if duration_ms > limits.longest_ms:
            limits.check_duration(max(duration_ms, inside.stated_ms))
        if inside.stated_ms - duration_ms > max(_MISSING_MS, inside.stated_ms * _MISSING_SHARE):
            raise refusal("truncated")
        limits.check_duration(duration_ms)
        return Playable(mp3, min(duration_ms, limits.longest_ms), heard.peaks, heard.waveform, inside.codec)


def _arguments(source: Path, found: Format, mp3: Path, samples: Path, *, longest_s: float) -> list[str]:
    """Return ffmpeg's arguments for one reading and one resampling of the source, and two outputs."""
    # Large frames, for the filters cost as much by the frame as by the sample; and samples as the encoder takes
    # them, or it would have them converted behind the split and choose one channel for itself.
    graph = (
        f"[0:a:0]asetnsamples=8192:p=0,aresample={MP3_SAMPLE_RATE_HZ},"
        "aformat=sample_fmts=s16p:channel_layouts=stereo|mono,asplit[played][measured]"
    )
    return [
        *reading(source, found, longest_s=longest_s),
        *("-filter_complex_threads", "1", "-filter_complex", graph),
        *writing(mp3, samples, longest_s=longest_s),
    ]


def reading(source: Path, found: Format, *, longest_s: float) -> list[str]:
    """Return the arguments that open a stranger's file as what it is and read so much of it and a little more."""
    return [
        *("-nostdin", "-y", "-hide_banner", "-nostats", "-v", "info", "-max_alloc", str(_LARGEST_BLOCK_BYTES)),
        *("-threads", "1", "-protocol_whitelist", "file", "-codec_whitelist", ",".join(_DECODERS)),
        # Also of the input, or an absurd rate is resampled into gigabytes before anybody looks at the length.
        *("-t", f"{longest_s + _SLACK_S:g}"),
        *("-max_streams", str(_MOST_STREAMS), "-f", found.demuxer, *found.options, "-i", f"file:{source}"),
    ]


def writing(mp3: Path | None, samples: Path, *, longest_s: float) -> list[str]:
    """Return the arguments that write the streams `played`, if there is one, and `measured`."""
    bound = ["-t", f"{longest_s:g}", "-map_metadata", "-1", "-map_chapters", "-1"]
    played = ["-map", "[played]", *bound, "-c:a", "libmp3lame", "-b:a", MP3_BITRATE, "-f", "mp3", f"file:{mp3}"]
    measured = ["-map", "[measured]", *bound, "-c:a", "pcm_s16le", "-f", "wav", f"file:{samples}"]
    return [*(played if mp3 else ()), *measured]
