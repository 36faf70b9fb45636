"""The job that turns a hum into two songs, run in process with a band in place of the engine."""

import asyncio

import grpc.aio
import pytest
from sqlalchemy import text

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.domain.errors import ProviderFailed
from services.composer.jobs.music import STEPS
from services.composer.providers import TakeRefused
from services.composer.usecases.track import MUSIC
from services.kit.clock import now
from services.kit.ids import new_id
from services.kit.jobs.job import Note
from services.kit.jobs.states import State
from tests.composer.studio import Studio, until
from tests.media.recordings import sound


async def test_a_song_is_made_and_paid_once(studio: Studio) -> None:
    """A track costs 20 of 100 credits, held while it is made and spent when it is ready."""
    answer = await studio.create(title="夏天", style="pop", duration_s=30, seed=7)
    assert answer.track.state == pb.Track.STATE_GENERATING
    assert answer.track.cost_credits == 20
    assert await studio.balance() == (80, 20)

    job = await studio.finish(answer.job_id)

    assert job.state is State.COMPLETED
    assert job.result == {"track_id": answer.track_id, "recommended": "B"}
    assert await studio.balance() == (80, 0)
    assert await studio.entries() == [-20, 100]
    assert await studio.messages(answer.job_id) == ["settle"]


async def test_a_ready_track_is_taken_away_as_midi_and_chords(studio: Studio) -> None:
    """Each variant has a MIDI file of its own to save and its chords as text, which a list of tracks leaves out."""
    answer = await studio.create(title="Song", seed=7, duration_s=30)
    await studio.finish(answer.job_id)
    variants = (await studio.track(answer.track_id)).variants
    listed = await studio.tracks().ListTracks(pb.ListTracksRequest(), metadata=studio.metadata())

    assert [each.chord_sheet for each in variants] == ["[chorus]\n| D | A7 |\n"] * 2
    assert all(".mid" in each.midi_url for each in variants)
    assert variants[0].midi_url != variants[1].midi_url
    assert [each.chord_sheet for each in listed.tracks[0].variants] == ["", ""]


async def test_a_song_of_a_changed_tune_is_not_listened_to(studio: Studio) -> None:
    """The tune of a finished track is changed as asked and played, without take, check or listening, for 20 credits."""
    first = await studio.create(title="夏天", seed=7, duration_s=30)
    await studio.finish(first.job_id)
    before = dict(studio.band.asked)
    change = pb.TuneChange(tempo_bpm=90.0, notes=[pb.HeardNote(start_ms=0, end_ms=900, pitch=60)])
    answer = await studio.tracks().CreateTrack(
        pb.CreateTrackRequest(source_track_id=first.track_id, tune_change=change, duration_s=30, seed=8),
        metadata=studio.metadata(),
    )
    job = await studio.finish(answer.job_id)
    track = await studio.track(answer.track_id)

    assert job.state is State.COMPLETED
    assert await studio.balance() == (60, 0)
    assert {name: count - before.get(name, 0) for name, count in studio.band.asked.items()} == {
        "check": 0, "listen": 0, "pick": 0, "change": 1, "make A": 1, "make B": 1, "judge": 1,
    }  # fmt: skip
    assert studio.band.changes[0]["notes"] == [[0, 900, 60]]
    assert (track.title, track.analysis.tempo_bpm, track.analysis.snr_db) == ("夏天", 90.0, 31.24)
    assert studio.band.orders[-1].analysis["tempo_bpm"] == 90.0


