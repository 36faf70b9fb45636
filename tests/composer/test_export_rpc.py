"""Exports: asked for by an owner, made by their job, free of charge, and never in anybody else's hands."""

from collections.abc import Callable

import grpc.aio
import pytest
from sqlalchemy import select

from cadenza.composer.v1 import export_service_pb2 as pb
from cadenza.composer.v1 import export_service_pb2_grpc as export_grpc
from cadenza.composer.v1 import track_service_pb2 as track_pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from services.composer.domain.errors import EngineChanged, ProviderFailed
from services.composer.domain.export import EXPORT
from services.composer.jobs.export import ExportJob
from services.composer.providers import Order, TakenApart
from services.composer.storage.tables import exports, recipes
from services.composer.usecases.bill import Bills
from services.composer.usecases.dead_letter import DeadJobs
from services.composer.usecases.export import Exports
from services.kit.clock import now
from services.kit.ids import new_id
from services.kit.jobs.runner import Runner
from services.kit.jobs.states import State
from tests.composer.studio import Studio

WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)
ZIP = b"PK\x03\x04" + bytes(60)


class Desk:
    """Takes songs apart, or raises what a test wants."""

    def __init__(self, fault: Exception | None = None) -> None:
        """Begin with nothing asked."""
        self.fault = fault
        self.asked: list[tuple[Order, str]] = []

    async def take_apart(
        self, order: Order, engine: str, progress: Callable[[int, str], None], stop: Callable[[], bool]
    ) -> TakenApart:
        """Return two stems."""
        self.asked.append((order, engine))
        progress(50, "half of it")
        if self.fault:
            raise self.fault
        return TakenApart(memoryview(WAV), memoryview(ZIP), ("lead", "room"))


def _stub(studio: Studio) -> "export_grpc.ExportServiceAsyncStub":
    return export_grpc.ExportServiceStub(studio.mesh.peers("gateway").channel("composer"))


async def _song(studio: Studio) -> track_pb.Track:
    answer = await studio.create(title="夏天", seed=7, duration_s=30)
    await studio.finish(answer.job_id)
    return await studio.track(answer.track_id)


async def _ask(studio: Studio, track: track_pb.Track, *, at: int = 0, user_id: str = "") -> pb.Export:
    request = pb.CreateExportRequest(track_id=track.track_id, variant_id=track.variants[at].variant_id)
    return (await _stub(studio).CreateExport(request, metadata=studio.metadata(user_id))).export


async def _look(studio: Studio, export_id: str, user_id: str = "") -> pb.Export:
    answer = await _stub(studio).GetExport(pb.GetExportRequest(export_id=export_id), metadata=studio.metadata(user_id))
    return answer.export


async def _make(studio: Studio, export_id: str, desk: Desk) -> str:
    """Let a worker do the job of the export, and return the job's id."""
    media = AssetServiceStub(studio.mesh.peers("composer").channel("media"))
    made = Exports(db=studio.db, queue=studio.queue, media=media, clock=now)
    job = ExportJob(exports=made, making=studio.making, maker=desk)
    runner = Runner(studio.queue, studio.db, {EXPORT: job}, dispatcher=studio.charge.dispatcher, heartbeat_s=0.05)
    async with studio.db.transaction() as tx:
        job_id = str(await tx.scalar(select(exports.c.job_id).where(exports.c.export_id == export_id)))
    await studio.finish(job_id, runner)
    return job_id


async def test_an_export_is_made_once_and_costs_nothing(studio: Studio) -> None:
    """The song of the recipe is taken apart by the engine that made it; both files are saved under the song's title."""
    track, desk = await _song(studio), Desk()
    asked = await _ask(studio, track, at=1)
    assert (asked.state, asked.wav_url, list(asked.stems)) == (pb.Export.STATE_GENERATING, "", [])
    job_id = await _make(studio, asked.export_id, desk)
    made = await _look(studio, asked.export_id)

    assert (await studio.job(job_id)).state is State.COMPLETED
    assert made.state == pb.Export.STATE_READY
    assert list(made.stems) == ["lead", "room"]
    assert ".wav" in made.wav_url
    assert ".zip" in made.stems_url
    assert desk.asked == [(next(each for each in studio.band.orders if each.label == "B"), "band-1")]
    assert (await _ask(studio, track, at=1)).export_id == made.export_id
    assert len(desk.asked) == 1
    assert await studio.balance() == (80, 0)
    assert await studio.messages(job_id) == []
    bills, _ = await Bills(studio.db).page(page_size=500, page_token="")
    assert job_id not in {bill.hold_id for bill in bills}


