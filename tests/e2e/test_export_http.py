"""A song taken apart for work elsewhere: over HTTP and gRPC, by its owner alone, and the files are what they say."""

import asyncio
import io
import re
import zipfile
from typing import Any

import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from cadenza.composer.v1 import export_service_pb2 as pb
from cadenza.composer.v1.export_service_pb2_grpc import ExportServiceStub
from services.mesh.up import RunningMesh
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, Song, until
from tests.e2e.sounds import decoded
from tests.kit.rpc_layouts import bearer


def _outline(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the level of each tenth of a second in dB, which the master changes little."""
    tenth = 4_410
    rows = audio[: len(audio) // tenth * tenth].reshape(-1, tenth * 2)
    return np.asarray(10.0 * np.log10((rows**2).mean(axis=1) + 1e-7), dtype=np.float64)


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.corrcoef(one[:, 0] + one[:, 1], other[:, 0] + other[:, 1])[0, 1])


@pytest.mark.timeout(180)
async def test_a_song_is_exported(singer: Person, song: Song, arrive: Arrive, mesh: RunningMesh) -> None:
    """WAV and stems are saved under the song's title; the stems make up the song, without the lead they do not."""
    variant = song.track["variants"][0]
    wish = {"track_id": song.track_id, "variant_id": variant["variant_id"]}
    stranger = await arrive()
    assert (await stranger.ask("POST", "/api/v1/exports", json=wish)).status == 404
    before = await singer.credits()
    asked = (await singer.call("POST", "/api/v1/exports", wish))["export"]
    path = f"/api/v1/exports/{asked['export_id']}"
    assert (await stranger.ask("GET", path)).status == 404

    async def look() -> dict[str, Any]:
        return dict((await singer.call("GET", path))["export"])

    made = await until(look, lambda found: found["state"] != "generating")
    assert made["state"] == "ready", made
    assert await singer.credits() == before
    wav, packed = [await singer.ask("GET", made[name]) for name in ("wav_url", "stems_url")]
    for saved, content_type, ending in ((wav, "audio/wav", "wav"), (packed, "application/zip", "zip")):
        assert (saved.status, saved.headers["Content-Type"]) == (200, content_type)
        assert re.search(rf"attachment; .*\.{ending}", saved.headers["Content-Disposition"])
        assert len(saved.raw) < 40e6
    await asyncio.to_thread(_check_files, wav.raw, packed.raw, made["stems"], variant)

    async with grpc.aio.insecure_channel(mesh.edge_address) as channel:
        request = pb.GetExportRequest(export_id=asked["export_id"])
        answer = await ExportServiceStub(channel).GetExport(request, metadata=bearer(singer.token))
        assert list(answer.export.stems) == made["stems"]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ExportServiceStub(channel).GetExport(request, metadata=bearer(stranger.token))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def _check_files(wav: bytes, packed: bytes, names: list[str], variant: dict[str, Any]) -> None:
    master, rate = decoded(wav)
    assert rate == 44_100
    assert len(master) / rate == pytest.approx(variant["duration_ms"] / 1000, abs=0.1)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        files = archive.namelist()
        assert [name.partition(" ")[2] for name in files] == [f"{name}.flac" for name in names]
        stems = {name: decoded(archive.read(file))[0] for name, file in zip(names, files, strict=True)}
    assert len(names) == len(variant["instruments"]) + 1
    assert {stem.shape for stem in stems.values()} == {master.shape}
    whole = np.sum(list(stems.values()), axis=0)
    # Bus compression and colour lie between the two.
    assert _alike(whole, master) > 0.8
    assert _alike(whole - stems["lead"], master) < _alike(whole, master) - 0.05
    assert float(np.abs(_outline(whole) - _outline(master) - np.median(_outline(whole) - _outline(master))).mean()) < 3
