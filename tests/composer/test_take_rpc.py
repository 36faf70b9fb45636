"""Takes heard before a song is made of them: by their owner alone, once for all who ask, and for nothing."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from redis.asyncio import Redis

from cadenza.composer.v1 import take_service_pb2 as pb
from cadenza.composer.v1 import take_service_pb2_grpc as take_grpc
from cadenza.composer.v1 import track_service_pb2 as track_pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from services.composer.domain.errors import GenerateBusy, ProviderFailed
from services.composer.usecases.take import Hearings
from services.kit.errors import ParamInvalid
from services.kit.ids import new_id
from services.kit.redis import connect
from tests.composer.recorded import hummed
from tests.composer.studio import ANALYSIS, Band, Studio, until


class Ears(Band):
    """Hears good takes, once it may end."""

    async def hear(self, take: bytes, stop: Callable[[], bool]) -> dict[str, Any]:
        """Return measures and analysis."""
        self._asked("hear")
        await self.may_end.wait()
        notes = [{**note, "sung_pitch": note["pitch"] + 0.1} for note in ANALYSIS["notes"]]
        check = {"loudness_lufs": -18.204, "voiced_ratio": 0.8124, "snr_db": 31.236, "clipped_runs": 0}
        return {"refused": "", "check": check, "analysis": {**ANALYSIS, "notes": notes, "f0_hz": [0.0, 1.0, 440.0]}}


@pytest.fixture
def ears(studio: Studio) -> Ears:
    """Return who listens instead of the engine."""
    studio.band = Ears()
    return studio.band


def _hearings(studio: Studio, ears: Ears, redis: Redis | None = None) -> Hearings:
    media = AssetServiceStub(studio.mesh.peers("composer").channel("media"))
    return Hearings(media=media, ear=ears, redis=redis or studio.redis)


async def _ask(studio: Studio, asset_id: str, user_id: str = "") -> pb.HearTakeResponse:
    stub = take_grpc.TakeServiceStub(studio.mesh.peers("gateway").channel("composer"))
    return await stub.HearTake(pb.HearTakeRequest(asset_id=asset_id), metadata=studio.metadata(user_id))


async def test_a_hum_is_heard_as_its_song_would_hear_it(studio: Studio) -> None:
    """The real engine finds the tune of a hum, its curve lies on the notes, nothing is charged, no stranger is told."""
    asset_id = await studio.asset(hummed())
    heard = await _ask(studio, asset_id)

    assert (heard.refusal, heard.f0_step_ms) == ("", 20)
    assert len(heard.analysis.notes) >= 10
    note = heard.analysis.notes[len(heard.analysis.notes) // 2]
    middle = heard.f0_cents[(note.start_ms + note.end_ms) // 2 // heard.f0_step_ms]
    assert abs(middle - 100 * note.pitch) < 100
    assert await studio.balance() == (100, 0)
    assert await studio.rows() == (0, 0)
    with pytest.raises(grpc.aio.AioRpcError) as foreign:
        await _ask(studio, asset_id, new_id())
    assert foreign.value.code() is grpc.StatusCode.NOT_FOUND


async def test_two_who_ask_at_once_are_answered_by_one_hearing(studio: Studio, ears: Ears) -> None:
    """Two calls for one take and a later one cost one hearing; a caller who leaves does not end it for the other."""
    hearings, asset_id = _hearings(studio, ears), await studio.asset()
    ears.may_end.clear()
    leaver = asyncio.create_task(hearings.hear(studio.user_id, asset_id))
    stayer = asyncio.create_task(hearings.hear(studio.user_id, asset_id))
    await until(lambda: ears.asked["hear"] == 1)
    leaver.cancel()
    ears.may_end.set()
    first = await stayer
    again = await hearings.hear(studio.user_id, asset_id)

    assert leaver.cancelled()
    assert first == again
    assert first.f0_cents == [0, 6900]
    assert ears.asked["hear"] == 1


async def test_a_failure_is_not_kept(studio: Studio, ears: Ears) -> None:
    """After the engine failed the next question hears the take anew; what is no recording is refused."""
    hearings, asset_id = _hearings(studio, ears), await studio.asset()
    ears.faults["hear"] = [ProviderFailed("the engine is ill")]
    with pytest.raises(ProviderFailed):
        await hearings.hear(studio.user_id, asset_id)
    assert (await hearings.hear(studio.user_id, asset_id)).refusal == ""
    music = await studio.asset(kind=media_pb2.Asset.KIND_MUSIC)
    with pytest.raises(ParamInvalid):
        await hearings.hear(studio.user_id, music)


async def test_no_more_are_heard_at_once_than_a_process_bears(
    studio: Studio, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One take more than there is room for is refused as busy, and heard once there is room again."""
    monkeypatch.setattr("services.composer.usecases.take._MOST", 1)
    hearings, one, other = _hearings(studio, ears), await studio.asset(), await studio.asset()
    ears.may_end.clear()
    first = asyncio.create_task(hearings.hear(studio.user_id, one))
    await until(lambda: ears.asked["hear"] == 1)
    with pytest.raises(GenerateBusy):
        await hearings.hear(studio.user_id, other)
    ears.may_end.set()
    await first
    assert (await hearings.hear(studio.user_id, other)).refusal == ""


async def test_takes_are_heard_without_redis(studio: Studio, ears: Ears) -> None:
    """With Redis away a take is heard each time it is asked about."""
    nowhere = connect("redis://127.0.0.1:1")
    hearings, asset_id = _hearings(studio, ears, nowhere), await studio.asset()
    for _ in range(2):
        assert (await hearings.hear(studio.user_id, asset_id)).refusal == ""
    await nowhere.aclose()
    assert ears.asked["hear"] == 2


async def test_a_song_takes_the_tune_as_its_singer_corrects_it(studio: Studio) -> None:
    """A recording with a change is heard, then changed as asked, key and metre too; without one nothing is changed."""
    change = track_pb.TuneChange(tempo_bpm=96.0, key="G minor", beats_per_bar=3)
    changed = await studio.create(tune_change=change, duration_s=30)
    await studio.finish(changed.job_id)
    assert studio.band.asked["pick"] == studio.band.asked["change"] == 1
    asked = studio.band.changes[0]
    assert (asked["tempo_bpm"], asked["key"], asked["beats_per_bar"]) == (96.0, "G minor", 3)
    assert (await studio.track(changed.track_id)).analysis.tempo_bpm == 96.0

    plain = await studio.create(duration_s=30)
    await studio.finish(plain.job_id)
    assert studio.band.asked["change"] == 1