async def test_an_export_is_its_owners_alone(studio: Studio) -> None:
    """A stranger finds neither the track to export nor the export; nor does its owner once the track is put away."""
    track = await _song(studio)
    export = await _ask(studio, track)
    stranger = new_id()
    for wrong in (_ask(studio, track, user_id=stranger), _look(studio, export.export_id, stranger)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await wrong
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    await studio.tracks().DeleteTrack(track_pb.DeleteTrackRequest(track_id=track.track_id), metadata=studio.metadata())
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await _look(studio, export.export_id)
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_cannot_be_made_again_is_refused(studio: Studio) -> None:
    """A variant of another track, a track without recipe and a third export at once are refused and leave nothing."""
    first, second = await _song(studio), await _song(studio)
    request = pb.CreateExportRequest(track_id=first.track_id, variant_id=second.variants[0].variant_id)
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await _stub(studio).CreateExport(request, metadata=studio.metadata())
    assert foreign.value.code() is grpc.StatusCode.NOT_FOUND
    for at in (0, 1):
        await _ask(studio, first, at=at)
    with pytest.raises(grpc.aio.AioRpcError) as busy:
        await _ask(studio, second)
    assert busy.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    async with studio.db.transaction() as tx:
        await tx.execute(recipes.delete().where(recipes.c.track_id == second.track_id))
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await _ask(studio, second)
    assert lost.value.code() is grpc.StatusCode.NOT_FOUND
    async with studio.db.transaction() as tx:
        found = await tx.scalars(select(exports.c.export_id).where(exports.c.track_id == second.track_id))
        assert list(found) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (EngineChanged("of another version", then="1", now="2"), EngineChanged.reason),
        (ProviderFailed("it fell over"), "GENERATE_PROVIDER_ERROR"),
    ],
)
async def test_a_failed_export_says_why_and_can_be_asked_for_again(
    studio: Studio, fault: Exception, reason: str
) -> None:
    """An engine that is another one by now fails at once, a broken one after its attempts; asking again begins anew."""
    track = await _song(studio)
    export = await _ask(studio, track)
    job_id = await _make(studio, export.export_id, Desk(fault))
    failed = await _look(studio, export.export_id)
    assert (failed.state, failed.error_reason) == (pb.Export.STATE_FAILED, reason)
    assert (await studio.job(job_id)).state is State.FAILED
    again = await _ask(studio, track)
    assert again.export_id != export.export_id
    await _make(studio, again.export_id, Desk())
    assert (await _look(studio, again.export_id)).state == pb.Export.STATE_READY


async def test_an_administrator_puts_back_a_failed_export_for_nothing(studio: Studio) -> None:
    """A job of an export that is put back is queued without a word to Wallet, and its export is made."""
    track = await _song(studio)
    export = await _ask(studio, track)
    job_id = await _make(studio, export.export_id, Desk(ProviderFailed("it fell over")))
    letters = DeadJobs(db=studio.db, queue=studio.queue, charge=studio.charge)
    queued = await letters.requeue(new_id(), request_id=new_id(), job_id=job_id)
    assert queued.state is State.QUEUED
    assert (await _look(studio, export.export_id)).state == pb.Export.STATE_GENERATING
    await _make(studio, export.export_id, Desk())
    assert (await _look(studio, export.export_id)).state == pb.Export.STATE_READY
    assert await studio.messages(job_id) == []


async def test_media_keeps_what_a_living_track_exports(studio: Studio) -> None:
    """The files of an export cannot be deleted while its track lives."""
    track = await _song(studio)
    export = await _ask(studio, track)
    await _make(studio, export.export_id, Desk())
    async with studio.db.transaction() as tx:
        query = select(exports.c.wav_asset_id, exports.c.stems_asset_id)
        assets = list(next(iter(await tx.execute(query.where(exports.c.export_id == export.export_id)))))
    for asset_id in assets:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.media().DeleteAsset(
                media_pb2.DeleteAssetRequest(asset_id=asset_id), metadata=studio.metadata()
            )
        assert "in use" in str(refused.value.details()) or refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
