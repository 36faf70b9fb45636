"""Tracks that are looked for, put away and taken back."""

import grpc.aio
import pytest
from sqlalchemy import text

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.kit.ids import new_id
from services.kit.jobs.states import State
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio


async def listed(studio: Studio, user_id: str = "", **request: object) -> list[str]:
    """Return the titles of the person's tracks, the newest first."""
    metadata = studio.metadata(user_id) if user_id else studio.metadata()
    answer = await studio.tracks().ListTracks(pb.ListTracksRequest(**request), metadata=metadata)  # type: ignore[arg-type]
    return [track.title for track in answer.tracks]


async def put_away(studio: Studio, track_id: str) -> None:
    """Delete the track."""
    await studio.tracks().DeleteTrack(pb.DeleteTrackRequest(track_id=track_id), metadata=studio.metadata())


async def take_back(studio: Studio, track_id: str, user_id: str = "") -> pb.Track:
    """Restore the track."""
    metadata = studio.metadata(user_id) if user_id else studio.metadata()
    return (await studio.tracks().RestoreTrack(pb.RestoreTrackRequest(track_id=track_id), metadata=metadata)).track


async def age(studio: Studio, track_id: str, days: float) -> None:
    """Let the track have been put away so many days ago."""
    async with studio.db.transaction() as tx:
        await tx.execute(
            text("UPDATE composer.tracks SET delete_time = now() - make_interval(secs => :s) WHERE track_id = :id"),
            {"s": days * 86_400, "id": track_id},
        )


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["雨 100%_done", "Morning Song", "夏天的风"]),
        ("的风", ["夏天的风"]),
        ("MORNING", ["Morning Song"]),
        ("月光", ["Morning Song"]),
        ("song 月光", ["Morning Song"]),
        ("song 夏天", []),
        ("100%_d", ["雨 100%_done"]),
        ("%", ["雨 100%_done"]),
        ("_", ["雨 100%_done"]),
        ("'; DROP TABLE tracks; --", []),
    ],
)
async def test_words_find_tracks_by_title_and_lyrics(studio: Studio, query: str, found: list[str]) -> None:
    """Every word must stand in the title or the lyrics, in any case, Chinese or English, with no sign a wildcard."""
    for title, lyrics in (("夏天的风", ""), ("Morning Song", "看月光"), ("雨 100%_done", "")):
        job = await studio.create(title=title, lyrics=lyrics)
        await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=job.job_id), metadata=studio.metadata())
    assert await listed(studio, query=query) == found


async def test_a_track_comes_back_as_it_was(studio: Studio) -> None:
    """A song put away is in the trash only; taken back it has its id, sound and title, however often one asks."""
    made = await studio.create(title="夏天的风")
    assert (await studio.finish(made.job_id)).state is State.COMPLETED
    before = await studio.track(made.track_id)
    await put_away(studio, made.track_id)
    assert (await listed(studio), await listed(studio, trashed=True)) == ([], ["夏天的风"])
    assert await listed(studio, trashed=True, query="nothing") == []
    for _ in range(2):
        back = await take_back(studio, made.track_id)
        assert [each.variant_id for each in back.variants] == [each.variant_id for each in before.variants]
    assert (back.title, back.state) == ("夏天的风", pb.Track.STATE_READY)
    assert (await listed(studio), await listed(studio, trashed=True)) == (["夏天的风"], [])


async def test_a_song_that_was_cancelled_by_being_put_away_says_so(studio: Studio) -> None:
    """A song put away while it was in the making comes back as cancelled, and its credits stay with its owner."""
    made = await studio.create()
    await put_away(studio, made.track_id)
    await studio.charge.dispatcher.drain()
    back = await take_back(studio, made.track_id)
    assert back.state == pb.Track.STATE_CANCELLED
    assert await studio.balance() == (100, 0)


async def test_the_trash_is_kept_for_thirty_days(studio: Studio) -> None:
    """A moment before thirty days a track can be taken back, afterwards it is NOT_FOUND and not listed."""
    made = await studio.create(title="夏天的风")
    await put_away(studio, made.track_id)
    await age(studio, made.track_id, 30.01)
    assert await listed(studio, trashed=True) == []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await take_back(studio, made.track_id)
    assert from_rpc(refused.value).reason == "NOT_FOUND"
    await age(studio, made.track_id, 29.99)
    assert (await take_back(studio, made.track_id)).title == "夏天的风"


async def test_nobody_takes_back_what_is_not_theirs(studio: Studio) -> None:
    """Another person's track, in the trash or not, and one that never was are NOT_FOUND, and nothing changes."""
    made = await studio.create()
    await put_away(studio, made.track_id)
    for track_id, user_id in ((made.track_id, new_id()), (new_id(), "")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await take_back(studio, track_id, user_id)
        assert from_rpc(refused.value).reason == "NOT_FOUND"
    assert await listed(studio) == []
    assert await listed(studio, new_id(), trashed=True) == []


async def test_the_sound_of_a_song_in_the_trash_stays(studio: Studio) -> None:
    """Media keeps the files of a song that can be taken back, and lets them go when it cannot any more."""
    made = await studio.create()
    await studio.finish(made.job_id)
    async with studio.db.transaction() as tx:
        rows = await tx.execute(
            text("SELECT asset_id::text FROM composer.variants WHERE track_id = :id"), {"id": made.track_id}
        )
        asset_id = str(rows.scalars().first())
    await put_away(studio, made.track_id)
    request = media_pb2.DeleteAssetRequest(asset_id=asset_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.media().DeleteAsset(request, metadata=studio.metadata())
    assert from_rpc(refused.value).reason == "ASSET_IN_USE"
    await age(studio, made.track_id, 31)
    await studio.media().DeleteAsset(request, metadata=studio.metadata())
    with pytest.raises(grpc.aio.AioRpcError):
        await take_back(studio, made.track_id)
