"""Look into one file with libav and print what is there as JSON; run in a cage, never imported.

A stranger's file meets the demuxer here and not in the worker, so that a crash or a stall of
the library costs one child process. The demuxer is given, the only protocol is `file`, and
nothing is decoded.
"""

import json
import sys
from typing import Any

import av
from av.container import InputContainer

# libavformat's AV_DISPOSITION_ATTACHED_PIC: a cover picture, which many sound files carry.
_ATTACHED_PICTURE = 0x0400
_MICROSECONDS = 1_000_000
# Where LAME and others write how many frames the file should have.
_XING_WINDOW = 256


def _states_length(path: str, demuxer: str) -> bool:
    """Return whether a length found in the file is stated by it and not guessed from its bitrate."""
    if demuxer != "mp3":
        return demuxer in {"mov", "flac", "matroska", "aiff"}
    with open(path, "rb") as file:  # noqa: PTH123  # the cage gives a plain path and speed counts
        head = file.read(10)
        if head[:3] == b"ID3":
            # ID3v2: the size is in four bytes of seven bits.
            size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
            file.seek(10 + size)
            head = b""
        window = head + file.read(_XING_WINDOW)
    return b"Xing" in window or b"Info" in window


def _look(path: str, demuxer: str) -> dict[str, Any]:
    """Return the streams and the stated length; raises av.FFmpegError on a file that makes no sense."""
    options = {"protocol_whitelist": "file"}
    with av.open(path, format=demuxer, options=options) as container:
        assert isinstance(container, InputContainer)
        sounds = container.streams.audio
        pictures = [stream for stream in container.streams.video if not int(stream.disposition) & _ATTACHED_PICTURE]
        length = container.duration
        return {
            "sounds": len(sounds),
            "moving_pictures": len(pictures),
            "codec": sounds[0].codec_context.name if sounds else "",
            "channels": sounds[0].codec_context.channels if sounds else 0,
            "sample_rate_hz": sounds[0].codec_context.sample_rate if sounds else 0,
            "stated_ms": length * 1000 // _MICROSECONDS if length and _states_length(path, demuxer) else 0,
        }


def main() -> int:
    """Print the findings and return 0, or print why there are none and return 1."""
    _, path, demuxer = sys.argv
    try:
        found = _look(path, demuxer)
    except (av.FFmpegError, OSError, ValueError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 1
    sys.stdout.write(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