async def test_words_alone_are_not_listened_to(studio: Studio) -> None:
    """A song of words alone is made without take, check or listening, for 20 credits, and has no tune to look at."""
    before = dict(studio.band.asked)
    answer = await studio.create_of_words("海边的夏天\n风很大", voice_gender=pb.VOICE_GENDER_DUET, duration_s=30)
    job = await studio.finish(answer.job_id)
    track = await studio.track(answer.track_id)

    assert (job.state, track.title, track.asset_id) == (State.COMPLETED, "海边的夏天", "")
    assert await studio.balance() == (80, 0)
    assert {name: count - before.get(name, 0) for name, count in studio.band.asked.items()} == {
        name: int(name in {"make A", "make B", "judge"}) for name in studio.band.asked
    }
    order = studio.band.orders[-1]
    assert (order.analysis, order.lyrics, order.voice) == ({}, "海边的夏天\n风很大", "duet")
    assert not track.HasField("analysis")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks().GetTune(pb.GetTuneRequest(track_id=answer.track_id), metadata=studio.metadata())
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_only_a_kept_tune_can_be_changed(studio: Studio) -> None:
    """A track in the making has no tune yet and a stranger's is not found; neither is charged."""
    making = await studio.create(title="Song", seed=7, duration_s=30)
    request = pb.CreateTrackRequest(source_track_id=making.track_id, duration_s=30)
    for user_id, code in (("", grpc.StatusCode.FAILED_PRECONDITION), (new_id(), grpc.StatusCode.NOT_FOUND)):
        for ask in (
            studio.tracks().CreateTrack(request, metadata=studio.metadata(user_id)),
            studio.tracks().GetTune(pb.GetTuneRequest(track_id=making.track_id), metadata=studio.metadata(user_id)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask
            assert refused.value.code() is code
    assert await studio.balance() == (80, 20)


async def test_a_tune_that_is_put_away_before_its_turn_costs_nothing(studio: Studio) -> None:
    """When the other track is gone by the time the job begins, the job fails with a reason and the credits are back."""
    first = await studio.create(title="Song", seed=7, duration_s=30)
    await studio.finish(first.job_id)
    answer = await studio.tracks().CreateTrack(
        pb.CreateTrackRequest(source_track_id=first.track_id, duration_s=30), metadata=studio.metadata()
    )
    await studio.tracks().DeleteTrack(pb.DeleteTrackRequest(track_id=first.track_id), metadata=studio.metadata())
    job = await studio.finish(answer.job_id)

    assert (job.state, job.error_reason) == (State.FAILED, "NOT_FOUND")
    assert await studio.balance() == (80, 0)


async def test_what_a_ready_track_shows(studio: Studio) -> None:
    """A ready track has both variants with addresses and measures, the recommended one chosen, and what was heard."""
    answer = await studio.create(title="Song", seed=7, duration_s=30, style="folk", mood="calm")
    await studio.finish(answer.job_id)
    track = await studio.track(answer.track_id)

    assert track.state == pb.Track.STATE_READY
    assert [(each.label, each.recommended, each.score) for each in track.variants] == [
        ("A", False, 0.7),
        ("B", True, 0.8),
    ]
    assert track.chosen_variant_id == track.variants[1].variant_id
    assert list(track.variants[1].remarks) == ["clearer_melody"]
    assert list(track.variants[0].peaks) == [1, 50, 100]
    assert list(track.variants[0].chords) == ["D", "A7"]
    assert all(each.audio_url and each.download_url for each in track.variants)
    assert track.variants[0].asset_id != track.variants[1].asset_id
    assert track.cover_url
    assert (track.provider, track.seed) == ("band", 7)
    assert [each.engine for each in track.variants] == ["band-1", "band-1"]
    heard = track.analysis
    assert (heard.key, heard.tempo_bpm, heard.beats_per_bar, heard.metre) == ("D major", 108.0, 4, "4/4")
    assert (heard.segment_start_ms, heard.segment_end_ms) == (250, 1750)
    assert [(note.start_ms, note.end_ms, note.pitch) for note in heard.notes] == [(500, 1000, 66), (1000, 1500, 67)]
    assert (heard.loudness_lufs, heard.voiced_ratio, heard.snr_db) == (-18.2, 0.812, 31.24)
    order = studio.band.orders[0]
    assert (order.title, order.style, order.mood, order.duration_s, order.seed) == ("Song", "folk", "calm", 30.0, 7)


async def test_the_take_arrives_whole(studio: Studio) -> None:
    """What the listener hears is the recording byte for byte, fetched once for both steps that need it."""
    answer = await studio.create()
    await studio.finish(answer.job_id)
    assert studio.band.takes == [sound("take.mp3")]


@pytest.mark.parametrize(
    ("code", "reason", "number"),
    [
        ("silent", "TAKE_SILENT", 30011),
        ("noise", "TAKE_NOISE", 30012),
        ("speech", "TAKE_SPEECH", 30013),
        ("no_melody", "TAKE_NO_MELODY", 30014),
        ("clipped", "TAKE_CLIPPED", 30015),
        ("two_voices", "TAKE_TWO_VOICES", 30016),
        ("far", "TAKE_FAR", 30017),
        ("too_short", "TAKE_TOO_SHORT", 30018),
        ("too_long", "TAKE_TOO_LONG", 30019),
    ],
)
async def test_a_refused_take_costs_nothing(studio: Studio, code: str, reason: str, number: int) -> None:
    """A take that cannot be composed upon fails the job at once with its numbered reason; the credits come back."""
    studio.band.always["check"] = TakeRefused(code, "as measured")
    answer = await studio.create()
    job = await studio.finish(answer.job_id)

    assert (job.state, job.error_reason, job.attempt) == (State.FAILED, reason, 1)
    shown = (await studio.jobs().GetJob(job_pb.GetJobRequest(job_id=job.job_id), metadata=studio.metadata())).job
    assert (shown.error.code, shown.error.reason) == (number, reason)
    assert shown.error.metadata["measure"] == "as measured"
    assert await studio.balance() == (100, 0)
    assert await studio.messages(answer.job_id) == ["release"]
    assert (await studio.track(answer.track_id)).state == pb.Track.STATE_FAILED


async def test_a_provider_that_always_fails(studio: Studio) -> None:
    """After three attempts the job fails with GENERATE_PROVIDER_ERROR and its credits come back once."""
    studio.band.always["make A"] = ProviderFailed("no music today")
    answer = await studio.create()
    job = await studio.finish(answer.job_id)

    assert (job.state, job.error_reason, job.attempt) == (State.FAILED, "GENERATE_PROVIDER_ERROR", 3)
    assert studio.band.asked["make A"] == 3
    assert await studio.balance() == (100, 0)
    assert await studio.entries() == [20, -20, 100]
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [20, -20, 100]


async def test_a_retry_starts_at_the_step_that_failed(studio: Studio) -> None:
    """The steps before the failed one are not run again, and the song is charged once."""
    studio.band.faults["make B"] = [ProviderFailed("once")]
    studio.band.faults["judge"] = [ProviderFailed("once")]
    answer = await studio.create()
    job = await studio.finish(answer.job_id)

    assert (job.state, job.attempt) == (State.COMPLETED, 3)
    assert studio.band.asked == {"check": 1, "listen": 1, "pick": 1, "make A": 2, "make B": 2, "judge": 2}
    assert await studio.entries() == [-20, 100]
    assert len((await studio.track(answer.track_id)).variants) == 2


async def test_one_failed_variant_stops_the_other(studio: Studio) -> None:
    """When one variant fails the other is interrupted, and the attempt is over when both have stopped."""
    studio.band.always["make B"] = ProviderFailed("no")
    studio.band.may_end.clear()
    answer = await studio.create()
    await studio.runner().run(answer.job_id)
    assert (studio.band.playing, studio.band.interrupted) == (0, 1)
    assert (await studio.job(answer.job_id)).state is State.QUEUED


async def test_sounds_are_stored_once_for_all_attempts(studio: Studio) -> None:
    """A song that needed a second attempt at its second half leaves one sound and one score by variant, one cover."""
    studio.band.faults["judge"] = [ProviderFailed("once"), ProviderFailed("twice")]
    answer = await studio.create()
    await studio.finish(answer.job_id)
    listed = await studio.media().ListAssets(media_pb2.ListAssetsRequest(), metadata=studio.metadata())
    kinds = sorted(each.kind for each in listed.assets)
    assert kinds == sorted(
        [
            media_pb2.Asset.KIND_RECORDING,
            media_pb2.Asset.KIND_MUSIC,
            media_pb2.Asset.KIND_MUSIC,
            media_pb2.Asset.KIND_DOCUMENT,
            media_pb2.Asset.KIND_DOCUMENT,
            media_pb2.Asset.KIND_IMAGE,
        ]
    )


async def test_a_recording_that_went_away(studio: Studio) -> None:
    """A job whose recording is gone fails at once instead of trying for it again."""
    answer = await studio.create()
    other = await studio.media().ListAssets(media_pb2.ListAssetsRequest(), metadata=studio.metadata())
    async with studio.db.transaction() as tx:
        await tx.execute(text("DELETE FROM media.assets WHERE asset_id = :id"), {"id": other.assets[0].asset_id})
    job = await studio.finish(answer.job_id)
    assert (job.state, job.error_reason, job.attempt) == (State.FAILED, "NOT_FOUND", 1)
    assert await studio.balance() == (100, 0)


async def test_media_away_is_waited_for(studio: Studio) -> None:
    """A job that cannot reach Media is tried again and completes when Media is back."""
    answer = await studio.create()
    routes = studio.mesh._routes.pop("media")
    await studio.runner().run(answer.job_id)
    waiting = await studio.job(answer.job_id)
    assert (waiting.state, waiting.attempt) == (State.QUEUED, 1)
    studio.mesh._routes["media"] = routes
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED


async def test_cancelling_a_running_song(studio: Studio) -> None:
    """Cancelling stops the band soon, ends the job as cancelled and gives the credits back exactly once."""
    studio.band.may_end.clear()
    answer = await studio.create()
    running = asyncio.create_task(studio.runner().run(answer.job_id))
    await until(lambda: studio.band.playing == 2)
    request = job_pb.CancelJobRequest(job_id=answer.job_id)
    await studio.jobs().CancelJob(request, metadata=studio.metadata())
    await studio.jobs().CancelJob(request, metadata=studio.metadata())
    await asyncio.wait_for(running, 5)

    assert studio.band.playing == 0
    assert (await studio.job(answer.job_id)).state is State.CANCELLED
    assert (await studio.track(answer.track_id)).state == pb.Track.STATE_CANCELLED
    await studio.charge.dispatcher.drain()
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [20, -20, 100]
    assert await studio.balance() == (100, 0)


@pytest.mark.parametrize(("steps", "back", "left"), [(4, [20], 100), (5, [10], 90)])
async def test_cancelling_late_costs_what_was_made(studio: Studio, steps: int, back: list[int], left: int) -> None:
    """A song cancelled once both variants are made costs the ten credits that the price names, before nothing."""
    answer = await studio.create()
    runner = studio.runner()
    job = await runner.take(studio.queue.policies[MUSIC].queue)
    assert job is not None
    async with studio.db.transaction() as tx:
        for name in list(STEPS)[:steps]:
            await studio.queue.store.add_step(tx, job, name, {}, start_time=now(), finish_time=now())
    await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=answer.job_id), metadata=studio.metadata())
    await runner.perform(job)

    assert (await studio.job(answer.job_id)).state is State.CANCELLED
    await studio.charge.dispatcher.drain()
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [*back, -20, 100]
    assert await studio.balance() == (left, 0)


