"""How files come in: announced and sent to a signed address, streamed through us, or made by a service."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import IdempotencyKeyReused
from services.kit.ids import new_id
from services.kit.jobs.errors import LeaseLost
from services.kit.jobs.job import Job
from services.kit.jobs.queue import JobQueue
from services.kit.objects.store import PresignedPut
from services.media.domain import upload
from services.media.domain.asset import Asset, Kind, State
from services.media.domain.errors import TooManyOpen, UploadFormatInvalid, UploadIncomplete
from services.media.domain.raw_sound import announced_raw
from services.media.domain.sound import JPEG, MIDI, MP3, PNG, WAV, WEBP, ZIP, Format
from services.media.domain.upload import Limits
from services.media.storage import asset as assets
from services.media.storage import stored_object as ledger
from services.media.storage import upload_fence as fences
from services.media.usecases.incoming import Incoming
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import POLICY

_RETRY_AFTER_S = 10
_LAST_APPEND = timedelta(hours=1)

AlsoWritten = Callable[[AsyncConnection, Asset], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who asks, from what kind of client, under which trace; with the client's id for the wish if it has one."""

    user_id: str
    platform: str = ""
    trace_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Announced:
    """A file as its sender describes it; a size of 0 means that a stream's size is not known yet."""

    filename: str
    content_type: str = ""
    size_bytes: int = 0
    # In base64; empty when the sender made none.
    content_md5: str = ""


@dataclass(frozen=True)
class Lease:
    """One attempt at a job of another service; a later attempt has a higher token."""

    job_id: str
    lease_token: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """A file that one of our services made, in an attempt at a job if there is one."""

    kind: Kind
    filename: str
    content_type: str
    duration_ms: int = 0
    peaks: tuple[int, ...] = ()
    lease: Lease | None = None


@dataclass(frozen=True, kw_only=True)
class Derived:
    """A file that a job of ours is to make of another asset, and the way in which it was asked for."""

    way: str
    kind: Kind
    filename: str
    content_type: str
    job_kind: str
    params: dict[str, Any]


_MADE_FORMATS: dict[Kind, tuple[Format, ...]] = {
    Kind.RECORDING: (MP3,),
    Kind.MUSIC: (MP3, WAV),
    Kind.IMAGE: (PNG, JPEG, WEBP),
    Kind.DOCUMENT: (MIDI, ZIP),
}


