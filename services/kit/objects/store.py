"""What every object store does, whichever one is behind it, and how it says no.

Keys are made by services and are plain ASCII paths; sizes are capped while the bytes come in;
an address handed to a client allows one method on one key with one type and one size.
"""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from services.kit.errors import BodyTooLarge, DomainError, NotFound, ParamInvalid, PermissionDenied, Unavailable

_LONGEST_KEY = 512
_SEGMENT = re.compile(r"[A-Za-z0-9._=+@-]+")
_LONGEST_EXPIRY_S = 7 * 86400

Data = AsyncIterator[bytes] | bytes


class ObjectNotFound(NotFound):
    """Nothing is stored under the key."""


class ObjectTooLarge(BodyTooLarge):
    """More bytes came than were announced or allowed; nothing was stored."""

    reason = "UPLOAD_TOO_LARGE"


class ObjectIncomplete(DomainError):
    """Fewer bytes came than were announced; nothing was stored."""

    reason = "UPLOAD_INCOMPLETE"


class ObjectUrlInvalid(PermissionDenied):
    """The address was not signed by us for this request."""


class ObjectUrlExpired(DomainError):
    """The address was good once."""

    reason = "UPLOAD_URL_EXPIRED"


@dataclass(frozen=True)
class StoredObject:
    """What is known of a stored object; `sha256` is there where the store keeps or just saw it."""

    key: str
    size_bytes: int
    etag: str
    content_type: str
    sha256: str | None = None


@dataclass(frozen=True)
class Part:
    """One stored part of an object that is not whole yet, as the store needs to hear of it again."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True)
class PresignedPut:
    """An address for one upload; the client must send exactly these headers with it."""

    url: str
    headers: dict[str, str]
    expire_time: datetime


class ObjectStore(Protocol):
    """Bytes by key. Every method raises Unavailable when the store is out of reach and ParamInvalid for a bad key."""

    async def put(
        self, key: str, data: Data, *, content_type: str, size: int | None = None, limit: int | None = None
    ) -> StoredObject:
        """Store the bytes, replacing what was there in one step, and return what is known of them.

        With a `size` exactly that many must come, with a `limit` no more. Raises ObjectTooLarge,
        ObjectIncomplete and whatever `data` raises; then the old object is still there.
        """

    def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start`, before `end`, like a slice; raises ObjectNotFound."""

    async def head(self, key: str) -> StoredObject | None:
        """Return what is stored under the key, or None."""

    async def delete(self, key: str) -> None:
        """Remove the object; does nothing when there is none."""

    async def begin_parts(self, key: str, *, content_type: str) -> str:
        """Return the id under which parts of a future object can be stored, by any process and for days."""

    async def put_part(self, key: str, parts_id: str, number: int, data: bytes | bytearray) -> Part:
        """Store one part durably, counted from 1 to 10,000, replacing that of the same number.

        All parts but the last must be of one size, 5 MiB or more: S3 takes no smaller ones, R2 none that differ.
        Raises ObjectNotFound when the parts were finished or given up.
        """

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """Make one object of all parts in their order.

        Raises ObjectNotFound when they were given up before, and where a store does not remember also when they were
        finished before: `head` tells which.
        """

    async def abort_parts(self, key: str) -> None:
        """Give up every unfinished object of the key with all its parts; does nothing when there is none."""

    async def presign_put(self, key: str, *, content_type: str, size_bytes: int, expires_s: int) -> PresignedPut:
        """Return an address for one PUT of exactly this type and size."""

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Return an address for reading; with a filename a browser saves it under that name."""

    async def prepare(self) -> None:
        """Make the bucket if it is not there."""

    async def ping(self) -> None:
        """Return when the store answers; raises Unavailable."""

    async def close(self) -> None:
        """Close what the store holds open."""


def checked_key(key: str) -> str:
    """Return the key; raises ParamInvalid for one that could leave its place or that no store takes."""
    if not 0 < len(key) <= _LONGEST_KEY:
        raise ParamInvalid.of("key", f"must have 1 to {_LONGEST_KEY} characters")
    for segment in key.split("/"):
        if segment in {".", ".."} or _SEGMENT.fullmatch(segment) is None:
            raise ParamInvalid.of("key", "must be a relative path of plain characters")
    return key


def checked_expiry(expires_s: int) -> int:
    """Return the seconds; ValueError outside one second to seven days, which is what S3 signs."""
    if not 0 < expires_s <= _LONGEST_EXPIRY_S:
        raise ValueError(f"an address cannot be valid for {expires_s} s")
    return expires_s


def disposition(filename: str) -> str:
    """Return a Content-Disposition value that saves under the name, of any alphabet (RFC 6266)."""
    clean = re.sub(r"[\x00-\x1f\x7f/\\\"]", "_", filename)[:150] or "download"
    plain = clean.encode("ascii", "replace").decode("ascii").replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(clean, safe='')}"


def out_of_reach(error: BaseException) -> Unavailable:
    """Return the error that callers see when the store itself fails."""
    return Unavailable(f"the object store failed: {type(error).__name__}", dependency="objects")


class Meter:
    """Counts the bytes of one upload and stops it at the cap."""

    def __init__(self, size: int | None, limit: int | None) -> None:
        self.count = 0
        self._size = size
        caps = [each for each in (size, limit) if each is not None]
        self._cap = min(caps) if caps else None

    def add(self, count: int) -> None:
        """Count more bytes; raises ObjectTooLarge as soon as they are too many."""
        self.count += count
        if self._cap is not None and self.count > self._cap:
            raise ObjectTooLarge("more bytes than announced or allowed", limit_bytes=self._cap)

    def close(self) -> None:
        """Raise ObjectIncomplete when fewer bytes came than were announced."""
        if self._size is not None and self.count != self._size:
            raise ObjectIncomplete("fewer bytes than announced", expected_bytes=self._size, got_bytes=self.count)


async def pieces_of(data: Data, meter: Meter, piece_bytes: int) -> AsyncIterator[bytes]:
    """Yield the data in pieces of the given size, the last one shorter, counted by the meter.

    Holds one piece at a time, whatever the pieces of the source are like.
    """
    if isinstance(data, bytes):
        meter.add(len(data))
        meter.close()
        for start in range(0, len(data), piece_bytes):
            yield data[start : start + piece_bytes]
        return
    held = bytearray()
    async for chunk in data:
        meter.add(len(chunk))
        held += chunk
        while len(held) >= piece_bytes:
            yield bytes(held[:piece_bytes])
            del held[:piece_bytes]
    meter.close()
    if held:
        yield bytes(held)
