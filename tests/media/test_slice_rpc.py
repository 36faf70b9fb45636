"""Cuts through the contract, proved by decoding what came out."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cadenza.media.v1 import asset_service_pb2 as assets_pb
from cadenza.media.v1 import slice_service_pb2 as pb
from cadenza.media.v1 import slice_service_pb2_grpc as pb_grpc
from services.kit.ids import new_id
from services.media.config import Config
from services.media.jobs.ffmpeg import default_binary
from tests.media.conftest import Media, running
from tests.media.recordings import ffmpeg, sound
from tests.media.test_asset_rpc import PNG, delete, read, store
from tests.media.test_upload_rpc import get, refusal, upload

_RATE_HZ = 44_100
# Two clicks a second over a steady tone: what a limiter has to do with. The pitch tells where in it one is.
_TUNE = "aevalsrc='0.1*sin(2*PI*(200+20*floor(t))*t)+0.6*lt(mod(t\\,0.5)\\,0.004)*sin(2*PI*900*t)':s=44100:d=30"


@cache
def _tune() -> bytes:
    """Return 30 s of sound, of which each second has another pitch."""
    return ffmpeg("-f", "lavfi", "-i", _TUNE, "-f", "wav", "pipe:1")


def _decoded(data: bytes) -> NDArray[np.float32]:
    """Return the samples of a file, channel by channel in turn."""
    # Only of a file, to whose end it can go, does ffmpeg know how much of the end is padding.
    with tempfile.NamedTemporaryFile(suffix=".mp3") as file:
        file.write(data)
        file.flush()
        return np.frombuffer(ffmpeg("-i", file.name, "-f", "f32le", "pipe:1"), "<f4")


def _loudness(data: bytes, folder: Path) -> tuple[float, float]:
    """Return the loudness in LUFS and the true peak in dBTP by ffmpeg's own meter."""
    file = folder / "cut.mp3"
    file.write_bytes(data)
    command = [default_binary(), "-hide_banner", "-nostats", "-i", str(file), "-af", "ebur128=peak=true"]
    told = subprocess.run([*command, "-f", "null", "-"], check=True, capture_output=True, timeout=60).stderr.decode()
    values = [line.split()[1] for line in told.splitlines() if line.strip().startswith(("I:", "Peak:"))]
    return float(values[-2]), float(values[-1])


def _pitch_hz(samples: NDArray[np.float32]) -> float:
    """Return the strongest frequency of a second below 850 Hz."""
    spectrum = np.abs(np.fft.rfft(samples[:_RATE_HZ] * np.hanning(_RATE_HZ)))
    return float(np.argmax(spectrum[:850]))


async def _create(media: Media, asset_id: str, *, user_id: str = "", **wish: Any) -> pb.CreateSliceResponse:
    stub: Any = pb_grpc.SliceServiceStub(media.mesh.peers("gateway").channel("media"))
    request = pb.CreateSliceRequest(asset_id=asset_id, **wish)
    answer: pb.CreateSliceResponse = await stub.CreateSlice(request, metadata=media.metadata(user_id))
    return answer


async def _recorded(media: Media, data: bytes = b"") -> str:
    asset = await upload(media, data or _tune(), filename="我的 take.wav")
    await media.settle()
    return str(asset.asset_id)


async def _cut(media: Media, asset_id: str, **wish: Any) -> tuple[assets_pb.Asset, bytes]:
    """Return a cut, ready, and its bytes."""
    made = await _create(media, asset_id, **wish)
    assert made.asset_id == made.asset.asset_id != asset_id
    assert made.asset.state == assets_pb.Asset.STATE_UPLOADED
    await media.settle()
    ready = await get(media, made.asset_id)
    assert ready.state == assets_pb.Asset.STATE_READY, ready.error
    return ready, await read(media, made.asset_id)


async def test_five_of_thirty_seconds(media: Media) -> None:
    """From 5 to 10 of 30 seconds is a new asset of exactly 5 s, those five; the whole stays as it was."""
    asset_id = await _recorded(media)
    whole = await get(media, asset_id)
    cut, data = await _cut(media, asset_id, start_s=5, end_s=10)
    samples = _decoded(data)

    assert whole.duration_ms == 30_000
    assert (cut.duration_ms, samples.size) == (5000, 5 * _RATE_HZ)
    assert [_pitch_hz(samples[at * _RATE_HZ :]) for at in range(5)] == pytest.approx([300, 320, 340, 360, 380], abs=2)
    assert (cut.filename, cut.content_type, cut.kind) == ("我的 take.mp3", "audio/mpeg", whole.kind)
    assert (cut.size_bytes, len(cut.peaks)) == (len(data), 256)
    again = await get(media, asset_id)
    assert (again.storage_key, again.update_time) == (whole.storage_key, whole.update_time)
    stub = media.stub()
    log = await stub.ListAssetEvents(assets_pb.ListAssetEventsRequest(asset_id=cut.asset_id), metadata=media.metadata())
    assert log.events[-1].final


