"""What files are by their first bytes."""

import pytest

from services.media.domain.sound import HEAD_BYTES, describe, missing_bytes, sniff
from tests.media.recordings import SOUNDS, sound, video


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds(name: str) -> None:
    """Every recording is recognised by its content, and can be opened as what it is."""
    found = sniff(sound(name)[:HEAD_BYTES])

    assert found is not None
    assert found.extension == name.rpartition(".")[2]
    assert found.is_sound


def test_frames_without_a_tag() -> None:
    """An mp3 that begins with a bare frame is recognised by two frames in a row."""
    tagged = sound("take.mp3")
    bare = tagged[tagged.index(b"\xff\xfb") :]

    assert getattr(sniff(bare[:HEAD_BYTES]), "name", "") == "mp3"
    assert sniff(bare[:4] + b"\0" * 4000) is None


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"", "empty"),
        (b"la la la, no sound in here\n" * 20, "text"),
        ("哼".encode() * 1000, "text"),
        (b"#EXTM3U\n#EXT-X-VERSION:3\nhttp://127.0.0.1/x.ts\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "playlist"),
        (b"[playlist]\nFile1=/etc/passwd\n", "playlist"),
        (b"%PDF-1.7\n", "pdf"),
        (b"MZ" + bytes(100), "program"),
        (b"RIFF\x00\x01\x00\x00AVI LIST", "video"),
        (b"\x00\x00\x01\xba" + bytes(100), "video"),
        (b"\xff\xff\xff\xff" + bytes(100), "unknown"),
        (bytes(4096), "unknown"),
    ],
)
def test_refused(head: bytes, word: str) -> None:
    """What is no sound is not taken for one, and is called by its name."""
    assert sniff(head[:HEAD_BYTES]) is None
    assert describe(head[:HEAD_BYTES]) == word


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF\x00\x01\x00\x00WEBPVP8 ", "webp"),
        (b"GIF89a" + bytes(50), "gif"),
        (b"MThd\x00\x00\x00\x06", "midi"),
        (b"PK\x03\x04" + bytes(100), "zip"),
    ],
)
def test_made_files(head: bytes, name: str) -> None:
    """Pictures, scores and archives are recognised too, but are nothing that ffmpeg opens."""
    found = sniff(head)

    assert found is not None
    assert (found.name, found.is_sound) == (name, False)


def test_an_archive_is_called_by_its_name() -> None:
    """Whoever sends a zip instead of a sound is told that it is one."""
    assert describe(b"PK\x03\x04" + bytes(100)) == "zip"


@pytest.mark.parametrize("name", ["take.wav", "take.caf"])
def test_missing_bytes(name: str) -> None:
    """A WAV or CAF file that lost its end is told by its own header."""
    data = sound(name)

    assert missing_bytes(data[:HEAD_BYTES], len(data)) == 0
    assert missing_bytes(data[:HEAD_BYTES], len(data) - 1000) == 1000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_length_left_open(size: int) -> None:
    """A WAV file whose recorder never went back to the header lacks nothing."""
    data = bytearray(sound("take.wav"))
    data[4:8] = size.to_bytes(4, "little")

    assert missing_bytes(bytes(data[:HEAD_BYTES]), len(data)) == 0


def test_video_looks_like_sound() -> None:
    """A video has the container of a sound, which is why the streams are looked at later."""
    assert getattr(sniff(video("clip.mp4")[:HEAD_BYTES]), "name", "") == "m4a"
