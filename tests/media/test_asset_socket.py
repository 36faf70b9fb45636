"""The streams of Media over a real socket: a file going in and an asset being watched."""

from collections.abc import AsyncIterator

import grpc.aio
import pytest

from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2_grpc as media_grpc
from services.kit.rpc.around import concerns
from services.kit.rpc.serve import Server
from tests.media.conftest import Media
from tests.media.recordings import sound
from tests.media.test_upload_rpc import pieces, refusal


@pytest.fixture
async def stub(media: Media) -> AsyncIterator["media_grpc.AssetServiceAsyncStub"]:
    """Yield Media's stub over a plaintext port of this machine, as native apps reach it."""
    around = concerns("edge", verifier=media.issuer.verifier())
    server = Server([media.application], around, address="127.0.0.1:0", credentials=None, public_only=True)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield media_grpc.AssetServiceStub(channel)
    await server.stop(0.2)


async def test_upload_and_watch(media: Media, stub: "media_grpc.AssetServiceAsyncStub") -> None:
    """A native app streams a file in and watches it until it can be played."""
    messages = pieces(pb.UploadHeader(filename="take.m4a"), sound("take.m4a"))
    answer = await stub.UploadAsset(iter(messages), metadata=media.metadata())
    await media.settle()
    request = pb.WatchAssetRequest(asset_id=answer.asset_id)
    life = [each async for each in stub.WatchAsset(request, metadata=media.metadata())]

    assert life[-1].asset.state == pb.Asset.STATE_READY
    assert [each.sequence for each in life] == list(range(len(life)))


async def test_refusal(media: Media, stub: "media_grpc.AssetServiceAsyncStub") -> None:
    """A refusal arrives with its reason and field while the client is still sending."""
    messages = pieces(pb.UploadHeader(filename="take.mp3"), b"la la la " * 500_000)
    error = await refusal(stub.UploadAsset(iter(messages), metadata=media.metadata()))

    assert (error.reason, error.metadata["found"]) == ("UPLOAD_FORMAT_INVALID", "text")
    assert await media.left_behind() == (0, 0)


async def test_internal_methods_are_not_there(media: Media, stub: "media_grpc.AssetServiceAsyncStub") -> None:
    """What only services may call does not exist on the port for everybody."""
    request = pb.ReadAssetRequest(asset_id="0190a000-0000-7000-8000-000000000000", user_id=media.user_id)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ReadAsset(request).read()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