async def test_to_the_sample(media: Media) -> None:
    """A cut between milliseconds begins and ends at the sample, and is the same samples but for the encoder."""
    asset_id = await _recorded(media)
    _, data = await _cut(media, asset_id, start_s=2.50017, filename="../end")
    samples, whole = _decoded(data), _decoded(await read(media, asset_id))
    first = round(2.50017 * _RATE_HZ)

    assert samples.size == 30 * _RATE_HZ - first
    # Two samples of the tone's quick clicks further, and little would fit.
    away = [np.std(samples[1000:90_000] - whole[first + 1000 + by : first + 90_000 + by]) for by in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(away)) == 2
    assert away[2] < 0.1 * np.std(samples)


async def test_fades(media: Media) -> None:
    """Fades rise and fall evenly: half as loud in their middle, silent at both ends, untouched between."""
    asset_id = await _recorded(media, sound("take.wav", 10.0))
    _, plain = await _cut(media, asset_id, start_s=1, end_s=7)
    _, faded = await _cut(media, asset_id, start_s=1, end_s=7, fade_in_s=1, fade_out_s=2)
    before, after = _decoded(plain), _decoded(faded)

    def share(at_s: float) -> float:
        stretch = slice(round(at_s * _RATE_HZ) - 441, round(at_s * _RATE_HZ) + 441)
        return float(np.sqrt(np.mean(after[stretch] ** 2) / np.mean(before[stretch] ** 2)))

    assert [share(at) for at in (0.25, 0.5, 0.75, 1.5, 3.0, 4.5, 5.5)] == pytest.approx(
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.25], abs=0.03
    )
    assert np.abs(after[:50]).max() < 0.01
    assert np.abs(after[-50:]).max() < 0.01


@pytest.mark.parametrize("wanted_lufs", [-30.0, -14.0])
async def test_loudness(media: Media, tmp_path: Path, wanted_lufs: float) -> None:
    """A cut is as loud as was wished by another meter than ours, and its peaks stay below the ceiling."""
    asset_id = await _recorded(media)
    _, plain = await _cut(media, asset_id, start_s=5, end_s=15)
    _, data = await _cut(media, asset_id, start_s=5, end_s=15, fade_in_s=1, loudness_lufs=wanted_lufs)
    before, (lufs, peak_dbtp) = _loudness(plain, tmp_path), _loudness(data, tmp_path)

    assert abs(before[0] - wanted_lufs) > 3
    assert lufs == pytest.approx(wanted_lufs, abs=0.5)
    # The encoder adds a little to what was made to fit.
    assert peak_dbtp < -0.5
    assert _decoded(data).size == 10 * _RATE_HZ


async def test_silence(media: Media) -> None:
    """Silence stays silence, however loud it shall be."""
    silence = ffmpeg("-f", "lavfi", "-i", "anullsrc=r=44100:cl=mono:d=3", "-f", "wav", "pipe:1")
    _, data = await _cut(media, await _recorded(media, silence), end_s=2, loudness_lufs=-14)

    assert np.abs(_decoded(data)).max() == 0


_BAD: list[tuple[dict[str, Any], str]] = [
    ({"start_s": -1}, "start_s"),
    ({"start_s": float("nan")}, "start_s"),
    ({"start_s": float("inf")}, "start_s"),
    ({"start_s": 2.0}, "start_s"),
    ({"end_s": -1}, "end_s"),
    ({"end_s": 0}, "end_s"),
    ({"end_s": float("nan")}, "end_s"),
    ({"start_s": 1, "end_s": 1}, "end_s"),
    ({"start_s": 1.5, "end_s": 1}, "end_s"),
    ({"end_s": 2.002}, "end_s"),
    ({"end_s": 0.05}, "end_s"),
    ({"fade_in_s": -0.5}, "fade_in_s"),
    ({"fade_in_s": float("nan")}, "fade_in_s"),
    ({"fade_in_s": 2.5}, "fade_in_s"),
    ({"fade_in_s": 1.5, "fade_out_s": 1}, "fade_out_s"),
    ({"fade_out_s": float("-inf")}, "fade_out_s"),
    ({"loudness_lufs": float("nan")}, "loudness_lufs"),
    ({"loudness_lufs": 0}, "loudness_lufs"),
    ({"loudness_lufs": -70}, "loudness_lufs"),
]


