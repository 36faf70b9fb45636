"""The object store as Media uses it: nothing is stored unannounced, nothing is left behind.

A key is committed to the ledger before its bytes come and kept in the transaction that makes an
asset of them. Whatever is not kept goes: at once through the outbox where we know of it, else
when its time in the ledger is up.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit import crash
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import Unavailable
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.postgres_outbox import PostgresOutbox
from services.kit.objects.store import ObjectStore, Part, PresignedPut, StoredObject
from services.media.storage import stored_object as ledger
from services.media.storage.tables import jobs

_log = logging.getLogger(__name__)

DELETE = "object.delete"
DROP_PARTS = "object.drop_parts"
# Longer than any upload or job may take.
_UNKEPT = timedelta(hours=1)


@dataclass(frozen=True)
class Address:
    """A signed address for reading and when it ends."""

    url: str
    expire_time: datetime


@dataclass
class Placing:
    """Whether the object being placed has become part of a committed asset."""

    kept: bool = False


class Shelf:
    """Where the bytes of assets are."""

    def __init__(self, db: Database, store: ObjectStore, clock: Clock, *, read_s: int, write_s: int) -> None:
        """Use the store; signed addresses live `read_s` and `write_s` seconds."""
        self._db = db
        self._store = store
        self._clock = clock
        self._read_s = read_s
        self._write_s = write_s
        self._outbox = PostgresOutbox(jobs.outbox)
        self.dispatcher = Dispatcher(db, self._outbox, {DELETE: self._delete, DROP_PARTS: self._drop_parts}, clock)

    async def announce(self, key: str) -> None:
        """Commit the key, so that its bytes are found again should we not live to keep them."""
        at = self._clock()
        async with self._db.transaction(Act.OBJECT_ANNOUNCE) as tx:
            await ledger.announce(tx, key, at=at, delete_after=at + _UNKEPT)

    @asynccontextmanager
    async def placing(self, key: str) -> AsyncIterator[Placing]:
        """Announce the key and, unless `kept` is set inside, have its object removed again."""
        await self.announce(key)
        placing = Placing()
        try:
            yield placing
        finally:
            if not placing.kept:
                await self.forget(key)

    async def put(self, key: str, data: AsyncIterator[bytes] | bytes, content_type: str) -> StoredObject:
        """Store the bytes under an announced key.

        Raises whatever `data` raises, and then nothing is stored; Unavailable when the store is.
        """
        with crash.around(Act.OBJECT_PUT):
            return await self._store.put(key, data, content_type=content_type)

    async def begin_parts(self, key: str, content_type: str) -> str:
        """Return the id of parts under an announced key; raises Unavailable."""
        with crash.around(Act.OBJECT_PUT):
            return await self._store.begin_parts(key, content_type=content_type)

    async def put_part(self, key: str, parts_id: str, number: int, data: bytes | bytearray) -> Part:
        """Store one part under an announced key; raises Unavailable, ObjectNotFound when the parts are gone."""
        with crash.around(Act.OBJECT_PUT):
            return await self._store.put_part(key, parts_id, number, data)

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """Make one object of the parts; raises Unavailable, ObjectNotFound when that was done or they are gone."""
        with crash.around(Act.OBJECT_PUT):
            await self._store.finish_parts(key, parts_id, parts)

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an object; raises ObjectNotFound and Unavailable."""
        pieces = cast("AsyncGenerator[bytes, None]", self._store.open(key))
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def head(self, key: str) -> StoredObject | None:
        """Return what is stored under the key, or None; raises Unavailable."""
        return await self._store.head(key)

    async def address_to_write(self, key: str, content_type: str, size_bytes: int) -> PresignedPut:
        """Return an address for one PUT of exactly this type and size."""
        return await self._store.presign_put(
            key, content_type=content_type, size_bytes=size_bytes, expires_s=self._write_s
        )

    async def address_to_read(self, key: str, filename: str = "") -> Address:
        """Return an address for reading; with a filename a browser saves the file under it."""
        expire_time = self._clock() + timedelta(seconds=self._read_s)
        url = await self._store.presign_get(key, expires_s=self._read_s, filename=filename or None)
        return Address(url, expire_time)

    async def prepare(self) -> None:
        """Make the place for the objects; a store that is away now is prepared when it comes back."""
        try:
            await self._store.prepare()
        except Unavailable as error:
            _log.warning("the object store is not there yet: %r", error)

    async def ping(self) -> None:
        """Return when the store answers; raises Unavailable."""
        try:
            await self._store.ping()
        except Unavailable:
            await self._store.prepare()

    async def forget(self, key: str) -> None:
        """Have the object removed soon unless an asset keeps it; never raises.

        The key stays in the ledger until its time is up, for a store that finishes late.
        """
        try:
            async with self._db.transaction() as tx:
                if await ledger.is_kept(tx, key):
                    return
                await self._outbox.put(tx, DELETE, {"key": key})
        except Exception as error:  # noqa: BLE001  # the ledger has the key, and the first error matters more
            _log.warning("an object waits for the sweep: %r", error)
        self.dispatcher.kick()

    async def drop(self, tx: AsyncConnection, keys: Iterable[str], *, unfinished: bool = False) -> None:
        """Have objects removed once the transaction commits; call `dispatcher.kick` after it.

        Signed addresses for writing may outlive the asset, so each goes once more after they ended. Of an unfinished
        object its parts go too.
        """
        at = self._clock()
        dropped = list(keys)
        for key in dropped:
            await self._outbox.put(tx, DELETE, {"key": key, "parts": unfinished})
        await ledger.drop(tx, dropped, delete_after=at + timedelta(seconds=self._write_s) + _UNKEPT)

    async def drop_parts(self, tx: AsyncConnection, key: str) -> None:
        """Have parts removed, once the transaction commits, that are of no finished object and of no known one."""
        await self._outbox.put(tx, DROP_PARTS, {"key": key})

    async def sweep(self, tx: AsyncConnection, most: int) -> int:
        """Return how many objects whose time is up are handed to the outbox in this transaction."""
        keys = await ledger.take_due(tx, self._clock(), most)
        for key in keys:
            await self._outbox.put(tx, DELETE, {"key": key, "parts": True})
        return len(keys)

    async def _delete(self, payload: dict[str, Any]) -> None:
        """Remove one object; one that is not there is removed already."""
        with crash.around(Act.OBJECT_DELETE):
            if payload.get("parts"):
                await self._store.abort_parts(payload["key"])
            await self._store.delete(payload["key"])

    async def _drop_parts(self, payload: dict[str, Any]) -> None:
        """Remove what is left in parts under one key."""
        with crash.around(Act.OBJECT_DELETE):
            await self._store.abort_parts(payload["key"])
