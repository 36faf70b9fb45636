"""The way of a developer over gRPC, with the typed client whose code shares nothing with the servers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2

from cadenza.auth.v1 import session_service_pb2, user_service_pb2
from cadenza.composer.v1 import job_service_pb2, track_service_pb2
from cadenza.media.v1 import asset_service_pb2
from cadenza.options.v1 import options_pb2
from cadenza.share.v1 import share_service_pb2
from cadenza.wallet.v1 import credit_service_pb2
from cadenza_client.cadenza.auth.v1 import AnonymousLoginRequest, SessionServiceStub
from cadenza_client.cadenza.composer.v1 import (
    ChooseVariantRequest,
    CreateTrackRequest,
    GetTrackRequest,
    JobServiceStub,
    TrackServiceStub,
    TrackState,
    WatchJobRequest,
)
from cadenza_client.cadenza.job.v1 import JobState
from cadenza_client.cadenza.media.v1 import (
    AssetServiceStub,
    AssetState,
    GetAssetRequest,
    UploadAssetRequest,
    UploadHeader,
    WatchAssetRequest,
)
from cadenza_client.cadenza.share.v1 import (
    CreateShareRequest,
    ResolveShareRequest,
    RevokeShareRequest,
    ShareServiceStub,
    ShareType,
)
from cadenza_client.cadenza.wallet.v1 import CreditServiceStub, EntryKind, GetBalanceRequest, ListEntriesRequest
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from tests.e2e.aio_stubs import over_aio
from tests.e2e.people import Person, Song, until

CONTRACTS: tuple[Any, ...] = (
    session_service_pb2,
    user_service_pb2,
    credit_service_pb2,
    track_service_pb2,
    job_service_pb2,
    asset_service_pb2,
    share_service_pb2,
)


@pytest.fixture
async def edge(mesh: RunningMesh) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the one address of the mesh."""
    async with grpc.aio.insecure_channel(mesh.edge_address) as channel:
        yield channel


def refusal_of(error: grpc.aio.AioRpcError) -> tuple[str, list[str]]:
    """Return the reason and the fields that the rich status of a refusal names."""
    packed = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status = status_pb2.Status.FromString(packed)
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(request)
    return info.reason, [each.field for each in request.field_violations]


def parts_of(data: bytes, filename: str) -> Iterator[UploadAssetRequest]:
    """Yield the header and the chunks of an upload."""
    yield UploadAssetRequest(header=UploadHeader(filename=filename, content_type="audio/wav", size_bytes=len(data)))
    for start in range(0, len(data), 100_000):
        yield UploadAssetRequest(chunk=data[start : start + 100_000])


async def test_from_hum_to_shared_song_with_the_typed_client(
    edge: grpc.aio.Channel, mesh: RunningMesh, take: bytes
) -> None:
    """Login, upload by stream, watch, create, watch, choose, share, resolve, pay, revoke: over one gRPC address."""
    opened = await over_aio(SessionServiceStub, edge).anonymous_login(
        AnonymousLoginRequest(provider="web", provider_id=new_id())
    )
    mine = {"authorization": f"Bearer {opened.access_token}", "x-platform": "desktop"}
    media = over_aio(AssetServiceStub, edge, metadata=mine, timeout=240)
    tracks = over_aio(TrackServiceStub, edge, metadata=mine)
    jobs = over_aio(JobServiceStub, edge, metadata=mine, timeout=240)
    shares = over_aio(ShareServiceStub, edge, metadata=mine)
    wallet = over_aio(CreditServiceStub, edge, metadata=mine)

    uploaded = await media.upload_asset(parts_of(take, "hum.wav"))
    seen = [each async for each in media.watch_asset(WatchAssetRequest(asset_id=uploaded.asset_id))]
    ready = (await media.get_asset(GetAssetRequest(asset_id=uploaded.asset_id))).asset
    assert ready is not None
    assert (seen[-1].event and seen[-1].event.final, ready.state) == (True, AssetState.READY)

    made = await tracks.create_track(
        CreateTrackRequest(asset_id=uploaded.asset_id, title="Typed", duration_s=30, seed=3, request_id="typed-1")
    )
    first = [each async for each in _most(jobs.watch_job(WatchJobRequest(job_id=made.job_id)), 2)]
    rest = [
        each async for each in jobs.watch_job(WatchJobRequest(job_id=made.job_id, after_sequence=first[-1].sequence))
    ]
    assert first[0].job is not None
    assert first[0].event is None
    told = [each.event for each in (*first, *rest) if each.event]
    assert [each.sequence for each in told] == list(range(told[0].sequence, told[0].sequence + len(told)))
    assert (told[-1].state, told[-1].final) == (JobState.COMPLETED, True)

    track = (await tracks.get_track(GetTrackRequest(track_id=made.track_id))).track
    assert track is not None
    assert (track.state, [each.label for each in track.variants]) == (TrackState.READY, ["A", "B"])
    chosen = await tracks.choose_variant(
        ChooseVariantRequest(track_id=made.track_id, variant_id=track.variants[1].variant_id)
    )
    assert chosen.track is not None
    assert chosen.track.chosen_variant_id == track.variants[1].variant_id
    share = await shares.create_share(CreateShareRequest(track_id=made.track_id, share_types=[ShareType.LINK]))
    stranger = over_aio(ShareServiceStub, edge)
    shown = (await stranger.resolve_share(ResolveShareRequest(share_code=share.share_code))).shared_track
    assert shown is not None
    async with Person(mesh.base_url) as listener:
        assert (await listener.fetch(shown.audio_url))[:3] == b"ID3"

    async def credits_() -> tuple[int, int]:
        balance = (await wallet.get_balance(GetBalanceRequest())).balance
        assert balance is not None
        return balance.available_credits, balance.held_credits

    await until(credits_, lambda found: found == (80, 0))
    entries = (await wallet.list_entries(ListEntriesRequest())).entries
    assert [(each.kind, each.amount_credits) for each in entries] == [
        (EntryKind.HOLD, -20),
        (EntryKind.SIGNUP_GRANT, 100),
    ]
    await shares.revoke_share(RevokeShareRequest(share_code=share.share_code))
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await stranger.resolve_share(ResolveShareRequest(share_code=share.share_code))
    assert gone.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal_of(gone.value)[0] == "SHARE_REVOKED"


