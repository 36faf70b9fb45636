"""Cuts over HTTP and over gRPC, as a page and as a native app ask for them, from the running mesh."""

import asyncio

import grpc
import pytest

from cadenza.media.v1 import asset_service_pb2, slice_service_pb2
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from cadenza.media.v1.slice_service_pb2_grpc import SliceServiceStub
from services.mesh.up import RunningMesh
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person
from tests.media.recordings import sound


async def _recorded(person: Person) -> str:
    sent = await person.send(sound("take.wav", 30.0), "take.wav")
    asset = await person.settled_asset(sent.body["data"]["asset_id"])
    assert asset["state"] == "ready", asset
    return str(asset["asset_id"])


@pytest.mark.parametrize("platform", ["web", "wxmp"])
async def test_over_http(arrive: Arrive, platform: str) -> None:
    """From 5 to 10 of 30 seconds is an asset of 5 s, watched and played like any other; it costs nothing."""
    person, stranger = await arrive(), await arrive()
    path = f"/api/v1/assets/{await _recorded(person)}/slices"
    wish = {"start_s": 5, "end_s": 10, "fade_in_s": 0.5, "fadeOutS": 1, "loudness_lufs": -16}
    headers = {"X-Platform": platform, "Idempotency-Key": "cut-1"}
    made = await person.ask("POST", path, json=wish, headers=headers)
    cut = await person.settled_asset(made.body["data"]["asset_id"])
    again = await person.ask("POST", path, json=wish, headers=headers)
    played = await person.ask("GET", cut["url"])
    outline = await person.call("GET", f"/api/v1/assets/{cut['asset_id']}/waveform")

    assert made.status == 201
    assert (cut["state"], cut["duration_ms"], cut["filename"]) == ("ready", 5000, "take.mp3")
    assert again.body["data"]["asset_id"] == cut["asset_id"]
    assert (played.status, played.headers["Content-Type"], len(played.raw)) == (200, "audio/mpeg", cut["size_bytes"])
    assert outline["loudness_lufs"] == pytest.approx(-16, abs=0.3)
    assert await person.credits() == (100, 0)
    assert (await stranger.ask("POST", path, json=wish, headers={"X-Platform": platform})).status == 404
    bad = await person.ask("POST", path, json={**wish, "end_s": "NaN"}, headers={"X-Platform": platform})
    assert (bad.refusal, bad.fields) == ((400, 10001, "PARAM_INVALID"), {"end_s"})
    beyond = await person.ask("POST", path, json={**wish, "end_s": 31}, headers={"X-Platform": platform})
    assert (beyond.refusal, beyond.fields) == ((400, 10001, "PARAM_INVALID"), {"end_s"})


async def test_over_grpc(mesh: RunningMesh, arrive: Arrive) -> None:
    """A native app cuts at the edge port and follows the cut by its stream to its end."""
    person = await arrive()
    asset_id = await _recorded(person)
    metadata = (("authorization", f"Bearer {person.token}"),)
    async with grpc.aio.insecure_channel(mesh.edge_address) as channel, asyncio.timeout(60):
        wish = slice_service_pb2.CreateSliceRequest(asset_id=asset_id, start_s=5, end_s=10)
        made = await SliceServiceStub(channel).CreateSlice(wish, metadata=metadata)
        watch = asset_service_pb2.WatchAssetRequest(asset_id=made.asset_id)
        life = [each async for each in AssetServiceStub(channel).WatchAsset(watch, metadata=metadata)]

    assert life[-1].event.final
    assert (life[-1].asset.state, life[-1].asset.duration_ms) == (asset_service_pb2.Asset.STATE_READY, 5000)
