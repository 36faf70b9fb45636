"""Files that come piece by piece: announced, appended to by whoever holds the lock, and made one asset at the end.

The row tells how far a file is, whoever asks and whatever died meanwhile. Bytes are acknowledged once they lie in a
part in the object store or in the tail in the database; a file that has come whole becomes its asset here, at the next
look, or by the loop of any instance, so that an object store which is away only makes it later.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import Expired, Unavailable
from services.kit.objects.store import ObjectNotFound, Part
from services.media.domain.asset import Asset, State
from services.media.domain.errors import (
    AssetNotFound,
    ChecksumWrong,
    PartsLost,
    UploadFormatInvalid,
    UploadIncomplete,
    UploadLocked,
    UploadTooLarge,
)
from services.media.domain.resumable_upload import LOCK, Checksum, ResumableUpload, StoredPart
from services.media.storage import asset as assets
from services.media.storage import resumable_upload as resumable
from services.media.usecases.arriving import Arriving, start_over
from services.media.usecases.shelf import Shelf
from services.media.usecases.upload import Announced, Origin, Uploads

_log = logging.getLogger(__name__)

_STALL_S = 15.0
_SAVE_S = 5.0
_EVERY_S = 5.0
_BATCH = 20
# A part and the copies that are made of it on its way: what one append may hold in memory, times this, is bounded.
_AT_ONCE = 32
# Nothing of an append that ends with one of these is worth keeping.
_REFUSED = (ChecksumWrong, UploadFormatInvalid, UploadTooLarge, UploadLocked)

Found = tuple[Asset, ResumableUpload]


class ResumableUploads:
    """Takes files in piece by piece."""

    def __init__(self, db: Database, shelf: Shelf, uploads: Uploads, clock: Clock, *, abandoned: timedelta) -> None:
        """Use the collaborators; a file that has not come whole after `abandoned` is removed."""
        self._db = db
        self._shelf = shelf
        self._uploads = uploads
        self._clock = clock
        self._abandoned = abandoned
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def create(self, origin: Origin, announced: Announced, *, sha256: str, request_hash: str) -> Found:
        """Return a new upload and its asset; a repeat returns those of the first time.

        Raises UploadTooLarge, UploadFormatInvalid, TooManyOpen, IdempotencyKeyReused.
        """

        async def also(tx: Any, asset: Asset) -> None:
            until = asset.create_time + self._abandoned
            upload = ResumableUpload(
                asset_id=asset.asset_id, size_bytes=asset.size_bytes, offset_bytes=0, expire_time=until
            )
            await resumable.add(tx, upload)

        asset = await self._uploads.announce(origin, announced, sha256=sha256, request_hash=request_hash, also=also)
        return await self._find(origin.user_id, asset.asset_id)

    async def get(self, user_id: str, asset_id: str) -> Found:
        """Return how far the upload is, and its asset; raises AssetNotFound, also once its time is up."""
        asset, upload = await self._find(user_id, asset_id)
        if upload.finish_time is None and upload.arrived:
            await self._try_finish(asset)
            return await self._find(user_id, asset_id)
        if upload.finish_time is None and upload.expire_time <= self._clock():
            raise _gone(asset_id)
        return asset, upload

    async def append(
        self, origin: Origin, asset_id: str, offset_bytes: int, pieces: AsyncIterator[bytes], *, checksum: str = ""
    ) -> Found:
        """Return how far the upload is after the pieces; with the last byte its asset is uploaded.

        What came of pieces that break off is kept, unless there is a checksum. Raises UploadLocked, OffsetWrong,
        UploadTooLarge, UploadFormatInvalid, ChecksumWrong, AssetNotFound, Expired when nothing comes any more.
        """
        against = Checksum(checksum) if checksum else None
        async with self._turns:
            arriving = await self._claim(origin.user_id, asset_id, offset_bytes)
            if arriving is not None:
                arriving.check_against(against)
                await self._receive(arriving, pieces)
        asset, upload = await self._find(origin.user_id, asset_id)
        if upload.arrived and upload.finish_time is None:
            await self._try_finish(asset, trace_id=origin.trace_id)
        return await self._find(origin.user_id, asset_id)

    async def run(self) -> None:
        """Make assets of files that have come whole, every few seconds for ever; ends by cancellation."""
        while True:
            await self.once()
            await asyncio.sleep(_EVERY_S)

    async def once(self) -> int:
        """Return how many files were found whole without anybody working on them; each is tried once."""
        async with self._db.transaction() as tx:
            ids = await resumable.arrived(tx, self._clock(), _BATCH)
        for asset_id in ids:
            with suppress(AssetNotFound):
                async with self._db.transaction() as tx:
                    asset = await assets.lock_for_work(tx, asset_id)
                await self._try_finish(asset)
        return len(ids)

    async def _receive(self, arriving: Arriving, pieces: AsyncIterator[bytes]) -> None:
        """Take the pieces in, keep what came when they break off, and give the lock back in any case."""
        async with self._beating(arriving.upload):
            try:
                await _all_of(pieces, arriving)
                await arriving.close()
            except PartsLost:
                await _at_last(arriving.start_over())
                raise
            except _REFUSED:
                await _at_last(arriving.release())
                raise
            except BaseException:
                await _at_last(arriving.keep())
                raise

    async def _find(self, user_id: str, asset_id: str) -> Found:
        async with self._db.transaction() as tx:
            return await assets.get(tx, asset_id, user_id), await resumable.get(tx, asset_id)

    async def _claim(self, user_id: str, asset_id: str, offset_bytes: int) -> Arriving | None:
        """Return the append that may begin now, None when the file is whole already; raises what `append` does."""
        async with self._db.transaction() as tx:
            asset = await assets.get(tx, asset_id, user_id)
            upload = await resumable.lock(tx, asset_id)
            at = self._clock()
            if upload.expire_time <= at and not upload.arrived:
                raise _gone(asset_id)
            upload.check_append(offset_bytes, at)
            if upload.arrived:
                return None
            upload = self._locked(upload)
            await resumable.take(tx, upload)
            tail = await resumable.tail(tx, asset_id)
        return Arriving(self._db, self._shelf, self._clock, asset=asset, upload=upload, tail=tail)

    def _locked(self, upload: ResumableUpload) -> ResumableUpload:
        """Return the upload under a new lock; nobody writes under the one before any more."""
        return replace(upload, lock_token=upload.lock_token + 1, lock_until=self._clock() + LOCK)

    async def _try_finish(self, asset: Asset, *, trace_id: str = "") -> None:
        """Make the asset of a file that has come whole, unless another one does or the store is away."""
        try:
            await self._finish(asset, trace_id)
        except (UploadLocked, Unavailable, AssetNotFound):
            return
        except PartsLost as error:
            _log.warning("an upload begins again: %r", error)

    async def _finish(self, asset: Asset, trace_id: str) -> None:
        """Make one object of parts and tail, and complete the asset; every step can be repeated."""
        async with self._db.transaction() as tx:
            upload = await resumable.lock(tx, asset.asset_id)
            if upload.finish_time is not None:
                return
            if upload.is_locked(self._clock()):
                message = "another one makes the asset"
                raise UploadLocked(message, asset_id=asset.asset_id)
            upload = self._locked(upload)
            await resumable.take(tx, upload)
            tail = await resumable.tail(tx, asset.asset_id)
        async with self._beating(upload):
            try:
                await self._assemble(asset, upload, tail)
                async with self._db.transaction() as tx:
                    locked = await assets.lock(tx, asset.asset_id, asset.user_id)
                    if locked.state is State.UPLOADING:
                        await assets.save(tx, replace(locked, content_type=upload.content_type))
                origin = Origin(user_id=asset.user_id, platform=asset.platform, trace_id=trace_id)
                await self._uploads.complete(origin, asset.asset_id)
            except UploadIncomplete as error:
                await start_over(self._db, self._shelf, asset, upload)
                raise PartsLost.at("file", "the object store has lost the file; it begins again") from error
            except BaseException:
                await _at_last(self._give_back(replace(upload, lock_until=None)))
                raise
            await self._forget(asset, replace(upload, lock_until=None, finish_time=self._clock()))

    async def _assemble(self, asset: Asset, upload: ResumableUpload, tail: bytearray) -> None:
        """Store the tail if there is one, and make one object of the parts if there are any."""
        key, parts = asset.raw_key, list(upload.parts)
        # Parts that are gone were made one object before, or `complete` says that the file is missing.
        with suppress(ObjectNotFound):
            if tail and not parts:
                await self._shelf.put(key, bytes(tail), upload.content_type)
            elif tail:
                last = await self._shelf.put_part(key, upload.parts_id, upload.next_number, tail)
                parts.append(StoredPart(last.number, last.size_bytes, last.etag))
            if parts:
                listed = [Part(part.number, part.size_bytes, part.etag) for part in parts]
                await self._shelf.finish_parts(key, upload.parts_id, listed)

    async def _give_back(self, upload: ResumableUpload) -> None:
        """Let somebody else try."""
        async with self._db.transaction() as tx:
            await resumable.save(tx, upload)

    async def _forget(self, asset: Asset, upload: ResumableUpload) -> None:
        """Write down that the asset is made, and forget what it was made of."""
        async with self._db.transaction() as tx:
            if await resumable.save(tx, replace(upload, parts=())):
                await resumable.drop_tail(tx, upload.asset_id)
                if upload.parts:
                    await self._shelf.drop_parts(tx, asset.raw_key)
        self._shelf.dispatcher.kick()

    @asynccontextmanager
    async def _beating(self, upload: ResumableUpload) -> AsyncIterator[None]:
        """Keep the lock while the block runs."""
        beat = asyncio.create_task(self._beat(upload))
        try:
            yield
        finally:
            beat.cancel()

    async def _beat(self, upload: ResumableUpload) -> None:
        held = True
        while held:
            await asyncio.sleep(LOCK.total_seconds() / 3)
            try:
                async with self._db.transaction() as tx:
                    held = await resumable.extend(tx, upload.asset_id, upload.lock_token, self._clock() + LOCK)
            except Exception as error:  # noqa: BLE001  # whoever writes finds out whether the lock was lost
                _log.warning("a lock on an upload could not be kept: %r", error)


async def _all_of(pieces: AsyncIterator[bytes], arriving: Arriving) -> None:
    """Take every piece in; raises Expired when the next one does not come."""
    while True:
        try:
            async with asyncio.timeout(_STALL_S):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise Expired(f"nothing came for {_STALL_S:g} seconds") from error
        if piece is None:
            return
        await arriving.take(piece)


async def _at_last(saving: Coroutine[Any, Any, None]) -> None:
    """Do what must be done although the call is over; a failure is logged, since the call has its own error."""
    task = asyncio.ensure_future(saving)
    await asyncio.wait({task}, timeout=_SAVE_S)
    if task.done() and task.exception() is not None:
        _log.warning("what came of an upload could not be kept: %r", task.exception())


def _gone(asset_id: str) -> AssetNotFound:
    return AssetNotFound("there is no such upload", asset_id=asset_id)