class Uploads:
    """Takes files in."""

    def __init__(
        self,
        db: Database,
        queue: JobQueue,
        shelf: Shelf,
        clock: Clock,
        *,
        limits: Limits,
        abandoned: timedelta,
        open_most: int,
    ) -> None:
        """Use the collaborators; an announced file is waited for `abandoned`, `open_most` at a time by person."""
        self._db = db
        self._queue = queue
        self._shelf = shelf
        self._clock = clock
        self._limits = limits
        self._abandoned = abandoned
        self._open_most = open_most

    async def presign(self, origin: Origin, announced: Announced, request_hash: str) -> tuple[Asset, PresignedPut]:
        """Return a new asset and the address its file goes to; a repeat returns the asset of the first time.

        Raises UploadTooLarge, UploadFormatInvalid, TooManyOpen, IdempotencyKeyReused.
        """
        self._limits.check_announced(announced.size_bytes)
        asset = replace(
            self._new_asset(origin, announced, "presign", request_hash),
            raw_key=upload.raw_key(new_id()),
            content_type=announced.content_type,
            size_bytes=announced.size_bytes,
        )
        first = await self._announce(asset, self._abandoned)
        put = await self._shelf.address_to_write(first.raw_key, announced.content_type, announced.size_bytes)
        return first, put

    async def announce(
        self, origin: Origin, announced: Announced, *, sha256: str, request_hash: str, also: AlsoWritten
    ) -> Asset:
        """Return a new asset whose file comes piece by piece; a repeat returns that of the first time.

        `also` is written with it. Raises UploadTooLarge, UploadFormatInvalid, TooManyOpen, IdempotencyKeyReused.
        """
        self._limits.check_resumable(announced.size_bytes, origin.platform)
        asset = replace(
            self._new_asset(origin, announced, "resumable", request_hash),
            raw_key=upload.raw_key(new_id()),
            content_type=announced.content_type,
            size_bytes=announced.size_bytes,
            sha256=sha256,
        )
        # Whoever began to append before the end may go on for a while.
        return await self._announce(asset, self._abandoned + _LAST_APPEND, also)

    async def _announce(self, asset: Asset, patience: timedelta, also: AlsoWritten | None = None) -> Asset:
        """Return the asset, written with its key, or that of the same request's first time."""
        async with self._db.transaction() as tx:
            if await assets.insert_once(tx, asset):
                await self._check_open(tx, asset.user_id, adding=0)
                until = asset.create_time + patience
                await ledger.announce(tx, asset.raw_key, at=asset.create_time, delete_after=until)
                if also:
                    await also(tx, asset)
        return await self._first_answer(asset)

    async def complete(self, origin: Origin, asset_id: str) -> Asset:
        """Return the asset with its job queued, once the announced file is there; repeats do nothing more.

        Raises UploadIncomplete when nothing or something else was sent, AssetNotFound.
        """
        async with self._db.transaction() as tx:
            asset = await assets.get(tx, asset_id, origin.user_id)
        if asset.state is not State.UPLOADING:
            return asset
        stored = await self._shelf.head(asset.raw_key)
        if stored is None:
            raise UploadIncomplete.at("asset_id", "the file has not come", announced_bytes=asset.size_bytes)
        upload.check_arrived(asset.size_bytes, stored.size_bytes)
        if stored.content_type != asset.content_type:
            raise UploadIncomplete.at(
                "content_type", "the file came with another content type", announced=asset.content_type
            )
        async with self._db.transaction(Act.UPLOAD_COMMIT) as tx:
            asset = await assets.lock(tx, asset_id, origin.user_id)
            if asset.state is not State.UPLOADING:
                return asset
            arrived = replace(asset.moved(State.UPLOADED, self._clock()), etag=stored.etag, job_id=new_id())
            await assets.save(tx, arrived)
            await ledger.keep(tx, arrived.raw_key)
            job = await self._start_job(tx, arrived, origin)
        await self._queue.push(job)
        return arrived

    async def receive(self, origin: Origin, announced: Announced, pieces: AsyncIterator[bytes]) -> Asset:
        """Return the asset of a streamed file with its job queued; a repeat returns that of the first time.

        The first bytes are looked at before any is stored, and whatever fails leaves nothing.
        Raises UploadTooLarge, UploadFormatInvalid, UploadIncomplete, ChecksumWrong, TooManyOpen, IdempotencyKeyReused.
        """
        platform = origin.platform
        self._limits.check_streamed(announced.size_bytes, platform, "size_bytes")
        incoming = Incoming(
            pieces, lambda size: self._limits.check_streamed(size, platform, "file"), announced.content_md5
        )
        found = await incoming.look(announced_raw(announced.content_type, announced.filename))
        if not found.is_sound:
            what = found.name if found is ZIP else found.content_type.partition("/")[0]
            raise UploadFormatInvalid.at("file", f"not a sound but of type {found.content_type}", found=what)
        asset = self._new_asset(origin, announced, "upload", "")
        async with self._db.transaction() as tx:
            repeated = asset.request_key and await assets.by_request(tx, origin.user_id, asset.request_key)
            if not repeated:
                await self._check_open(tx, origin.user_id, adding=1)
        if repeated:
            await incoming.drain()
            upload.check_arrived(announced.size_bytes, incoming.size_bytes)
            return await self._first_answer(replace(asset, request_hash=_fingerprint(announced, incoming)))
        key = upload.raw_key(new_id(), found)
        async with self._shelf.placing(key) as placing:
            stored = await self._shelf.put(key, incoming.whole(), found.content_type)
            upload.check_arrived(announced.size_bytes, incoming.size_bytes)
            asset = replace(
                asset.moved(State.UPLOADED, self._clock()),
                raw_key=key,
                content_type=found.content_type,
                size_bytes=incoming.size_bytes,
                sha256=incoming.sha256,
                etag=stored.etag,
                request_hash=_fingerprint(announced, incoming),
                job_id=new_id(),
            )
            async with self._db.transaction(Act.UPLOAD_COMMIT) as tx:
                first = await assets.insert_once(tx, asset)
                if first:
                    await ledger.keep(tx, key)
                    job = await self._start_job(tx, asset, origin)
            placing.kept = first
        if first:
            await self._queue.push(job)
        return await self._first_answer(asset)

    async def store(self, origin: Origin, made: Made, pieces: AsyncIterator[bytes]) -> Asset:
        """Return the ready asset of a file that a service made; a repeat returns that of the first time.

        What counts as the same wish is the description, not the bytes: a step that is done again
        after a crash may encode them differently. The attempt that made the file is checked before
        a byte is stored and again where the asset commits, for a takeover that comes between.
        Raises UploadFormatInvalid, UploadTooLarge, IdempotencyKeyReused, LeaseLost.
        """
        announced = Announced(filename=made.filename, content_type=made.content_type)
        wish = f"{made.kind}|{made.filename}|{made.content_type}"
        asset = self._new_asset(origin, announced, "store", hashlib.sha256(wish.encode()).hexdigest())
        async with self._db.transaction() as tx:
            await self._check_lease(tx, made.lease)
            repeated = await assets.by_request(tx, origin.user_id, asset.request_key)
        if repeated:
            return await self._first_answer(asset)
        incoming = Incoming(pieces, self._limits.check_stored)
        found = await incoming.look()
        if found not in _MADE_FORMATS[made.kind]:
            raise UploadFormatInvalid.at("header.kind", f"{found.content_type} is no {made.kind}", found=found.name)
        key = upload.playable_key(made.kind, new_id(), found.extension)
        async with self._shelf.placing(key) as placing:
            stored = await self._shelf.put(key, incoming.whole(), found.content_type)
            asset = replace(
                asset,
                kind=made.kind,
                state=State.READY,
                storage_key=key,
                content_type=found.content_type,
                size_bytes=incoming.size_bytes,
                sha256=incoming.sha256,
                etag=stored.etag,
                duration_ms=made.duration_ms,
                peaks=made.peaks,
            )
            async with self._db.transaction(Act.ASSET_COMMIT) as tx:
                await self._check_lease(tx, made.lease)
                first = await assets.insert_once(tx, asset)
                if first:
                    await ledger.keep(tx, key)
            placing.kept = first
        return await self._first_answer(asset)

    async def made_before(self, origin: Origin, way: str, request_hash: str) -> Asset | None:
        """Return the asset that this request made at its first time, None unless there was one.

        Raises IdempotencyKeyReused when it asked for something else then, AssetNotFound when the asset was deleted.
        """
        asset = self._new_asset(origin, Announced(filename=""), way, request_hash)
        if not asset.request_key:
            return None
        async with self._db.transaction() as tx:
            if await assets.by_request(tx, asset.user_id, asset.request_key) is None:
                return None
        return await self._first_answer(asset)

    async def derive(self, origin: Origin, derived: Derived, request_hash: str) -> Asset:
        """Return a new asset with the job queued that makes its file; a repeat returns that of the first time.

        Raises TooManyOpen, IdempotencyKeyReused.
        """
        announced = Announced(filename=derived.filename)
        asset = replace(
            self._new_asset(origin, announced, derived.way, request_hash),
            kind=derived.kind,
            state=State.UPLOADED,
            content_type=derived.content_type,
            job_id=new_id(),
        )
        async with self._db.transaction(Act.UPLOAD_COMMIT) as tx:
            first = await assets.insert_once(tx, asset)
            if first:
                await self._check_open(tx, origin.user_id, adding=0)
                job = await self._start_job(tx, asset, origin, kind=derived.job_kind, params=derived.params)
        if first:
            await self._queue.push(job)
        return await self._first_answer(asset)

    async def fence(self, lease: Lease) -> None:
        """Let no earlier attempt at the job store anything from now on; raises LeaseLost when a later one is known."""
        async with self._db.transaction() as tx:
            await self._check_lease(tx, lease)

    async def _check_lease(self, tx: AsyncConnection, lease: Lease | None) -> None:
        """Raise LeaseLost when a later attempt at the job is known; else none becomes known before the commit."""
        if lease and not await fences.advance(tx, lease.job_id, lease.lease_token, self._clock()):
            message = "a later attempt at the job is known"
            raise LeaseLost(message, job_id=lease.job_id, lease_token=lease.lease_token)

    def _new_asset(self, origin: Origin, announced: Announced, way: str, request_hash: str) -> Asset:
        """Return an asset of which nothing has come yet; `way` keeps request ids of different calls apart."""
        at = self._clock()
        return Asset(
            asset_id=new_id(),
            user_id=origin.user_id,
            kind=Kind.RECORDING,
            state=State.UPLOADING,
            filename=upload.clean_filename(announced.filename),
            content_type="",
            size_bytes=0,
            create_time=at,
            update_time=at,
            platform=origin.platform,
            request_key=f"{way}:{origin.request_id}" if origin.request_id else "",
            request_hash=request_hash if origin.request_id else "",
        )

    async def _start_job(
        self,
        tx: AsyncConnection,
        asset: Asset,
        origin: Origin,
        *,
        kind: str = POLICY.kind,
        params: dict[str, Any] | None = None,
    ) -> Job:
        """Return the queued job that makes the asset playable; push it after the commit."""
        job = await self._queue.create(
            tx,
            kind=kind,
            user_id=asset.user_id,
            subject_id=asset.asset_id,
            params=params or {},
            job_id=asset.job_id,
            trace_id=origin.trace_id,
            platform=asset.platform,
        )
        return await self._queue.enqueue(tx, job.job_id)

    async def _check_open(self, tx: AsyncConnection, user_id: str, *, adding: int) -> None:
        """Raise TooManyOpen when the person has more unfinished uploads than one person may have."""
        if await assets.open_count(tx, user_id) + adding > self._open_most:
            message = f"at most {self._open_most} uploads may be unfinished at a time"
            raise TooManyOpen(message, most=self._open_most, retry_after_s=_RETRY_AFTER_S)

    async def _first_answer(self, asset: Asset) -> Asset:
        """Return the asset that the request made, now or at its first time.

        Raises IdempotencyKeyReused when it asked for something else then, AssetNotFound when
        the asset was deleted since.
        """
        if not asset.request_key:
            return asset
        async with self._db.transaction() as tx:
            first = await assets.by_request(tx, asset.user_id, asset.request_key)
        assert first is not None
        if first.request_hash != asset.request_hash:
            message = "the same request id came with another file"
            raise IdempotencyKeyReused(message, field="request_id")
        return first


def _fingerprint(announced: Announced, incoming: Incoming) -> str:
    """Return the digest of a streamed upload: what was said of the file and the file itself."""
    wish = f"{announced.filename}|{announced.content_type}|{incoming.sha256}"
    return hashlib.sha256(wish.encode()).hexdigest()
