"""Recordings in every format that phones and browsers make, synthesised by ffmpeg."""

import subprocess
from functools import cache
from pathlib import Path

from services.media.jobs.ffmpeg import default_binary

# Arguments after the input; the amr codecs know one rate and one channel only.
_AMR = ("-ar", "8000", "-ac", "1")
_IN_PIECES = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
SOUNDS: dict[str, tuple[str, ...]] = {
    "take.mp3": ("-b:a", "128k"),
    "take.wav": (),
    "take.m4a": ("-c:a", "aac"),
    "take.aac": ("-c:a", "aac"),
    "take.ogg": ("-c:a", "libvorbis"),
    "take.opus.ogg": ("-c:a", "libopus"),
    # As a browser records it: the header says nothing about the length.
    "take.webm": ("-c:a", "libopus", "-live", "1"),
    "take.flac": (),
    "take.amr": _AMR,
    "take.caf": (),
    "take.3gp": ("-c:a", "libopencore_amrnb", *_AMR),
    "take.aiff": (),
}
# What recorders really write, by their names: container, codec and habits.
RECORDERS: dict[str, tuple[str, ...]] = {
    "wechat.mp3": ("-b:a", "48k", "-write_xing", "0", "-id3v2_version", "0"),
    "wechat.aac": ("-c:a", "aac", "-ar", "16000"),
    "wechat.m4a": ("-c:a", "aac", "-ac", "2"),
    "wechat.wav": ("-ar", "16000", "-ac", "2"),
    # Clusters of unknown size and no duration, as a stream is written.
    "chrome.webm": ("-c:a", "libopus", "-live", "1", "-cluster_time_limit", "500"),
    "chrome-pcm.webm": ("-c:a", "pcm_f32le", "-f", "matroska", "-live", "1"),
    "firefox.webm": ("-c:a", "libopus", "-ac", "2"),
    "firefox.ogg": ("-c:a", "libopus", "-page_duration", "20000"),
    "safari.mp4": ("-c:a", "aac", "-f", "mp4"),
    "safari-pieces.mp4": ("-c:a", "aac", "-f", "mp4", "-frag_duration", "500000", *_IN_PIECES),
    "safari-opus.mp4": ("-c:a", "libopus", "-f", "mp4", *_IN_PIECES),
    "safari-alac.m4a": ("-c:a", "alac"),
}
SINE = ("-f", "lavfi", "-i", "sine=frequency=440:duration={seconds}")
PICTURES = ("-f", "lavfi", "-i", "testsrc=duration={seconds}:size=64x64:rate=5")


def ffmpeg(*arguments: str) -> bytes:
    """Return what ffmpeg writes to its output."""
    command = [default_binary(), "-nostdin", "-y", "-v", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@cache
def sound(name: str, seconds: float = 2.0) -> bytes:
    """Return a file of SOUNDS with a steady tone in it; the container follows from the name."""
    return _made(name, [each.format(seconds=seconds) for each in SINE], SOUNDS[name])


@cache
def recorded(name: str, seconds: float = 2.0) -> bytes:
    """Return a file of RECORDERS with a steady tone in it."""
    return _made(name, [each.format(seconds=seconds) for each in SINE], RECORDERS[name])


@cache
def raw_samples(rate_hz: int, channels: int) -> bytes:
    """Return two seconds of a tone as samples without a header, as RecorderManager's format PCM."""
    sine = [each.format(seconds=2.0) for each in SINE]
    return ffmpeg(*sine, "-ar", str(rate_hz), "-ac", str(channels), "-f", "s16le", "pipe:1")


@cache
def video(name: str) -> bytes:
    """Return two seconds of moving pictures with a tone."""
    inputs = [each.format(seconds=2.0) for each in (*SINE, *PICTURES)]
    return _made(name, inputs, ("-shortest",))


def _made(name: str, inputs: list[str], arguments: tuple[str, ...]) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        # Some containers need to go back to their beginning, so a file and not a pipe.
        path = Path(folder) / name
        ffmpeg(*inputs, *arguments, str(path))
        return path.read_bytes()