async def test_bad_ranges(media: Media) -> None:
    """Whatever cannot be cut is refused with its field, and neither an asset nor a job is made of it."""
    asset_id = await _recorded(media, sound("take.wav"))
    before = await media.left_behind()
    for wish, field in _BAD:
        error = await refusal(_create(media, asset_id, **wish))
        assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", field), wish
    await media.settle()

    assert await media.left_behind() == before


async def test_whose_and_what(media: Media) -> None:
    """Others' sounds, deleted ones, those that are not ready, and what is no sound are refused and leave nothing."""
    asset_id = await _recorded(media, sound("take.wav"))
    gone = await _recorded(media, sound("take.wav"))
    await delete(media, gone)
    early = (await upload(media, sound("take.mp3"))).asset_id
    picture = (await store(media, PNG, kind=assets_pb.Asset.KIND_IMAGE, content_type="image/png")).asset_id
    before = await media.left_behind()
    errors = [
        await refusal(_create(media, asset_id, user_id=new_id())),
        await refusal(_create(media, gone)),
        await refusal(_create(media, new_id())),
        await refusal(_create(media, early)),
        await refusal(_create(media, picture)),
        await refusal(_create(media, "no-id")),
    ]

    assert [error.reason for error in errors] == [
        *("NOT_FOUND", "NOT_FOUND", "NOT_FOUND"),
        *("ASSET_NOT_READY", "PARAM_INVALID", "PARAM_INVALID"),
    ]
    assert await media.left_behind() == before


async def test_repeats(media: Media) -> None:
    """The same request id is one cut, also after its source has gone; with another stretch it is refused."""
    asset_id = await _recorded(media, sound("take.wav"))
    wish: dict[str, Any] = {"request_id": new_id(), "start_s": 0.5, "end_s": 1.5}
    first = await _create(media, asset_id, **wish)
    await media.settle()
    before = await media.left_behind()
    second = await _create(media, asset_id, **wish)
    other = await refusal(_create(media, asset_id, **{**wish, "end_s": 1.6}))
    await delete(media, asset_id)
    third = await _create(media, asset_id, **wish)
    await media.settle()

    assert first.asset_id == second.asset_id == third.asset_id
    assert second.asset.state == assets_pb.Asset.STATE_READY
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    assert (await media.left_behind())[0] == before[0]


async def test_source_gone_meanwhile(media: Media) -> None:
    """A cut whose source is deleted before its turn fails with a number, and can be deleted."""
    asset_id = await _recorded(media, sound("take.wav"))
    made = await _create(media, asset_id, end_s=1)
    await delete(media, asset_id)
    await media.settle()
    failed = await get(media, made.asset_id)
    await delete(media, made.asset_id)
    await media.settle()

    assert (failed.state, failed.error.reason, failed.error.code) == (assets_pb.Asset.STATE_FAILED, "NOT_FOUND", 10002)
    assert media.files() == []


async def test_too_many(config: Config) -> None:
    """Cuts that wait count among what one person may have unfinished."""
    object.__setattr__(config, "assets_open_most", 1)
    async with running(config) as media:
        asset_id = await _recorded(media, sound("take.wav"))
        await _create(media, asset_id, end_s=1)
        error = await refusal(_create(media, asset_id, end_s=1))
        await media.settle()
        assert error.reason == "RATE_LIMITED"
        assert (await _create(media, asset_id, end_s=1)).asset_id


async def test_music(media: Media) -> None:
    """A cut of music is music, in as many channels."""
    stereo = ffmpeg("-f", "lavfi", "-i", "sine=d=3", "-ac", "2", "-ar", "48000", "-b:a", "128k", "-f", "mp3", "pipe:1")
    song = await store(media, stereo, duration_ms=3000)
    cut, data = await _cut(media, song.asset_id, start_s=1, end_s=2)

    assert cut.kind == assets_pb.Asset.KIND_MUSIC
    assert _decoded(data).size == 2 * _RATE_HZ
