"""The track service as its callers see it, with the real Wallet and Media."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.job.v1 import job_pb2
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio


def refusal(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> RemoteError:
    """Return a refusal with its reason, metadata and fields."""
    return from_rpc(error.value)


async def ready(studio: Studio) -> pb.Track:
    """Return a finished track of the person."""
    answer = await studio.create()
    await studio.finish(answer.job_id)
    return await studio.track(answer.track_id)


async def test_the_first_answer(studio: Studio) -> None:
    """CreateTrack answers with the generating track and the queued job that makes it."""
    answer = await studio.create(title="<b>Wind</b>", lyrics="la\nla", style="pop", mood="calm", duration_s=45)
    track, job = answer.track, answer.job
    assert (answer.track_id, answer.job_id) == (track.track_id, job.job_id)
    assert (track.title, track.lyrics, track.style, track.mood) == ("Wind", "la\nla", "pop", "calm")
    assert (track.state, track.duration_s, track.job_id) == (pb.Track.STATE_GENERATING, 45, job.job_id)
    assert (job.kind, job.subject_id, job.max_attempts, job.estimated_time_s) == ("music", track.track_id, 3, 30)


async def test_wishes_left_open(studio: Studio) -> None:
    """Without wishes a track gets a title from the date and 75 seconds."""
    track = (await studio.create()).track
    assert track.title.startswith("Hum 20")
    assert track.duration_s == 75


async def test_a_repeat_is_answered_alike(studio: Studio) -> None:
    """The same request id returns the same track and job, and is charged once, also when the song is made."""
    asset_id = await studio.asset()
    first = await studio.create(asset_id, request_id="r", title="One")
    second = await studio.create(asset_id, request_id="r", title="One")
    assert (second.track_id, second.job_id, second.track.cost_credits) == (first.track_id, first.job_id, 20)
    await studio.finish(first.job_id)
    third = await studio.create(asset_id, request_id="r", title="One")
    assert (third.track_id, third.track.state) == (first.track_id, pb.Track.STATE_READY)
    assert await studio.entries() == [-20, 100]
    assert await studio.rows() == (1, 1)


async def test_a_request_id_for_two_wishes(studio: Studio) -> None:
    """The same request id with another wish is refused; another person may use it."""
    asset_id = await studio.asset()
    await studio.create(asset_id, request_id="r", title="One")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id, request_id="r", title="Two")
    assert refusal(refused).reason == "IDEMPOTENCY_KEY_REUSED"
    assert await studio.entries() == [-20, 100]
    await studio.new_user()
    await studio.create(request_id="r", title="Two")


async def test_ten_repeats_at_once(studio: Studio) -> None:
    """Ten calls with one request id at the same time make one track, charged once, and all get it."""
    asset_id = await studio.asset()
    answers = await asyncio.gather(*(studio.create(asset_id, request_id="r") for _ in range(10)))
    assert len({each.track_id for each in answers}) == 1
    assert {each.track.cost_credits for each in answers} == {20}
    assert await studio.rows() == (1, 1)
    assert await studio.entries() == [-20, 100]


async def test_three_songs_at_a_time(studio: Studio) -> None:
    """The fourth song in the making is refused with GENERATE_BUSY and costs nothing; after an end there is room."""
    asset_id = await studio.asset()
    made = [await studio.create(asset_id) for _ in range(3)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id)
    assert refusal(refused).reason == "GENERATE_BUSY"
    assert refusal(refused).metadata == {"limit": "3", "scope": "user"}
    assert await studio.balance() == (40, 60)
    assert await studio.rows() == (3, 3)
    await studio.finish(made[0].job_id)
    await studio.create(asset_id)


async def test_the_limit_holds_for_calls_at_once(studio: Studio) -> None:
    """Of five calls at the same time three are taken."""
    asset_id = await studio.asset()
    answers = await asyncio.gather(*(studio.create(asset_id) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, pb.CreateTrackResponse) for each in answers) == 3
    assert await studio.balance() == (40, 60)


async def test_a_recording_on_its_way(studio: Studio) -> None:
    """A recording that has not come is refused with ASSET_NOT_READY, and nothing is left."""
    request = media_pb2.PresignUploadRequest(filename="a.mp3", content_type="audio/mpeg", size_bytes=1000)
    asset_id = (await studio.media().PresignUpload(request, metadata=studio.metadata())).asset_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id)
    assert refusal(refused).reason == "ASSET_NOT_READY"
    assert refusal(refused).metadata["state"] == "uploading"
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == (100, 0)


async def test_music_is_no_recording(studio: Studio) -> None:
    """A finished song cannot be the recording of another one; the refusal names the field."""
    asset_id = await studio.asset(kind=media_pb2.Asset.KIND_MUSIC)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id)
    assert refusal(refused).reason == "PARAM_INVALID"
    assert [each.field for each in refusal(refused).violations] == ["asset_id"]
    assert await studio.rows() == (0, 0)


async def test_somebody_elses_recording(studio: Studio) -> None:
    """Another person's recording and one that never was are answered alike: NOT_FOUND."""
    theirs = await studio.asset()
    await studio.new_user()
    for asset_id in (theirs, new_id()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.create(asset_id)
        assert refusal(refused).reason == "NOT_FOUND"
    assert await studio.rows() == (0, 0)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"duration_s": 5}, "duration_s"),
        ({"duration_s": 181}, "duration_s"),
        ({"duration_s": -1}, "duration_s"),
        ({"title": "x" * 129}, "title"),
        ({"lyrics": "x" * 10_001}, "lyrics"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"asset_id": "../../etc/passwd"}, "asset_id"),
        ({"voice_gender": 9}, "voice_gender"),
        ({"request_id": "x" * 129}, "request_id"),
    ],
)
async def test_wishes_nobody_can_have(studio: Studio, wish: dict[str, Any], field: str) -> None:
    """A wish outside its limits is refused with the name of its field."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(**{"asset_id": new_id(), **wish})
    assert refusal(refused).reason == "PARAM_INVALID"
    assert [each.field for each in refusal(refused).violations] == [field]


async def test_other_peoples_tracks_are_not_there(studio: Studio) -> None:
    """Every method answers NOT_FOUND for another person's track, as for none, and changes nothing."""
    track = await ready(studio)
    owner = studio.user_id
    await studio.new_user()
    tracks, me = studio.tracks(), studio.metadata()
    variant_id = track.variants[0].variant_id
    for call in (
        tracks.GetTrack(pb.GetTrackRequest(track_id=track.track_id), metadata=me),
        tracks.UpdateTrack(pb.UpdateTrackRequest(track_id=track.track_id, title="Mine"), metadata=me),
        tracks.ChooseVariant(pb.ChooseVariantRequest(track_id=track.track_id, variant_id=variant_id), metadata=me),
        tracks.DeleteTrack(pb.DeleteTrackRequest(track_id=track.track_id), metadata=me),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refusal(refused).reason == "NOT_FOUND"
    assert not (await tracks.ListTracks(pb.ListTracksRequest(), metadata=me)).tracks
    studio.user_id = owner
    assert (await studio.track(track.track_id)).title == track.title


async def test_without_a_token(studio: Studio) -> None:
    """Nobody without a token sees anything."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks().ListTracks(pb.ListTracksRequest())
    assert refusal(refused).reason == "AUTH_REQUIRED"


async def test_renaming(studio: Studio) -> None:
    """Given fields change, cleaned, and absent ones stay; a title of nothing but markup is refused."""
    made = (await studio.create(title="Old", lyrics="words")).track

    async def update(**values: str) -> pb.Track:
        request = pb.UpdateTrackRequest(track_id=made.track_id, **values)
        return (await studio.tracks().UpdateTrack(request, metadata=studio.metadata())).track

    renamed = await update(title="New\nname")
    assert (renamed.title, renamed.lyrics) == ("New name", "words")
    emptied = await update(lyrics="")
    assert (emptied.title, emptied.lyrics) == ("New name", "")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await update(title="<b></b>")
    assert refusal(refused).reason == "PARAM_INVALID"
    assert (await studio.track(made.track_id)).title == "New name"


async def test_choosing_a_variant(studio: Studio) -> None:
    """The chosen variant stays chosen; another track's variant is not found."""
    track, other = await ready(studio), await ready(studio)
    first = track.variants[0].variant_id

    async def choose(variant_id: str) -> pb.Track:
        request = pb.ChooseVariantRequest(track_id=track.track_id, variant_id=variant_id)
        return (await studio.tracks().ChooseVariant(request, metadata=studio.metadata())).track

    assert (await choose(first)).chosen_variant_id == first
    assert (await studio.track(track.track_id)).chosen_variant_id == first
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await choose(other.variants[0].variant_id)
    assert refusal(refused).reason == "NOT_FOUND"


async def test_choosing_too_early(studio: Studio) -> None:
    """A track in the making has no variant to choose."""
    made = await studio.create()
    request = pb.ChooseVariantRequest(track_id=made.track_id, variant_id=new_id())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks().ChooseVariant(request, metadata=studio.metadata())
    assert refusal(refused).reason == "BUSINESS_RULE"


async def test_paging_through_tracks(studio: Studio) -> None:
    """Pages hold every track once, the newest first, without words and analysis; a broken token is refused."""
    asset_id = await studio.asset()
    made = []
    for number in range(3):
        answer = await studio.create(asset_id, title=f"Song {number}", lyrics="words")
        made.append(answer.track_id)
    await studio.finish(answer.job_id)

    seen, token = [], ""
    while True:
        request = pb.ListTracksRequest(page_size=2, page_token=token)
        page = await studio.tracks().ListTracks(request, metadata=studio.metadata())
        seen += list(page.tracks)
        token = page.next_page_token
        if not token:
            break
    assert [each.track_id for each in seen] == made[::-1]
    assert not any(each.lyrics or each.HasField("analysis") for each in seen)
    assert seen[0].variants[0].audio_url
    assert not seen[0].variants[0].download_url
    for broken in ("x", "WzFd", "WyJub3QgYW4gaWQiXQ"):
        request = pb.ListTracksRequest(page_token=broken)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.tracks().ListTracks(request, metadata=studio.metadata())
        assert [each.field for each in refusal(refused).violations] == ["page_token"]


async def test_putting_a_waiting_song_away(studio: Studio) -> None:
    """Deleting a track whose job waits cancels the job, gives the credits back once and frees its place."""
    made = await studio.create()
    request = pb.DeleteTrackRequest(track_id=made.track_id)
    await studio.tracks().DeleteTrack(request, metadata=studio.metadata())
    await studio.tracks().DeleteTrack(request, metadata=studio.metadata())
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [20, -20, 100]
    job = await studio.jobs().GetJob(job_pb.GetJobRequest(job_id=made.job_id), metadata=studio.metadata())
    assert job.job.state == job_pb2.JOB_STATE_CANCELLED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.track(made.track_id)
    assert refusal(refused).reason == "NOT_FOUND"


async def test_sharing_resolves_tracks(studio: Studio) -> None:
    """Share may resolve a track, for its owner or for anybody; with another person's id it is not found."""
    track = await ready(studio)
    stub = studio.tracks("share")
    for user_id in (studio.user_id, ""):
        answer = await stub.ResolveTrack(pb.ResolveTrackRequest(track_id=track.track_id, user_id=user_id))
        assert (answer.user_id, answer.track.track_id) == (studio.user_id, track.track_id)
        assert answer.track.variants[0].audio_url
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ResolveTrack(pb.ResolveTrackRequest(track_id=track.track_id, user_id=new_id()))
    assert refusal(refused).reason == "NOT_FOUND"


async def test_sharing_finds_tracks_by_their_words(studio: Studio) -> None:
    """Of the tracks Share asks about only those are described whose title or lyrics hold every word, in any case."""
    ids = [
        (await studio.create(title=title, lyrics=lyrics)).track_id
        for title, lyrics in (("Moon over 海边", "la"), ("Wind", "the MOON, 100% 海边"), ("Moon", "la"))
    ]
    for query, found in (("moon 海边", ids[:2]), ("100%", ids[1:2]), ("_", []), ("", ids)):
        request = pb.ResolveTracksRequest(track_ids=ids, query=query)
        answer = await studio.tracks("share").ResolveTracks(request)
        assert {each.track.track_id for each in answer.tracks} == set(found)


async def test_sharing_resolves_tracks_of_many(studio: Studio) -> None:
    """Share gets living tracks of several owners in one call, each with its own addresses, and no words of theirs."""
    first, owner = await ready(studio), studio.user_id
    await studio.new_user()
    second, gone = await ready(studio), await ready(studio)
    await studio.tracks().DeleteTrack(pb.DeleteTrackRequest(track_id=gone.track_id), metadata=studio.metadata())
    wanted = [first.track_id, second.track_id, gone.track_id, new_id()]
    answer = await studio.tracks("share").ResolveTracks(pb.ResolveTracksRequest(track_ids=wanted))

    assert {(each.track.track_id, each.user_id) for each in answer.tracks} == {
        (first.track_id, owner),
        (second.track_id, studio.user_id),
    }
    for each in answer.tracks:
        assert each.track.cover_url
        assert all(variant.audio_url for variant in each.track.variants)
        assert not each.track.lyrics
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks("gateway").ResolveTracks(pb.ResolveTracksRequest(track_ids=wanted))
    assert refusal(refused).reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("caller", ["gateway", "auth", "wallet", "media"])
async def test_nobody_else_resolves_tracks(studio: Studio, caller: str) -> None:
    """Other callers may not resolve tracks, even with a token."""
    request = pb.ResolveTrackRequest(track_id=new_id())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks(caller).ResolveTrack(request, metadata=studio.metadata())
    assert refusal(refused).reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("caller", ["gateway", "auth", "wallet", "share"])
async def test_nobody_else_asks_for_asset_use(studio: Studio, caller: str) -> None:
    """Only Media may ask whether an asset is in use."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks(caller).CheckAssetUse(
            pb.CheckAssetUseRequest(asset_id=new_id()), metadata=studio.metadata()
        )
    assert refusal(refused).reason == "PERMISSION_DENIED"


async def test_a_recording_in_use_stays(studio: Studio) -> None:
    """Media refuses to delete a recording while a song is made from it, and deletes it afterwards."""
    asset_id = await studio.asset()
    made = await studio.create(asset_id)
    request = media_pb2.DeleteAssetRequest(asset_id=asset_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.media().DeleteAsset(request, metadata=studio.metadata())
    assert refusal(refused).reason == "ASSET_IN_USE"
    await studio.finish(made.job_id)
    await studio.media().DeleteAsset(request, metadata=studio.metadata())


async def test_media_away(studio: Studio) -> None:
    """Without Media no song is begun and nothing is left."""
    asset_id = await studio.asset()
    routes = studio.mesh._routes.pop("media")
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.create(asset_id)
    finally:
        studio.mesh._routes["media"] = routes
    assert refusal(refused).reason == "SERVICE_UNAVAILABLE"
    assert await studio.rows() == (0, 0)
