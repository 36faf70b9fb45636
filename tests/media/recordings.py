"""Recordings in every format that phones and browsers make, synthesised by ffmpeg."""

import subprocess
from functools import cache
from pathlib import Path

from services.media.jobs.ffmpeg import default_binary

# Arguments after the input; the amr codecs know one rate and one channel only.
_AMR = ("-ar", "8000", "-ac", "1")
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