@pytest.mark.parametrize("reason", ["JOB_QUARANTINED", "JOB_ATTEMPTS_EXHAUSTED"])
async def test_a_failed_song_costs_nothing(studio: Studio, reason: str) -> None:
    """A song that fails after both variants were made, by itself or with its worker, gives every credit back."""
    answer = await studio.create()
    job = await studio.runner().take(studio.queue.policies[MUSIC].queue)
    assert job is not None
    async with studio.db.transaction() as tx:
        for name in STEPS:
            await studio.queue.store.add_step(tx, job, name, {}, start_time=now(), finish_time=now())
        await studio.queue.fail(tx, answer.job_id, reason)
    await studio.charge.dispatcher.drain()

    assert await studio.entries() == [20, -20, 100]


async def test_putting_a_song_in_the_making_away(studio: Studio) -> None:
    """Deleting a track whose job runs stops the job, gives the credits back, and the track stays away."""
    studio.band.may_end.clear()
    answer = await studio.create()
    running = asyncio.create_task(studio.runner().run(answer.job_id))
    await until(lambda: studio.band.playing == 2)
    request = pb.DeleteTrackRequest(track_id=answer.track_id)
    await studio.tracks().DeleteTrack(request, metadata=studio.metadata())
    await studio.tracks().DeleteTrack(request, metadata=studio.metadata())
    await asyncio.wait_for(running, 5)
    await studio.charge.dispatcher.drain()

    assert (await studio.job(answer.job_id)).state is State.CANCELLED
    assert await studio.entries() == [20, -20, 100]
    listed = await studio.tracks().ListTracks(pb.ListTracksRequest(), metadata=studio.metadata())
    assert not listed.tracks


