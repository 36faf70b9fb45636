"""What people and other services do with assets that are there."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from cadenza.composer.v1.track_service_pb2 import CheckAssetUseRequest
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import ParamInvalid
from services.kit.jobs.errors import JobNotCancellable
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.log_page import log_page
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.watch import watch
from services.kit.rpc.errors import calling
from services.media.domain.asset import Asset, State
from services.media.domain.errors import AssetInUse, AssetNotFound
from services.media.storage import asset as assets
from services.media.storage import image as images
from services.media.storage import resumable_upload as resumable
from services.media.storage import waveform as waveforms
from services.media.usecases.shelf import Address, Shelf

if TYPE_CHECKING:
    # The name exists for the type checker only.
    from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceAsyncStub

_COMPOSER_S = 5.0
_ERASED_AT_ONCE = 20
_LOOK_AGAIN_S = 0.5


@dataclass(frozen=True)
class Change:
    """One message of an asset's life; the first has no event, only the first and the last have the asset."""

    sequence: int
    asset: Asset | None
    event: JobEvent | None


class Assets:
    """The assets of all users; each sees only their own."""

    def __init__(
        self,
        db: Database,
        queue: JobQueue,
        shelf: Shelf,
        tracks: "TrackServiceAsyncStub",
        clock: Clock,
    ) -> None:
        """Use the collaborators; `tracks` knows which assets are in use."""
        self._db = db
        self._queue = queue
        self._shelf = shelf
        self._tracks = tracks
        self._clock = clock

    async def get(self, user_id: str, asset_id: str) -> Asset:
        """Return the person's asset; raises AssetNotFound, also for somebody else's."""
        async with self._db.transaction() as tx:
            return await assets.get(tx, asset_id, user_id)

    async def get_many(self, user_id: str, asset_ids: Sequence[str]) -> list[Asset]:
        """Return those of the assets that are the person's, in the order asked for; others are left out."""
        async with self._db.transaction() as tx:
            found = {asset.asset_id: asset for asset in await assets.get_many(tx, asset_ids, user_id)}
        return [found[each] for each in dict.fromkeys(asset_ids) if each in found]

    async def address(self, asset: Asset, filename: str = "") -> Address | None:
        """Return a fresh signed address of the playable file, None until there is one."""
        if asset.state is not State.READY:
            return None
        return await self._shelf.address_to_read(asset.storage_key, filename)

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[list[Asset], str]:
        """Return a page of the person's assets, newest first, and the token of the next page or ''."""
        before = decode_id(page_token)
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = list(await assets.page(tx, user_id, before=before, count=size + 1))
        more = encode_token(found[size - 1].asset_id) if len(found) > size else ""
        return found[:size], more

    async def watch(self, user_id: str, asset_id: str, after_sequence: int) -> AsyncGenerator[Change, None]:
        """Yield the asset as it stands, then each event of its job behind `after_sequence`, to the last one.

        While the file has not come it waits for it. Raises AssetNotFound, also when the asset is
        deleted meanwhile, and ParamInvalid for a sequence that the log has not reached.
        """
        asset = await self.get(user_id, asset_id)
        told = not asset.job_id
        if told:
            if after_sequence:
                raise ParamInvalid.of("after_sequence", "nothing has happened yet")
            yield Change(0, asset, None)
        while asset.state is State.UPLOADING:
            # An upload that never comes is swept after a day, which ends this with AssetNotFound.
            await asyncio.sleep(_LOOK_AGAIN_S)
            asset = await self.get(user_id, asset_id)
        if not asset.job_id:
            return
        log = watch(self._queue, self._db, asset.job_id, after_sequence)
        async with aclosing(cast("AsyncGenerator[tuple[Job | None, JobEvent], None]", log)) as events:
            async for snapshot, event in events:
                if snapshot is None:
                    now = await self.get(user_id, asset_id) if event.final else None
                    yield Change(event.sequence, now, event)
                elif not told:
                    told = True
                    yield Change(event.sequence, await self.get(user_id, asset_id), None)

    async def log(
        self, user_id: str, asset_id: str, *, after: int, page_size: int, page_token: str
    ) -> tuple[Asset, Sequence[JobEvent], str]:
        """Return the asset, the next events of its job after *after*, and a token when there are more now.

        Before the file has come there are none. Raises AssetNotFound and what `log_page` raises.
        """
        asset = await self.get(user_id, asset_id)
        if not asset.job_id:
            if after or page_token:
                raise ParamInvalid.of("page_token" if page_token else "after_sequence", "nothing has happened yet")
            return asset, (), ""
        _, events, token = await log_page(
            self._queue, self._db, asset.job_id, after=after, page_size=page_size, page_token=page_token
        )
        return await self.get(user_id, asset_id), events, token

    async def read(self, user_id: str, asset_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the playable file; raises AssetNotFound and AssetNotReady before the first."""
        key = (await self.get(user_id, asset_id)).playable_key()
        async with aclosing(self._shelf.open(key)) as pieces:
            async for piece in pieces:
                yield piece

    async def delete(self, user_id: str, asset_id: str) -> None:
        """Delete the asset, stop its job and have its files removed; a repeat changes nothing.

        Raises AssetInUse while a job of Composer reads it, Unavailable when Composer cannot be
        asked, AssetNotFound.
        """
        try:
            asset = await self.get(user_id, asset_id)
        except AssetNotFound:
            if await self._was_deleted(user_id, asset_id):
                return
            raise
        if asset.state is State.READY:
            await self._check_unused(asset_id)
        with suppress(AssetNotFound):
            await self._delete(asset)

    async def erase(self, user_id: str) -> int:
        """Delete some of what a person has, whoever uses it, for they are gone; return how much is left at least."""
        async with self._db.transaction() as tx:
            found = await assets.page(tx, user_id, before="", count=_ERASED_AT_ONCE + 1)
        for asset in found[:_ERASED_AT_ONCE]:
            with suppress(AssetNotFound):
                await self._delete(asset)
        return len(found[_ERASED_AT_ONCE:])

    async def _delete(self, asset: Asset) -> None:
        """Write the deletion and everything that follows from it, in one transaction."""
        job: Job | None = None
        async with self._db.transaction(Act.ASSET_DELETE) as tx:
            # The job first: its end locks in the same order.
            if asset.job_id and asset.state in {State.UPLOADED, State.PROCESSING}:
                with suppress(JobNotCancellable):
                    job = await self._queue.cancel(tx, asset.job_id, message="its asset was deleted")
            asset = await assets.lock(tx, asset.asset_id, asset.user_id)
            await assets.mark_deleted(tx, asset.asset_id, self._clock())
            unfinished = await resumable.remove(tx, asset.asset_id)
            await waveforms.remove(tx, asset.asset_id)
            smaller = await images.remove(tx, asset.asset_id)
            await self._shelf.drop(tx, (*asset.keys, *smaller), unfinished=unfinished)
        self._shelf.dispatcher.kick()
        if job is not None:
            await self._queue.push(job)

    async def _was_deleted(self, user_id: str, asset_id: str) -> bool:
        async with self._db.transaction() as tx:
            return await assets.was_deleted(tx, asset_id, user_id)

    async def _check_unused(self, asset_id: str) -> None:
        """Raise AssetInUse when a job of Composer reads the asset."""
        with calling():
            answer = await self._tracks.CheckAssetUse(CheckAssetUseRequest(asset_id=asset_id), timeout=_COMPOSER_S)
        if answer.in_use:
            message = "a song is being made from the asset"
            raise AssetInUse(message, asset_id=asset_id)
