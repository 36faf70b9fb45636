"""One append to a file that comes piece by piece: bytes become parts, and what is too little for one becomes the tail.

At most one part and one piece are held in memory. After each part the row says so: a process that dies then loses
nothing of it. A checksum speaks of all bytes of the append, so with one nothing is written down before the end.
"""

from dataclasses import replace

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import Unavailable
from services.kit.objects.store import ObjectNotFound
from services.media.domain.asset import Asset
from services.media.domain.errors import PartsLost, UploadFormatInvalid, UploadLocked
from services.media.domain.raw_sound import announced_raw, recognise
from services.media.domain.resumable_upload import PART_BYTES, Checksum, ResumableUpload, StoredPart
from services.media.domain.sound import HEAD_BYTES, ZIP, describe
from services.media.storage import resumable_upload as resumable
from services.media.usecases.shelf import Shelf


class Arriving:
    """The bytes of one append by whoever holds the lock."""

    def __init__(
        self, db: Database, shelf: Shelf, clock: Clock, *, asset: Asset, upload: ResumableUpload, tail: bytearray
    ) -> None:
        """Go on with the upload behind its tail."""
        self._db = db
        self._shelf = shelf
        self._clock = clock
        self._asset = asset
        self.upload = upload
        self._buffer = tail
        self._tail_bytes = len(tail)
        self._checksum: Checksum | None = None
        # Where the bytes end that have come, and where those begin that are not in a stored part.
        self._end = upload.offset_bytes

    def check_against(self, checksum: Checksum | None) -> None:
        """Take all bytes or none, by a checksum if there is one."""
        self._checksum = checksum

    @property
    def arrived(self) -> bool:
        """Whether every byte has come."""
        return self._end == self.upload.size_bytes

    async def take(self, piece: bytes) -> None:
        """Take the next bytes in; raises UploadTooLarge, UploadFormatInvalid, UploadLocked, Unavailable."""
        self.upload.check_room(self._end + len(piece))
        if self._checksum:
            self._checksum.update(piece)
        view = memoryview(piece)
        while view:
            room = PART_BYTES - len(self._buffer)
            self._buffer += view[:room]
            self._end += len(view[:room])
            view = view[room:]
            self._look()
            if len(self._buffer) >= PART_BYTES:
                await self._store_part()

    async def close(self) -> None:
        """Write down all that came; raises ChecksumWrong and then keeps nothing of this append."""
        if self._checksum:
            self._checksum.check()
        if self.arrived:
            self._look(whole=True)
            await self._store_rest()
        await self._commit(tail=self._buffer, last=True)

    async def keep(self) -> None:
        """Write down what came of an append that broke off; with a checksum that is nothing."""
        if self._checksum is None:
            await self._commit(tail=self._buffer, last=True)
        else:
            await self.release()

    async def release(self) -> None:
        """Give the lock back and keep only what is written down."""
        async with self._db.transaction() as tx:
            upload = await resumable.lock(tx, self.upload.asset_id)
            if upload.lock_token == self.upload.lock_token:
                await resumable.save(tx, replace(upload, lock_until=None))

    async def start_over(self) -> None:
        """Forget everything that had come."""
        await start_over(self._db, self._shelf, self._asset, self.upload)

    def _look(self, *, whole: bool = False) -> None:
        """Find out what the file is once its first bytes are here; raises UploadFormatInvalid for no sound."""
        if self.upload.content_type or (len(self._buffer) < HEAD_BYTES and not whole):
            return
        head = bytes(self._buffer[:HEAD_BYTES])
        found = recognise(head, announced_raw(self._asset.content_type, self._asset.filename))
        if found is None or not found.is_sound:
            what = describe(head) if found is None or found is ZIP else found.content_type.partition("/")[0]
            raise UploadFormatInvalid.at("file", f"not a sound of a known kind ({what})", found=what)
        self.upload = replace(self.upload, content_type=found.content_type)

    async def _store_part(self) -> None:
        """Make a part of what is held."""
        key = self._asset.raw_key
        if not self.upload.parts_id:
            parts_id = await self._shelf.begin_parts(key, self.upload.content_type)
            self.upload = replace(self.upload, parts_id=parts_id)
        number, data = self.upload.next_number, self._buffer
        try:
            part = await self._shelf.put_part(key, self.upload.parts_id, number, data)
        except ObjectNotFound as error:
            raise PartsLost.at("chunk", "the object store has lost the file; it begins again") from error
        stored = StoredPart(part.number, part.size_bytes, part.etag)
        self.upload = replace(self.upload, parts=(*self.upload.parts, stored))
        self._buffer, self._tail_bytes = bytearray(), 0
        if self._checksum is None:
            await self._commit(tail=b"", last=False)

    async def _store_rest(self) -> None:
        """Store the end of the file; while the store is away it stays in the tail, and is stored later."""
        if not self._buffer:
            return
        try:
            if self.upload.parts:
                await self._store_part()
            else:
                await self._shelf.put(self._asset.raw_key, bytes(self._buffer), self.upload.content_type)
                self._buffer, self._tail_bytes = bytearray(), 0
        except Unavailable:
            return

    async def _commit(self, *, tail: bytes | bytearray, last: bool) -> None:
        """Write down how far the file is; raises UploadLocked when somebody else has taken over."""
        upload = replace(self.upload, offset_bytes=self._end)
        if last:
            upload = replace(upload, lock_until=None)
        async with self._db.transaction() as tx:
            now = await resumable.lock(tx, upload.asset_id)
            if not last:
                upload = replace(upload, lock_until=now.lock_until)
            if not await resumable.save(tx, upload):
                message = "another request has taken the upload over"
                raise UploadLocked(message, asset_id=upload.asset_id, retry_after_s=1)
            if not self._tail_bytes:
                await resumable.drop_tail(tx, upload.asset_id)
            if len(tail) > self._tail_bytes:
                start = self._end - len(tail) + self._tail_bytes
                await resumable.add_tail(tx, upload.asset_id, start, tail[self._tail_bytes :])
        self.upload = upload


async def start_over(db: Database, shelf: Shelf, asset: Asset, upload: ResumableUpload) -> None:
    """Write down that nothing has come, by whoever holds the lock, and have removed what there may be."""
    async with db.transaction() as tx:
        if await resumable.save(tx, upload.from_the_start()):
            await resumable.drop_tail(tx, upload.asset_id)
            await shelf.drop_parts(tx, asset.raw_key)
    shelf.dispatcher.kick()
