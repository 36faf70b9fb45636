"""What the jobs that make sounds change in the database."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.jobs.job import Job
from services.kit.jobs.policy import Policy
from services.kit.jobs.states import State as JobState
from services.media.domain.asset import Asset, Failure, Sound, State
from services.media.domain.errors import AssetNotFound
from services.media.storage import asset as assets
from services.media.storage import stored_object as ledger
from services.media.storage import upload_fence as fences
from services.media.storage import waveform as waveforms
from services.media.usecases.shelf import Shelf

POLICY = Policy(kind="transcode", queue="media", max_attempts=3, backoff_s=2.0, deadline_s=120.0)

_EVERY_S = 60.0
_TOMBSTONES = timedelta(days=30)
# Far longer than any job may take, its pauses and an administrator's second thoughts included.
_FENCES = timedelta(days=30)


class Transcodes:
    """The life of an asset while its job runs."""

    def __init__(self, db: Database, shelf: Shelf, clock: Clock, *, raw_kept: timedelta = timedelta(0)) -> None:
        """Use the collaborators; what a client sent is kept so long beside the playable file, 0 for as long as that."""
        self._raw_kept = raw_kept
        self._db = db
        self._shelf = shelf
        self._clock = clock

    async def begin(self, asset_id: str) -> Asset:
        """Return the asset, processing; raises AssetNotFound when it was deleted meanwhile."""
        async with self._db.transaction(Act.TRANSCODE_BEGIN) as tx:
            asset = (await assets.lock_for_work(tx, asset_id)).moved(State.PROCESSING, self._clock())
            await assets.save(tx, asset)
        return asset

    async def source(self, asset: Asset, source_asset_id: str) -> Asset:
        """Return what the asset is made of; raises AssetNotFound when that is gone or another person's."""
        async with self._db.transaction() as tx:
            return await assets.get(tx, source_asset_id, asset.user_id)

    async def ready(self, tx: AsyncConnection, asset_id: str, sound: Sound, sha256: str) -> None:
        """Make the asset playable in the transaction that completes its job; raises AssetNotFound."""
        asset = await assets.lock_for_work(tx, asset_id)
        await assets.save(tx, replace(asset.made_playable(sound, self._clock()), sha256=sha256))
        if sound.waveform:
            await waveforms.save(tx, asset_id, sound.waveform)
        await ledger.keep(tx, sound.storage_key)
        if self._raw_kept and asset.raw_key:
            # The asset still names it, so that it goes at once when its owner deletes the asset.
            await ledger.drop(tx, [asset.raw_key], delete_after=self._clock() + self._raw_kept)

    async def on_end(self, tx: AsyncConnection, job: Job) -> None:
        """Let the asset of a failed job fail with its reason; what the client sent goes."""
        if job.state is not JobState.FAILED:
            return
        try:
            asset = await assets.lock_for_work(tx, job.subject_id)
        except AssetNotFound:
            return
        failure = Failure(job.error_reason, job.error_message, job.error_metadata)
        await assets.save(tx, replace(asset.refused(failure, self._clock()), raw_key=""))
        # What is cut from another asset has nothing of its own that somebody sent.
        await self._shelf.drop(tx, [asset.raw_key] if asset.raw_key else [])


class Sweep:
    """Removes what nobody came back for."""

    def __init__(self, db: Database, shelf: Shelf, clock: Clock, *, abandoned: timedelta, batch: int = 100) -> None:
        """Give announced files `abandoned` to come; at most `batch` rows of each sort go at a time."""
        self._db = db
        self._shelf = shelf
        self._clock = clock
        self._abandoned = abandoned
        self._batch = batch

    async def run(self) -> None:
        """Sweep every minute for ever; ends by cancellation, and by a fault, for which it is started again."""
        while True:
            while await self.once() >= self._batch:
                continue
            await asyncio.sleep(_EVERY_S)

    async def once(self) -> int:
        """Return how many rows went: uploads that never came, objects nobody kept, old traces of deletions and jobs."""
        at: datetime = self._clock()
        async with self._db.transaction() as tx:
            gone = await assets.remove_abandoned(tx, at - self._abandoned, self._batch)
            gone += await assets.remove_tombstones(tx, at - _TOMBSTONES, self._batch)
            gone += await fences.remove_old(tx, at - _FENCES, self._batch)
            gone += await self._shelf.sweep(tx, self._batch)
        self._shelf.dispatcher.kick()
        return gone
