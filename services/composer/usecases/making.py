"""What the music job does to the world around it: fetch the take, keep what was heard, store and enter the variants."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import TrackNotFound
from services.composer.domain.track import Recipe, Track, TrackState, Variant
from services.composer.storage import track as storage
from services.composer.usecases.recording import read_recording
from services.kit import crash
from services.kit.crash import Act
from services.kit.errors import RemoteError
from services.kit.jobs.errors import LeaseLost
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceAsyncStub
    from services.kit.clock import Clock
    from services.kit.db.engine import Database

_CHUNK_BYTES = 256 * 1024
_TRANSFER_TIMEOUT_S = 60
_FENCE_TIMEOUT_S = 5


class Making:
    """The use cases of the music job."""

    def __init__(self, *, db: Database, media: AssetServiceAsyncStub, clock: Clock) -> None:
        self._db = db
        self._media = media
        self._clock = clock

    async def track(self, track_id: str) -> Track:
        """Return the living track; raises TrackNotFound when it was put away."""
        async with self._db.transaction() as tx:
            found = await storage.find(tx, track_id)
        if found is None:
            raise TrackNotFound("the track is gone", kind="track", id=track_id)
        return found

    async def tune_of(self, track_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what was heard in the take of another track, whole, and as its owner is shown it.

        Raises TrackNotFound when it or its tune is gone.
        """
        async with self._db.transaction() as tx:
            source = await storage.find(tx, track_id)
            recipe = await storage.find_recipe(tx, track_id)
        if source is None or source.analysis is None or recipe is None:
            raise TrackNotFound("the track whose tune is wanted is gone", kind="track", id=track_id)
        return recipe.order["analysis"], source.analysis

    async def take(self, track: Track) -> bytes:
        """Return the take that the track is made from, as Media's mp3; raises TakeMissing when another try is vain."""
        return await read_recording(self._media, track.user_id, track.asset_id)

    async def heard(self, track_id: str, analysis: dict[str, Any]) -> None:
        """Keep with the track what was heard in its take."""
        async with self._db.transaction() as tx:
            await storage.change(tx, track_id, self._clock(), analysis=analysis)

    async def fence(self, track: Track, lease_token: int) -> None:
        """Let no attempt at the track's job with a lower token store anything from now on.

        Raises LeaseLost when an attempt with a higher one has said the same.
        """
        request = media_pb2.FenceUploadsRequest(lease=_lease(track, lease_token))
        with _fenced():
            await self._media.FenceUploads(request, timeout=_FENCE_TIMEOUT_S)

    async def store(
        self,
        track: Track,
        *,
        lease_token: int,
        request_id: str,
        kind: media_pb2.Asset.Kind.ValueType,
        filename: str,
        content_type: str,
        data: bytes | memoryview,
        duration_ms: int = 0,
        peaks: Sequence[int] = (),
    ) -> str:
        """Return the id of the asset that holds the file; the same request id stores it once.

        Raises LeaseLost, and nothing is stored, when an attempt with a higher token has the job.
        """
        header = media_pb2.StoreHeader(
            request_id=request_id,
            user_id=track.user_id,
            kind=kind,
            filename=filename,
            content_type=content_type,
            duration_ms=duration_ms,
            peaks=peaks,
            lease=_lease(track, lease_token),
        )
        with _fenced(), crash.around(Act.SONG_STORE):
            answer = await self._media.StoreAsset(_messages(header, data), timeout=_TRANSFER_TIMEOUT_S)
        return answer.asset.asset_id

    async def enter(
        self,
        tx: AsyncConnection,
        track: Track,
        made: Sequence[Variant],
        *,
        provider: str,
        cover_asset_id: str,
        recipe: Recipe | None,
    ) -> None:
        """Write the variants and make the recommended one the track's own, in the transaction that ends the job."""
        recommended = next(each.variant_id for each in made if each.recommended)
        await storage.add_variants(tx, made)
        if recipe is not None:
            await storage.add_recipe(tx, recipe)
        await storage.change(
            tx,
            track.track_id,
            self._clock(),
            state=TrackState.READY.value,
            chosen_variant_id=recommended,
            cover_asset_id=cover_asset_id or None,
            provider=provider,
        )


@contextmanager
def _fenced() -> Iterator[None]:
    """Turn what a call to Media ends with into an error of ours: LeaseLost when it knows of a later attempt."""
    try:
        with calling():
            yield
    except RemoteError as error:
        if error.reason == LeaseLost.reason:
            raise LeaseLost(error.message, **error.metadata) from error
        raise


def _lease(track: Track, lease_token: int) -> media_pb2.JobLease:
    return media_pb2.JobLease(job_id=track.job_id, lease_token=lease_token)


async def _messages(
    header: media_pb2.StoreHeader, data: bytes | memoryview
) -> AsyncIterator[media_pb2.StoreAssetRequest]:
    """Yield the header, then the bytes in chunks."""
    yield media_pb2.StoreAssetRequest(header=header)
    for start in range(0, len(data), _CHUNK_BYTES):
        yield media_pb2.StoreAssetRequest(chunk=bytes(data[start : start + _CHUNK_BYTES]))