async def _most(stream: AsyncIterator[Any], most: int) -> AsyncIterator[Any]:
    """Yield the first messages of a stream and hang up."""
    count = 0
    async for each in stream:
        yield each
        count += 1
        if count == most:
            return


async def test_refusals_carry_reason_and_field(edge: grpc.aio.Channel, singer: Person) -> None:
    """A call without a token, with a broken field and for what is not there: the code, the reason, the field."""
    mine = {"authorization": f"Bearer {singer.token}"}
    cases = [
        (None, "not-an-id", grpc.StatusCode.UNAUTHENTICATED, "AUTH_REQUIRED", []),
        (mine, "not-an-id", grpc.StatusCode.INVALID_ARGUMENT, "PARAM_INVALID", ["track_id"]),
        (mine, new_id(), grpc.StatusCode.NOT_FOUND, "NOT_FOUND", []),
    ]
    for metadata, track_id, code, reason, fields in cases:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await over_aio(TrackServiceStub, edge, metadata=metadata).get_track(GetTrackRequest(track_id=track_id))
        assert refused.value.code() is code
        assert refusal_of(refused.value) == (reason, fields)


async def test_internal_methods_do_not_exist_at_the_edge(edge: grpc.aio.Channel, singer: Person) -> None:
    """Every internal method of the contracts answers UNIMPLEMENTED at the public address, with and without a token."""
    internal = [
        f"/{method.containing_service.full_name}/{method.name}"
        for contract in CONTRACTS
        for service in contract.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if method.GetOptions().Extensions[options_pb2.access] == options_pb2.ACCESS_INTERNAL
    ]
    assert len(internal) >= 10
    for path in internal:
        bare: Any = edge.unary_unary(path)
        for metadata in ((), (("authorization", f"Bearer {singer.token}"),)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await bare(b"", metadata=metadata, timeout=10)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, path


async def test_a_stream_left_by_its_reader_is_let_go(edge: grpc.aio.Channel, singer: Person, song: Song) -> None:
    """Fifty watches cancelled after their first message leave the address answering, and the last one is whole."""
    mine = {"authorization": f"Bearer {singer.token}"}
    jobs = over_aio(JobServiceStub, edge, metadata=mine)
    for _ in range(50):
        first = [each async for each in _most(jobs.watch_job(WatchJobRequest(job_id=song.job_id)), 1)]
        assert first[0].job is not None
    whole = [each async for each in jobs.watch_job(WatchJobRequest(job_id=song.job_id))]
    assert whole[-1].event is not None
    assert whole[-1].event.final


async def test_upload_by_stream_checks_what_was_announced(edge: grpc.aio.Channel, singer: Person, take: bytes) -> None:
    """A stream that ends before the announced size is refused with the field and leaves no asset."""
    before = await singer.belongings()
    mine = {"authorization": f"Bearer {singer.token}"}
    header, *chunks = parts_of(take, "hum.wav")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await over_aio(AssetServiceStub, edge, metadata=mine).upload_asset([header, *chunks[:-1]])
    assert refusal_of(refused.value)[0] == "UPLOAD_INCOMPLETE"
    assert await singer.belongings() == before