async def test_a_lost_lease_stops_the_band(studio: Studio) -> None:
    """A worker that lost its lease stops playing, writes nothing, and the next one makes and charges the song once."""
    studio.band.may_end.clear()
    answer = await studio.create()
    running = asyncio.create_task(studio.runner().run(answer.job_id))
    await until(lambda: studio.band.playing == 2)
    await studio.steal(answer.job_id)
    await asyncio.wait_for(running, 5)
    assert (studio.band.playing, studio.band.interrupted) == (0, 2)
    assert (await studio.job(answer.job_id)).state is State.RUNNING

    studio.band.may_end.set()
    async with studio.db.transaction() as tx:
        job = await studio.queue.rows.lock(tx, answer.job_id)
        await studio.queue.requeue(tx, job, Note("its worker is gone"))
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    assert await studio.entries() == [-20, 100]


async def test_steps_follow_each_other_in_the_log(studio: Studio) -> None:
    """The log names the six steps in their order, each from start to end, and progress never goes back."""
    answer = await studio.create()
    await studio.finish(answer.job_id)
    async with studio.db.transaction() as tx:
        events = await studio.queue.events(tx, answer.job_id)
    named = list(dict.fromkeys(event.step for event in events if event.step))
    assert named == list(STEPS)
    percents = [event.progress_percent for event in events]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
