"""What a stranger's file says of itself: its first bytes read by us, and the streams that ffmpeg reports."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from services.media.domain.errors import UploadFormatInvalid
from services.media.domain.raw_sound import recognise
from services.media.domain.sound import HEAD_BYTES, Format, describe, missing_bytes

_log = logging.getLogger(__name__)
_LONGEST_COMPLAINT = 500
# Where LAME and others write how many frames the file should have.
_XING_WINDOW = 256
# Containers whose stated length is their own word and not a guess from the bitrate; in MP3 only a Xing frame tells.
_STATES_LENGTH = frozenset({"mov", "flac", "matroska", "aiff"})

# ffmpeg's report of its input. Tags of the file cannot begin a line, for ffmpeg indents each of theirs further.
_INPUT = re.compile(r"^Input #0, .*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_LENGTH = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d)\.(\d\d)", re.MULTILINE)
_STREAM = re.compile(r"^  Stream #0:\d+.*?: (Audio|Video): (\S+?),? .*?$", re.MULTILINE)
_COVER = "(attached pic)"


@dataclass(frozen=True)
class Inside:
    """What is inside a file by ffmpeg's report; `stated_ms` is 0 when the file does not say how long it is."""

    codec: str = ""
    moving_pictures: bool = False
    stated_ms: int = 0


def look(path: Path, raw: Format | None = None) -> Format:
    """Return what the file is by its first bytes, or `raw` for samples without a header that were announced as such.

    Raises UploadFormatInvalid unless it is a whole sound as far as its own header says.
    """
    head, size_bytes = _read_head(path)
    found = recognise(head, raw)
    if found is None or not found.is_sound:
        raise refusal(describe(head))
    if missing_bytes(head, size_bytes):
        raise refusal("truncated")
    return found


def read_report(report: str, path: Path, found: Format) -> Inside:
    """Return what ffmpeg wrote about its input; nothing known where it wrote nothing."""
    told = _INPUT.search(report)
    if told is None:
        return Inside()
    streams = list(_STREAM.finditer(told.group()))
    sounds = [each.group(2) for each in streams if each.group(1) == "Audio"]
    pictures = [each for each in streams if each.group(1) == "Video" and _COVER not in each.group()]
    length = _LENGTH.search(told.group())
    stated_ms = 0
    if length and _states_length(path, found):
        hours, minutes, seconds, hundredths = map(int, length.groups())
        stated_ms = ((hours * 60 + minutes) * 60 + seconds) * 1000 + hundredths * 10
    return Inside(sounds[0] if sounds else "", bool(pictures), stated_ms)


def refusal(found: str, complaint: str = "") -> UploadFormatInvalid:
    """Return the error for a file that is not a playable sound; `found` says what it is instead.

    What the library complained about goes to the log only, for it names our folders.
    """
    _log.info("refused a file as %s: %s", found, complaint[-_LONGEST_COMPLAINT:])
    return UploadFormatInvalid.at("file", f"not a sound that can be played ({found})", found=found)


def _states_length(path: Path, found: Format) -> bool:
    """Return whether a length found in the file is stated by it."""
    if found.demuxer != "mp3":
        return found.demuxer in _STATES_LENGTH
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":
            # ID3v2: the size is in four bytes of seven bits.
            file.seek(10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]))
            head = b""
        window = head + file.read(_XING_WINDOW)
    return b"Xing" in window or b"Info" in window


def _read_head(path: Path) -> tuple[bytes, int]:
    """Return the first bytes and the size of the file."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES), path.stat().st_size
