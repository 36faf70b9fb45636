"""Another song of what a track was made of."""

from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import track_service_pb2 as pb
from services.composer.domain.take import REASONS
from services.composer.providers import TakeRefused
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio
from tests.kit.rpc_layouts import bearer

WISHES: dict[str, Any] = {"title": "Wind", "lyrics": "la la", "style": "folk", "mood": "calm", "duration_s": 45}


async def _again(studio: Studio, track_id: str, **wishes: Any) -> pb.RegenerateTrackResponse:
    request = pb.RegenerateTrackRequest(track_id=track_id, **wishes)
    return await studio.tracks().RegenerateTrack(request, metadata=studio.metadata())


async def test_another_song_has_the_same_wishes_and_another_chance(studio: Studio) -> None:
    """A regenerated track has recording, words and wishes of the first, another seed, and costs what a song costs."""
    first = await studio.create(voice_gender=pb.VOICE_GENDER_FEMALE, **WISHES)
    await studio.finish(first.job_id)
    made = await _again(studio, first.track_id)
    assert made.track.track_id != first.track_id
    same = ("asset_id", "title", "lyrics", "style", "mood", "duration_s")
    assert [getattr(made.track, name) for name in same] == [getattr(first.track, name) for name in same]
    assert made.track.seed != first.track.seed
    await studio.finish(made.job.job_id)
    assert await studio.entries() == [-20, -20, 100]
    assert (await studio.track(first.track_id)).state == pb.Track.STATE_READY


async def test_the_same_seed_asks_for_the_same_song(studio: Studio) -> None:
    """With the seed of the track what the engine is asked for is the same to the last wish."""
    first = await studio.create(**WISHES)
    await studio.finish(first.job_id)
    made = await _again(studio, first.track_id, seed=first.track.seed)
    await studio.finish(made.job.job_id)
    orders = studio.band.orders
    assert len(orders) == 4
    assert {each.label: each for each in orders[:2]} == {each.label: each for each in orders[2:]}


async def test_a_change_of_the_tune_comes_along(studio: Studio) -> None:
    """A song of another one's tune, changed, is made again of that tune with that change."""
    first = await studio.create(**WISHES)
    await studio.finish(first.job_id)
    change = pb.TuneChange(transpose_semitones=2, notes=[pb.HeardNote(start_ms=0, end_ms=500, pitch=60)])
    request = pb.CreateTrackRequest(source_track_id=first.track_id, tune_change=change)
    second = await studio.tracks().CreateTrack(request, metadata=studio.metadata())
    await studio.finish(second.job_id)
    third = await _again(studio, second.track_id)
    await studio.finish(third.job.job_id)
    assert len(studio.band.changes) == 2
    assert studio.band.changes[0] == studio.band.changes[1]
    assert third.track.title == second.track.title


async def test_a_failed_song_is_tried_anew(studio: Studio) -> None:
    """A failed track can be made again; it stays failed itself, and only the new one is charged."""
    studio.band.always["check"] = TakeRefused(next(iter(REASONS)), "nothing is heard")
    first = await studio.create(**WISHES)
    await studio.finish(first.job_id)
    assert (await studio.track(first.track_id)).state == pb.Track.STATE_FAILED
    studio.band.always.clear()
    made = await _again(studio, first.track_id)
    await studio.finish(made.job.job_id)
    assert (await studio.track(made.track.track_id)).state == pb.Track.STATE_READY
    assert (await studio.track(first.track_id)).state == pb.Track.STATE_FAILED
    assert await studio.entries() == [-20, 20, -20, 100]


async def test_a_repeat_makes_one(studio: Studio) -> None:
    """The same request id makes one song, and for another track it is refused."""
    first, other = await studio.create(**WISHES), await studio.create(**WISHES)
    made = [await _again(studio, first.track_id, request_id="again") for _ in range(2)]
    assert made[0].track.track_id == made[1].track.track_id
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _again(studio, other.track_id, request_id="again")
    assert from_rpc(caught.value).reason == "IDEMPOTENCY_KEY_REUSED"


async def test_a_strangers_track_is_not_there(studio: Studio) -> None:
    """Nobody makes another song of somebody else's track, and of one that was put away."""
    first = await studio.create(**WISHES)
    await studio.finish(first.job_id)
    stranger = tuple(bearer(studio.issuer.token(sub=new_id())))
    request = pb.RegenerateTrackRequest(track_id=first.track_id)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await studio.tracks().RegenerateTrack(request, metadata=stranger)
    assert from_rpc(caught.value).reason == "NOT_FOUND"
    await studio.tracks().DeleteTrack(pb.DeleteTrackRequest(track_id=first.track_id), metadata=studio.metadata())
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _again(studio, first.track_id)
    assert from_rpc(caught.value).reason == "NOT_FOUND"
