"""Objects as files of this machine, behind addresses that the gateway serves.

A key is only ever hashed into a file name, so no key can name a place outside. The small file
with the facts names the file with the bytes and is replaced in one step: readers see the old
object or the new one and never a mixture, also after a crash.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from services.kit.clock import Clock, now
from services.kit.ids import new_id
from services.kit.objects import files
from services.kit.objects.files import reaching
from services.kit.objects.signing import Grant, Signer
from services.kit.objects.store import (
    Data,
    Meter,
    ObjectNotFound,
    ObjectUrlInvalid,
    Part,
    PresignedPut,
    StoredObject,
    checked_expiry,
    checked_key,
    out_of_reach,
    pieces_of,
)

_PIECE_BYTES = 256 * 1024
_FACTS = ".json"
_LOOKS = 5


class LocalObjectStore:
    """The embedded store; any number of processes may use one directory."""

    def __init__(
        self,
        directory: Path,
        url_secret: str,
        public_url: str,
        *,
        bucket: str = "cadenza",
        clock: Clock = now,
    ) -> None:
        self.bucket = bucket
        self._root = directory / bucket
        self._signer = Signer(url_secret)
        self._public_url = public_url.rstrip("/")
        self._clock = clock

    async def put(
        self, key: str, data: Data, *, content_type: str, size: int | None = None, limit: int | None = None
    ) -> StoredObject:
        """Store the bytes durably; see ObjectStore."""
        facts_path = self._facts_path(key)
        meter, digest = Meter(size, limit), hashlib.sha256()
        bytes_path = facts_path.with_name(f"{facts_path.stem}.{new_id()}")
        try:
            file = await asyncio.to_thread(files.create, bytes_path)
        except OSError as error:
            raise out_of_reach(error) from error
        try:
            async for piece in pieces_of(data, meter, _PIECE_BYTES):
                digest.update(piece)
                await reaching(file.write, piece)
            stored = StoredObject(key, meter.count, digest.hexdigest()[:32], content_type, digest.hexdigest())
            await reaching(files.commit, file, facts_path, stored)
        except BaseException:
            # Without its facts nobody finds the file; a thread may still be writing to it.
            with suppress(OSError):
                bytes_path.unlink()
            raise
        finally:
            file.close()
        return stored

    async def begin_parts(self, key: str, *, content_type: str) -> str:
        """Return the id of a new object in parts; see ObjectStore."""
        return await reaching(files.begin_parts, self._facts_path(key), content_type)

    async def put_part(self, key: str, parts_id: str, number: int, data: bytes | bytearray) -> Part:
        """Store one part as a file of its own; see ObjectStore."""
        return await reaching(files.put_part, self._facts_path(key), parts_id, number, data)

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """Make one object of the parts; see ObjectStore."""
        await reaching(files.finish_parts, self._facts_path(key), key, parts_id, parts)

    async def abort_parts(self, key: str) -> None:
        """Remove the files of every unfinished object of the key."""
        await reaching(files.remove_parts, self._facts_path(key))

    async def open(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of a slice; see ObjectStore."""
        file = await asyncio.to_thread(self._open, key)
        try:
            await asyncio.to_thread(file.seek, start)
            left = None if end is None else max(end - start, 0)
            while left != 0:
                count = _PIECE_BYTES if left is None else min(left, _PIECE_BYTES)
                piece = await reaching(file.read, count)
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            file.close()

    async def head(self, key: str) -> StoredObject | None:
        """Return the facts of the object, or None."""
        facts_path = self._facts_path(key)
        found = await asyncio.to_thread(files.read_facts, facts_path)
        return None if found is None else found[0]

    async def located(self, key: str) -> tuple[Path, StoredObject]:
        """Return the file that holds the bytes just now, for a server that sends files; raises ObjectNotFound."""
        found = await asyncio.to_thread(files.read_facts, self._facts_path(key))
        if found is None:
            raise ObjectNotFound("no such object", key=key)
        return found[1], found[0]

    async def delete(self, key: str) -> None:
        """Remove the object and whatever broken uploads left beside it."""
        await reaching(files.remove, self._facts_path(key))

    async def presign_put(self, key: str, *, content_type: str, size_bytes: int, expires_s: int) -> PresignedPut:
        """Return an address at the gateway for one upload; see ObjectStore."""
        headers = {"Content-Type": content_type, "Content-Length": str(size_bytes)}
        url, expire_time = self._address("PUT", key, expires_s, Grant(content_type, size_bytes, ""))
        return PresignedPut(url, headers, expire_time)

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Return an address at the gateway for reading; see ObjectStore."""
        return self._address("GET", key, expires_s, Grant("", 0, filename or ""))[0]

    def verify(self, method: str, bucket: str, key: str, query: Mapping[str, str]) -> Grant:
        """Return what a signed address allows; raises ObjectUrlInvalid and ObjectUrlExpired."""
        if bucket != self.bucket:
            raise ObjectUrlInvalid("the address is not signed for this request")
        return self._signer.verify(method, (bucket, checked_key(key)), query, self._clock().timestamp())

    async def prepare(self) -> None:
        """Make the folder."""
        await reaching(lambda: self._root.mkdir(parents=True, exist_ok=True, mode=0o700))

    async def ping(self) -> None:
        """Return when the folder can be written to."""
        await self.prepare()
        if not await asyncio.to_thread(os.access, self._root, os.W_OK | os.X_OK):
            raise out_of_reach(PermissionError())

    async def close(self) -> None:
        """Do nothing: no file stays open between calls."""

    def _address(self, method: str, key: str, expires_s: int, grant: Grant) -> tuple[str, datetime]:
        """Return a signed address and the instant it ends."""
        expire_s = int(self._clock().timestamp()) + checked_expiry(expires_s)
        query = self._signer.query(method, (self.bucket, checked_key(key)), expire_s, grant)
        return f"{self._public_url}/_objects/{self.bucket}/{key}?{query}", datetime.fromtimestamp(expire_s, UTC)

    def _facts_path(self, key: str) -> Path:
        """Return where the facts of a key are; two levels keep folders small."""
        name = hashlib.sha256(checked_key(key).encode()).hexdigest()
        return self._root / name[:2] / (name + _FACTS)

    def _open(self, key: str) -> IO[bytes]:
        """Return the open file; an object replaced between two looks is looked up again."""
        path = self._facts_path(key)
        for _ in range(_LOOKS):
            found = files.read_facts(path)
            if found is None:
                break
            with suppress(FileNotFoundError):
                return found[1].open("rb")
        raise ObjectNotFound("no such object", key=key)
