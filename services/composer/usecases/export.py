"""Exports: asked for, read, made.

They are made when somebody wants them and not with every song: wav and stems of a minute and a half take eighty times
the room of both mp3, most songs are never taken apart, and the recipe makes the same song again at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import ExportNotFound, GenerateBusy, RecipeMissing, TrackNotFound
from services.composer.domain.export import EXPORT, Export, ExportState
from services.composer.providers import Order
from services.composer.storage import export as storage
from services.composer.storage import track as tracks
from services.kit.ids import new_id
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from services.composer.domain.track import Track
    from services.composer.usecases.track import Caller
    from services.kit.clock import Clock
    from services.kit.db.engine import Database
    from services.kit.jobs.queue import JobQueue

_AT_ONCE = 2
"""How many exports of one person may be in the making: one of each variant of a song."""


@dataclass(frozen=True)
class Task:
    """What the job has to know: the export, its track as the job's own, the order and the engine of the first time."""

    export: Export
    track: Track
    order: Order
    engine: str


class Exports:
    """Everything an owner can do with exports, and what their job does to the rows."""

    def __init__(self, *, db: Database, queue: JobQueue, media: AssetServiceAsyncStub, clock: Clock) -> None:
        self._db = db
        self._queue = queue
        self._media = media
        self._clock = clock

    async def create(self, caller: Caller, track_id: str, variant_id: str) -> Export:
        """Return the export of a variant, its job queued unless it is there already; a failed one begins anew.

        Raises TrackNotFound, TrackNotReady, VariantNotFound, RecipeMissing, GenerateBusy.
        """
        async with self._db.transaction() as tx:
            await storage.lock_user(tx, caller.user_id)
            track = await tracks.find(tx, track_id, user_id=caller.user_id)
            if track is None:
                raise TrackNotFound("no such track", kind="track", id=track_id)
            variant = track.variant(variant_id)
            if await tracks.find_recipe(tx, track_id) is None:
                raise RecipeMissing("nobody kept what this track was made of", kind="recipe", id=track_id)
            known = await storage.find_of(tx, variant.variant_id)
            if known is not None and known.state is not ExportState.FAILED:
                return known
            if await storage.in_the_making(tx, caller.user_id) >= _AT_ONCE:
                raise GenerateBusy("too many exports in the making", limit=_AT_ONCE, scope="user")
            if known is not None:
                await storage.remove(tx, known.export_id)
            export = self._new(caller.user_id, track_id, variant_id)
            await storage.add(tx, export)
            # Nobody's job, for it costs nothing: its owner looks at the export.
            job = await self._queue.create(
                tx,
                kind=EXPORT,
                user_id="",
                subject_id=export.export_id,
                params={"export_id": export.export_id},
                job_id=export.job_id,
                trace_id=caller.trace_id,
                platform=caller.platform,
            )
            job = await self._queue.enqueue(tx, job.job_id)
        await self._queue.push(job)
        return export

    def _new(self, user_id: str, track_id: str, variant_id: str) -> Export:
        now = self._clock()
        return Export(
            export_id=new_id(),
            user_id=user_id,
            track_id=track_id,
            variant_id=variant_id,
            job_id=new_id(),
            state=ExportState.GENERATING,
            create_time=now,
            update_time=now,
        )

    async def get(self, user_id: str, export_id: str) -> Export:
        """Return the user's export of a living track; raises ExportNotFound."""
        async with self._db.transaction() as tx:
            found = await storage.find(tx, export_id, user_id=user_id)
        if found is None:
            raise ExportNotFound("no such export", kind="export", id=export_id)
        return found

    async def addresses(self, export: Export) -> Mapping[str, str]:
        """Return by asset id where the files of a ready export are saved from, under the title of their song."""
        if export.state is not ExportState.READY:
            return {}
        async with self._db.transaction() as tx:
            track = await tracks.find(tx, export.track_id)
        if track is None:
            return {}
        name = f"{track.title[:100]} {track.variant(export.variant_id).label}"
        request = media_pb2.ResolveAssetsRequest(
            asset_ids=[export.wav_asset_id, export.stems_asset_id], user_id=export.user_id, download_name=name
        )
        with calling():
            answer = await self._media.ResolveAssets(request, timeout=5)
        return {each.asset.asset_id: each.download_url for each in answer.assets}

    async def task(self, export_id: str) -> Task:
        """Return what the export's job has to do; raises ExportNotFound and RecipeMissing when there is nothing."""
        async with self._db.transaction() as tx:
            export = await storage.find(tx, export_id)
            if export is None:
                raise ExportNotFound("the export is gone", kind="export", id=export_id)
            track = await tracks.find(tx, export.track_id)
            recipe = await tracks.find_recipe(tx, export.track_id)
        if track is None or recipe is None:
            raise RecipeMissing("nobody kept what this track was made of", kind="recipe", id=export.track_id)
        label = track.variant(export.variant_id).label
        order = Order(label="A" if label == "A" else "B", **recipe.order)
        return Task(export, replace(track, job_id=export.job_id), order, recipe.engine)

    async def enter(self, tx: AsyncConnection, export_id: str, *, wav: str, stems_zip: str, stems: list[str]) -> None:
        """Write with the export what was stored of it, in the transaction that ends the job."""
        await storage.change(tx, export_id, self._clock(), wav_asset_id=wav, stems_asset_id=stems_zip, stems=stems)
