"""How large and long uploads may be, how they are named and where they are kept."""

import re

import pytest

from services.media.domain.asset import Kind
from services.media.domain.errors import UploadDurationInvalid, UploadFormatInvalid, UploadIncomplete, UploadTooLarge
from services.media.domain.sound import MP3
from services.media.domain.upload import (
    MEBIBYTE,
    Limits,
    check_arrived,
    clean_filename,
    download_filename,
    playable_key,
    raw_key,
)

_LIMITS = Limits()


@pytest.mark.parametrize(
    ("platform", "most", "hint"), [("wxmp", 10 * MEBIBYTE, "web"), ("web", 50 * MEBIBYTE, "presign")]
)
def test_streamed_size(platform: str, most: int, hint: str) -> None:
    """A streamed upload has at most 10 MiB from a mini-program and 50 MiB otherwise, with what to do instead."""
    _LIMITS.check_streamed(most, platform, "file")

    with pytest.raises(UploadTooLarge) as caught:
        _LIMITS.check_streamed(most + 1, platform, "file")
    assert caught.value.metadata["hint"] == hint
    assert caught.value.metadata["limit_bytes"] == str(most)
    assert [each.field for each in caught.value.violations] == ["file"]


def test_announced_size() -> None:
    """A presigned upload holds something and at most 100 MiB; both errors name the field."""
    _LIMITS.check_announced(1)
    _LIMITS.check_announced(100 * MEBIBYTE)

    with pytest.raises(UploadFormatInvalid) as empty:
        _LIMITS.check_announced(0)
    with pytest.raises(UploadTooLarge) as large:
        _LIMITS.check_announced(100 * MEBIBYTE + 1)
    assert {empty.value.metadata["field"], large.value.metadata["field"]} == {"size_bytes"}


@pytest.mark.parametrize(
    ("duration_ms", "allowed"),
    [(0, False), (999, False), (1000, True), (180_000, True), (180_100, True), (180_151, False), (600_000, False)],
)
def test_duration(duration_ms: int, allowed: bool) -> None:  # noqa: FBT001  # a column of the table
    """A recording lasts from one second to three minutes, give or take what an encoder pads."""
    if allowed:
        _LIMITS.check_duration(duration_ms)
        return
    with pytest.raises(UploadDurationInvalid) as caught:
        _LIMITS.check_duration(duration_ms)
    assert caught.value.metadata["duration_ms"] == str(duration_ms)
    assert caught.value.metadata["longest_ms"] == "180000"


@pytest.mark.parametrize(("announced", "arrived", "complete"), [(0, 7, True), (7, 7, True), (7, 6, False)])
def test_arrived(announced: int, arrived: int, complete: bool) -> None:  # noqa: FBT001  # a column of the table
    """What arrives has the size that was announced, if one was."""
    if complete:
        check_arrived(announced, arrived)
        return
    with pytest.raises(UploadIncomplete):
        check_arrived(announced, arrived)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("take 1.mp3", "take 1.mp3"),
        ("../../x.mp3", "x.mp3"),
        ("C:\\Users\\me\\哼唱.m4a", "哼唱.m4a"),
        ("/etc/passwd", "passwd"),
        ("..", "recording"),
        ("", "recording"),
        (".hidden.wav", "hidden.wav"),
        ("a\x00b\nc\u202e3pm.exe", "ab c3pm.exe"),
        ("e\u0301.ogg", "é.ogg"),
        ("x" * 300 + ".webm", "x" * 195 + ".webm"),
        ("y" * 300, "y" * 200),
    ],
)
def test_filename(given: str, kept: str) -> None:
    """A file's name loses its path and what no eye sees, and is cut without losing its ending."""
    assert clean_filename(given) == kept


def test_keys() -> None:
    """Keys say what folder a file is in and nothing that a client chose."""
    assert raw_key("id") == "raw/id.bin"
    assert raw_key("id", MP3) == "raw/id.mp3"
    assert [playable_key(kind, "id", "x") for kind in Kind] == [
        "audio/id.x",
        "music/generated/id.x",
        "cover/id.x",
        "documents/id.x",
    ]


def test_download_filename() -> None:
    """A title becomes a name that every file system takes, with the ending of the stored file."""
    name = download_filename('夏天 / "A:B"? ', "music/generated/id.mp3")

    assert name.endswith(".mp3")
    assert "夏天" in name
    assert not re.search(r'[/\\:*?"<>|]', name)
