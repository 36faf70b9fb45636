"""A large file on its way: how far it is, who may go on with it, and what its pieces are checked against."""

import base64
import binascii
import hashlib
import zlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from services.media.domain.errors import ChecksumUnknown, ChecksumWrong, OffsetWrong, UploadLocked, UploadTooLarge

# The smallest part that S3, R2, OSS and COS all take; as much is held in memory of one append.
PART_BYTES = 5 * 1024 * 1024
# Whoever appends says so again three times within it; after a kill the next one waits no longer than this.
LOCK = timedelta(seconds=6)
_LONGEST_DIGEST = 64


@dataclass(frozen=True)
class StoredPart:
    """A part of the file that lies in the object store."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, kw_only=True)
class ResumableUpload:
    """How far a file has come: the parts that are stored, and behind them a tail too small for one."""

    asset_id: str
    size_bytes: int
    offset_bytes: int
    expire_time: datetime
    # Empty until the first part: small files are stored in one piece.
    parts_id: str = ""
    parts: tuple[StoredPart, ...] = ()
    # Found by looking at the first bytes; empty until they have come.
    content_type: str = ""
    lock_token: int = 0
    lock_until: datetime | None = None
    finish_time: datetime | None = None

    @property
    def arrived(self) -> bool:
        """Whether every byte has come."""
        return self.offset_bytes == self.size_bytes

    @property
    def next_number(self) -> int:
        """Number of the next part: each has its place, and whoever stores it again stores the same bytes there.

        Servers that copy S3 take no gaps between the numbers and no parts beyond those that make the object.
        """
        return len(self.parts) + 1

    def from_the_start(self) -> "ResumableUpload":
        """Return the upload as it was when nothing had come: the store has lost what it had."""
        return replace(self, offset_bytes=0, parts_id="", parts=(), content_type="", lock_until=None)

    def is_locked(self, at: datetime) -> bool:
        """Return whether somebody appends to the file at that instant."""
        return self.lock_until is not None and self.lock_until > at

    def check_append(self, offset_bytes: int, at: datetime) -> None:
        """Raise UploadLocked while somebody else appends, OffsetWrong when the bytes would leave a gap or overlap."""
        if self.is_locked(at):
            message = "another request appends to the upload"
            raise UploadLocked(message, asset_id=self.asset_id, retry_after_s=1)
        if offset_bytes != self.offset_bytes:
            message = f"the upload goes on at byte {self.offset_bytes}"
            raise OffsetWrong(message, asset_id=self.asset_id, offset_bytes=self.offset_bytes)

    def check_room(self, end_bytes: int) -> None:
        """Raise UploadTooLarge for bytes behind the announced end."""
        if end_bytes > self.size_bytes:
            limit = self.size_bytes
            raise UploadTooLarge.at("chunk", f"{limit} bytes were announced", limit_bytes=limit)


class _Crc32:
    """CRC-32 with the manners of hashlib; the digest is big-endian, as tus clients send it."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        """Return the four bytes."""
        return self._value.to_bytes(4, "big")


_ALGORITHMS: dict[str, Any] = {
    "sha256": hashlib.sha256,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "crc32": _Crc32,
}


class Checksum:
    """What the bytes of one append should come to."""

    def __init__(self, text: str) -> None:
        """Read an algorithm and a digest in base64; raises ChecksumUnknown for anything else."""
        name, _, digest = text.partition(" ")
        try:
            self._wanted = base64.b64decode(digest.strip(), validate=True)
        except (binascii.Error, ValueError):
            self._wanted = b""
        if name not in _ALGORITHMS or not 0 < len(self._wanted) <= _LONGEST_DIGEST:
            known = ", ".join(_ALGORITHMS)
            raise ChecksumUnknown.of("checksum", f"must be one of {known}, a space and a digest in base64")
        self.algorithm = name
        self._digest = _ALGORITHMS[name]()

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self._digest.update(data)

    def check(self) -> None:
        """Raise ChecksumWrong when the bytes came to something else."""
        if self._digest.digest() != self._wanted:
            message = f"the bytes have another {self.algorithm}"
            raise ChecksumWrong(message, algorithm=self.algorithm)
