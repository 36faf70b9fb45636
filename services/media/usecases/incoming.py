"""A file as it comes in by pieces: its first bytes are looked at before any of it is stored."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable

from services.media.domain.errors import ChecksumWrong, UploadFormatInvalid
from services.media.domain.raw_sound import recognise
from services.media.domain.sound import HEAD_BYTES, Format, describe


class Incoming:
    """The pieces of one file, counted and hashed while they pass; each is read once."""

    def __init__(self, pieces: AsyncIterator[bytes], check_size: Callable[[int], None], content_md5: str = "") -> None:
        """Take the pieces; `check_size` raises when the bytes so far are too many.

        `content_md5` is the MD5 that all of them must have, in base64; empty when none was announced.
        """
        self._content_md5 = content_md5
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._pieces = pieces
        self._check_size = check_size
        self._head = bytearray()
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    async def look(self, raw: Format | None = None) -> Format:
        """Return what the first bytes are; raises UploadFormatInvalid for what is never taken.

        `raw` says how to read samples without a header, if any were announced.
        """
        async for piece in self._pieces:
            self._count(piece)
            self._head += piece
            if len(self._head) >= HEAD_BYTES:
                break
        head = bytes(self._head[:HEAD_BYTES])
        found = recognise(head, raw)
        if found is None:
            what = describe(head)
            raise UploadFormatInvalid.at("file", f"not a file of a known kind ({what})", found=what)
        return found

    async def whole(self) -> AsyncIterator[bytes]:
        """Yield the whole file, the part that was looked at included; raises ChecksumWrong behind its end."""
        if self._head:
            yield bytes(self._head)
        async for piece in self._pieces:
            self._count(piece)
            yield piece
        if self._content_md5 and base64.b64encode(self._md5.digest()).decode() != self._content_md5:
            raise ChecksumWrong.of("content_md5", "the file has another MD5 than was announced")

    async def drain(self) -> None:
        """Read to the end and keep nothing, for the digest alone."""
        async for _ in self.whole():
            continue

    @property
    def sha256(self) -> str:
        """Digest of what has passed so far, in hex."""
        return self._digest.hexdigest()

    def _count(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        self._check_size(self.size_bytes)
        self._digest.update(piece)
        if self._content_md5:
            self._md5.update(piece)
