"""What the recorders of mini-programs and browsers give is taken in and becomes a playable mp3."""

import io
from typing import Any

import av
import pytest

from cadenza.media.v1 import asset_service_pb2 as pb
from services.media.domain.raw_sound import announced_raw
from tests.media.conftest import Media
from tests.media.recordings import RECORDERS, raw_samples, recorded
from tests.media.test_upload_rpc import get, presign, put, refusal, upload


async def check_playable(media: Media, asset_id: str, channels: int) -> None:
    """Run the job and check the mp3 that was made."""
    await media.settle()
    asset = await get(media, asset_id)
    assert (asset.state, asset.content_type) == (pb.Asset.STATE_READY, "audio/mpeg"), asset.error
    assert asset.duration_ms == pytest.approx(2000, abs=150)
    data = b"".join([piece async for piece in media.store.open(asset.storage_key)])
    with av.open(io.BytesIO(data)) as container:
        codec = container.streams.audio[0].codec_context
        assert (container.format.name, codec.sample_rate, codec.bit_rate) == ("mp3", 44_100, 128_000)
        assert codec.channels == channels


@pytest.mark.parametrize("name", RECORDERS)
async def test_recorders(name: str, media: Media) -> None:
    """Every container and codec that a recorder writes becomes an mp3 of 44.1 kHz and 128 kbit/s."""
    asset = await upload(media, recorded(name), filename=name)

    await check_playable(media, asset.asset_id, 2 if name in {"wechat.m4a", "wechat.wav", "firefox.webm"} else 1)


@pytest.mark.parametrize(
    ("content_type", "filename", "rate_hz", "channels"),
    [
        ("audio/pcm;rate=16000;channels=1", "take", 16_000, 1),
        ("audio/x-pcm; rate=8000; channels=2", "take", 8_000, 2),
        ("application/octet-stream", "take.pcm", 44_100, 1),
        ("audio/pcm", "take.bin", 44_100, 1),
    ],
)
async def test_raw_samples(content_type: str, filename: str, rate_hz: int, channels: int, media: Media) -> None:
    """Samples without a header are read as their sender describes them, in words or by the name."""
    data = raw_samples(rate_hz, channels)
    asset = await upload(media, data, filename=filename, content_type=content_type)

    await check_playable(media, asset.asset_id, channels)


async def test_raw_samples_presigned(media: Media) -> None:
    """Samples without a header also come by a signed address."""
    data = raw_samples(16_000, 1)
    answer = await presign(media, data, content_type="audio/pcm;rate=16000;channels=1", filename="take.pcm")
    await put(media, answer, data)
    await media.stub().CompleteUpload(pb.CompleteUploadRequest(asset_id=answer.asset_id), metadata=media.metadata())

    await check_playable(media, answer.asset_id, 1)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"la la la " * 500, "audio/pcm;rate=16000"),
        (b"%PDF-1.7 " + bytes(5000), "audio/pcm;rate=16000"),
        (b"#EXTM3U\nhttp://127.0.0.1/\n" * 50, "audio/pcm"),
        (bytes(range(256)) * 100, "audio/pcm;rate=12"),
        (bytes(range(256)) * 100, "audio/pcm;rate=many"),
        (bytes(range(256)) * 100, "audio/pcm;rate=8000;channels=9"),
        (bytes(range(256)) * 100, "audio/wav"),
    ],
)
async def test_no_raw_samples(data: bytes, content_type: str, media: Media) -> None:
    """What is something else, or is described by numbers that cannot be, is not taken for samples."""
    wish: dict[str, Any] = {"filename": "take.bin", "content_type": content_type}
    error = await refusal(upload(media, data, **wish))

    assert error.reason == "UPLOAD_FORMAT_INVALID"


def test_described() -> None:
    """The type that is kept tells everything that the job needs, whatever was left out."""
    found = announced_raw("audio/pcm", "")
    assert found is not None
    assert found.content_type == "audio/pcm;rate=44100;channels=1"
    assert announced_raw(found.content_type, "") == found
    assert announced_raw("audio/mpeg", "take.mp3") is None
