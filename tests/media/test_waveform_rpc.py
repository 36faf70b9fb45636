"""The outlines of sounds through the contract."""

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from cadenza.media.v1 import asset_service_pb2 as assets_pb
from cadenza.media.v1 import waveform_service_pb2 as pb
from cadenza.media.v1 import waveform_service_pb2_grpc as pb_grpc
from services.kit.ids import new_id
from services.media.domain.asset import Waveform
from services.media.usecases.waveform import joined
from tests.media.conftest import Media
from tests.media.recordings import sound
from tests.media.test_upload_rpc import refusal, upload


async def _waveform(media: Media, asset_id: str, *, user_id: str = "", **wish: Any) -> pb.GetWaveformResponse:
    stub: Any = pb_grpc.WaveformServiceStub(media.mesh.peers("gateway").channel("media"))
    request = pb.GetWaveformRequest(asset_id=asset_id, **wish)
    answer: pb.GetWaveformResponse = await stub.GetWaveform(request, metadata=media.metadata(user_id))
    return answer


async def _recorded(media: Media, seconds: float = 2.0) -> str:
    asset = await upload(media, sound("take.wav", seconds))
    await media.settle()
    return str(asset.asset_id)


async def test_outline(media: Media) -> None:
    """An outline has the seven fields of audiowaveform's JSON, version 2, and their values fit each other."""
    answer = await _waveform(media, await _recorded(media))
    told = json.loads(json.dumps(MessageToDict(answer, preserving_proto_field_name=True)))

    assert {name: told[name] for name in ("version", "channels", "sample_rate", "samples_per_pixel", "bits")} == {
        "version": 2,
        "channels": 1,
        "sample_rate": 44_100,
        "samples_per_pixel": 512,
        "bits": 8,
    }
    assert told["length"] == -(-2 * 44_100 // 512)
    assert len(told["data"]) == 2 * told["length"]
    lows, highs = np.array(told["data"]).reshape(-1, 2)[1:-1].T
    # ffmpeg's sine has an amplitude of one eighth.
    assert set(lows) <= {-17, -16}
    assert set(highs) <= {15, 16}
    assert answer.loudness_lufs == pytest.approx(-21.8, abs=0.5)
    assert answer.true_peak_dbtp == pytest.approx(-18.06, abs=0.2)


async def test_fewer_pixels(media: Media) -> None:
    """Who asks for fewer pixels gets no more, over the same sound, with the same extremes."""
    asset_id = await _recorded(media)
    whole, fewer = await _waveform(media, asset_id), await _waveform(media, asset_id, max_length=50)

    assert fewer.length == len(fewer.data) // 2 <= 50
    assert fewer.samples_per_pixel == 4 * 512
    assert (min(fewer.data), max(fewer.data)) == (min(whole.data), max(whole.data))


def test_joined() -> None:
    """Neighbours that are joined keep the lowest and the highest value of all."""
    waveform = Waveform(44_100, 512, bytes((0xFF, 1, 0x80, 5, 0xFE, 127)), -20.0, -1.0)

    assert joined(waveform, 2) == Waveform(44_100, 1024, bytes((0x80, 5, 0xFE, 127)), -20.0, -1.0)
    assert joined(waveform, 3) == joined(waveform, 0) == waveform


async def test_made_music(media: Media) -> None:
    """Music that a service stored has a coarse outline of the peaks it came with, and no loudness."""
    header = assets_pb.StoreHeader(
        request_id=new_id(),
        user_id=media.user_id,
        kind=assets_pb.Asset.KIND_MUSIC,
        filename="A.mp3",
        content_type="audio/mpeg",
        duration_ms=2000,
        peaks=[0, 50, 100, 20],
    )
    pieces = [assets_pb.StoreAssetRequest(header=header), assets_pb.StoreAssetRequest(chunk=sound("take.mp3"))]
    made = await media.stub("composer").StoreAsset(iter(pieces))
    answer = await _waveform(media, made.asset.asset_id)

    assert list(answer.data) == [0, 0, -64, 64, -127, 127, -25, 25]
    assert (answer.length, answer.samples_per_pixel) == (4, 22_050)
    assert not answer.HasField("loudness_lufs")
    assert not answer.HasField("true_peak_dbtp")


async def test_whose_and_when(media: Media) -> None:
    """Others find nothing, nobody finds one before the sound can be played, and a deleted sound has none."""
    asset = await upload(media, sound("take.wav"))
    early = await refusal(_waveform(media, asset.asset_id))
    await media.settle()
    other = await refusal(_waveform(media, asset.asset_id, user_id=new_id()))
    await media.stub().DeleteAsset(assets_pb.DeleteAssetRequest(asset_id=asset.asset_id), metadata=media.metadata())
    late = await refusal(_waveform(media, asset.asset_id))

    assert [early.reason, other.reason, late.reason] == ["ASSET_NOT_READY", "NOT_FOUND", "NOT_FOUND"]
