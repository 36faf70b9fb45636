"""Songs made by vendors: one job, one result, one charge, whoever of them fails and however."""

from __future__ import annotations

import io
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cadenza.composer.v1 import dead_letter_service_pb2 as dead_pb
from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.providers.offline import OfflineProvider
from services.kit import telemetry
from services.kit.ids import new_id
from services.kit.jobs.states import State
from tests.composer.studio import JPEG
from tests.composer.vendors import WORDS, booth, orders_of, vendor_line
from tests.fakes.stand_in import Fault
from tests.kit.rpc_layouts import bearer

if TYPE_CHECKING:
    from services.composer.jobs.vendor import VendorLine
    from services.kit.jobs.job import Job
    from tests.composer.studio import Studio


async def _song(studio: Studio, line: VendorLine, words: str = WORDS) -> tuple[Job, pb.Track]:
    """Return the job and the track of a song of words, run to its end."""
    answer = await studio.create_of_words(words, title="Ode", style="folk", mood="calm", seed=7, duration_s=30)
    job = await studio.finish(answer.job_id, studio.runner(vendors=line))
    return job, await studio.track(answer.track_id)


async def _percents(studio: Studio, job_id: str) -> list[int]:
    async with studio.db.transaction() as tx:
        events = await studio.queue.events(tx, job_id)
    return [event.progress_percent for event in events]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("suno", [("suno", "AB", "delivered")]),
        ("minimax", [("minimax", "A", "delivered"), ("minimax", "B", "delivered")]),
        ("ace_step", [("ace_step", "AB", "delivered")]),
    ],
)
async def test_a_song_of_a_vendor(studio: Studio, name: str, expected: list[tuple[str, str, str]]) -> None:
    """Each vendor makes a track with two variants whose measures are those of their sound, and one charge."""
    async with booth(name) as it:
        job, track = await _song(studio, vendor_line(studio, f"{name},offline", it))

    assert (job.state, track.state, track.provider) == (State.COMPLETED, pb.Track.STATE_READY, name)
    assert sorted(await orders_of(studio, job.job_id)) == expected
    assert [each.label for each in track.variants] == ["A", "B"]
    assert sum(each.recommended for each in track.variants) == 1
    for each in track.variants:
        assert abs(each.duration_ms - 1000) < 200
        assert -40 < each.loudness_lufs < -5
        assert len(each.peaks) == 256
        assert each.audio_url
        # What nobody has measured is empty and not invented.
        assert (list(each.chords), list(each.instruments), each.melody_score, each.midi_url) == ([], [], 0.0, "")
        assert not each.engine
    assert track.cover_url
    assert await studio.entries() == [-20, 100]
    assert not studio.band.orders


async def test_what_a_vendor_says_of_its_song_is_shown(studio: Studio) -> None:
    """Style, key and tempo are the vendor's where it names them, and empty where it does not."""
    async with booth("ace_step") as it, booth("suno") as other:
        _, track = await _song(studio, vendor_line(studio, "ace_step", it))
        assert [(each.key, each.tempo_bpm) for each in track.variants] == [("D minor", 96.0), ("", 0.0)]
        _, track = await _song(studio, vendor_line(studio, "suno", other))
        assert {each.style for each in track.variants} == {"folk, calm"}


async def test_progress_is_told_in_milestones(studio: Studio) -> None:
    """The progress of a vendor's song is 10 once it begins, then 30, 50 and 70, and 100 at the end; nothing else."""
    async with booth("suno", seconds=1.0) as it:
        job, _ = await _song(studio, vendor_line(studio, "suno", it))
    percents = await _percents(studio, job.job_id)
    assert percents == sorted(percents)
    assert list(dict.fromkeys(percents)) == [0, 10, 30, 50, 70, 100]


async def test_the_cover_is_the_vendors(studio: Studio) -> None:
    """A vendor's picture becomes the cover, as a JPEG of our own size; without one a cover is drawn."""
    async with booth("suno") as it, booth("minimax") as other:
        for names, one, plain in (("suno", it, True), ("minimax", other, False)):
            await studio.new_user()
            await _song(studio, vendor_line(studio, names, one))
            listed = await studio.media().ListAssets(media_pb2.ListAssetsRequest(), metadata=studio.metadata())
            (cover,) = [each for each in listed.assets if each.kind == media_pb2.Asset.KIND_IMAGE]
            chunks = studio.media("composer").ReadAsset(
                media_pb2.ReadAssetRequest(asset_id=cover.asset_id, user_id=studio.user_id)
            )
            data = b"".join([part.chunk async for part in chunks])
            with Image.open(io.BytesIO(data)) as picture:
                assert picture.size == (800, 800)
                assert (len(picture.resize((16, 16)).getcolors(256) or ()) == 1) is plain


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("credits", "refused"),
        ("often", "refused"),
        ("server", "refused"),
        ("maintenance", "refused"),
        ("captcha", "refused"),
        ("http_503", "refused"),
        ("CREATE_TASK_FAILED", "failed"),
        ("GENERATE_AUDIO_FAILED", "failed"),
    ],
)
async def test_the_next_vendor_takes_over(studio: Studio, fault: str, state: str) -> None:
    """Whatever the first vendor refuses or fails at, the next makes the song in the same attempt and alone is paid."""
    async with booth("suno") as first, booth("minimax") as second:
        first.stand.fail(fault)
        job, track = await _song(studio, vendor_line(studio, "suno,minimax,offline", first, second))
        assert (job.state, job.attempt, track.provider) == (State.COMPLETED, 1, "minimax")
        assert (await orders_of(studio, job.job_id))[0] == ("suno", "AB", state)
        assert (first.stand.paid, second.stand.paid) == (0, 2)
        assert await studio.entries() == [-20, 100]


async def test_a_vendor_that_is_down(studio: Studio) -> None:
    """With the first vendor gone the second makes the song; after five failures the first is left alone."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(booth("suno"))
        second = await stack.enter_async_context(booth("minimax"))
        # In a body with HTTP 200, so that the connection's own breaker has nothing to count.
        first.stand.fail("maintenance", times=1000)
        line = vendor_line(studio, "suno,minimax", first, second)
        for _ in range(6):
            await studio.new_user()
            job, track = await _song(studio, line)
            assert (job.state, track.provider) == (State.COMPLETED, "minimax")
        assert first.stand.calls["POST /api/v1/generate"] == 5


@pytest.mark.parametrize("fault", ["http_500", "http_502", "cut", "accepts_and_breaks", "data_null"])
async def test_an_order_that_may_have_been_taken_is_not_bought_again(studio: Studio, fault: str) -> None:
    """While nobody can say whether the first vendor took it, no second one is paid: what costs nothing takes over."""
    async with booth("suno") as first, booth("minimax") as second:
        first.stand.fail(fault)
        job, track = await _song(studio, vendor_line(studio, "suno,minimax,offline", first, second))
        assert (job.state, job.attempt, track.provider) == (State.COMPLETED, 1, "band")
        assert await orders_of(studio, job.job_id) == [("suno", "AB", "lost")]
        assert second.stand.calls.total() == 0
        assert await studio.entries() == [-20, 100]


async def test_nothing_costs_nothing_is_left(studio: Studio) -> None:
    """Without a maker that costs nothing such a job fails after its attempts, its credits are back, nobody was paid."""
    async with booth("suno") as first, booth("minimax") as second:
        first.stand.fail("http_502")
        job, _ = await _song(studio, vendor_line(studio, "suno,minimax", first, second))
        assert (job.state, job.error_reason, job.attempt) == (State.FAILED, "GENERATE_PROVIDER_ERROR", 3)
        assert (first.stand.calls["POST /api/v1/generate"], second.stand.calls.total()) == (1, 0)
        assert await studio.entries() == [20, -20, 100]


async def test_the_operators_leave_to_pay_twice(studio: Studio) -> None:
    """With the operator's leave another paid vendor is asked then, though never the same one again."""
    async with booth("suno") as first, booth("minimax") as second:
        first.stand.fail("http_502")
        job, track = await _song(studio, vendor_line(studio, "suno,minimax", first, second, twice=True))
        assert (job.state, track.provider) == (State.COMPLETED, "minimax")
        assert first.stand.calls["POST /api/v1/generate"] == 1


async def test_a_vendor_that_loses_tasks(studio: Studio) -> None:
    """A task that waits for ever is given up at our own deadline, and what costs nothing takes over."""
    async with booth("suno") as first, booth("minimax") as second:
        first.stand.fail("lost_task")
        line = vendor_line(studio, "suno,minimax,offline", first, second, wait_s=0.3)
        job, track = await _song(studio, line)
        assert (job.state, track.provider) == (State.COMPLETED, "band")
        assert await orders_of(studio, job.job_id) == [("suno", "AB", "lost")]
        assert second.stand.calls.total() == 0


@pytest.mark.parametrize("fault", ["half_file", "silent"])
@pytest.mark.parametrize("name", ["suno", "minimax", "ace_step"])
async def test_what_is_no_song_does_not_count(studio: Studio, name: str, fault: str) -> None:
    """Half a file and silence are no song, however well the vendor speaks of them."""
    async with booth(name) as it:
        it.stand.fail(fault, times=2)
        job, track = await _song(studio, vendor_line(studio, f"{name},offline", it))
        assert (job.state, track.provider) == (State.COMPLETED, "band")
        assert {state for _, _, state in await orders_of(studio, job.job_id)} == {"lost"}


async def test_a_file_that_breaks_once_is_fetched_again(studio: Studio) -> None:
    """A download that breaks off and a link that has died are tried again, the link with a fresh one."""
    async with booth("suno") as it:
        it.stand.fail(Fault(cut=True), "gone_links", on="/files/")
        job, track = await _song(studio, vendor_line(studio, "suno", it))
        assert (job.state, track.provider, len(track.variants)) == (State.COMPLETED, "suno", 2)
        assert it.stand.paid == 1


async def test_one_song_of_two(studio: Studio) -> None:
    """When one of the vendor's two songs is broken, the track has the other, and nobody else is paid for a second."""
    async with booth("suno") as it, booth("minimax") as second:
        it.stand.fail("one_broken")
        job, track = await _song(studio, vendor_line(studio, "suno,minimax,offline", it, second))
        assert (job.state, [each.label for each in track.variants]) == (State.COMPLETED, ["A"])
        assert track.chosen_variant_id == track.variants[0].variant_id
        assert second.stand.calls.total() == 0
        assert not studio.band.orders


async def test_the_second_half_at_the_next_attempt(studio: Studio) -> None:
    """Of a vendor that gives one song an order, only the one that was refused is ordered again."""
    async with booth("minimax") as it:
        it.stand.fail("often")
        job, track = await _song(studio, vendor_line(studio, "minimax,offline", it))
        assert (job.state, job.attempt, len(track.variants)) == (State.COMPLETED, 2, 2)
        assert it.stand.paid == 2
        assert sorted(state for _, _, state in await orders_of(studio, job.job_id)) == [
            "delivered",
            "delivered",
            "refused",
        ]


@pytest.mark.parametrize("name", ["suno", "minimax"])
async def test_words_that_no_vendor_sings(studio: Studio, name: str) -> None:
    """Words that a vendor will not sing end the job at once, with a reason that the person can do something about."""
    async with booth(name) as it, booth("ace_step") as other:
        job, _ = await _song(
            studio, vendor_line(studio, f"{name},ace_step,offline", it, other), "forbiddenword of love"
        )
        assert (job.state, job.error_reason, job.attempt) == (State.FAILED, "CONTENT_REJECTED", 1)
        assert other.stand.calls.total() == 0
        assert await studio.entries() == [20, -20, 100]
        shown = (await studio.jobs().GetJob(job_pb.GetJobRequest(job_id=job.job_id), metadata=studio.metadata())).job
        assert shown.error.code == 40005


async def test_every_attempt_fails(studio: Studio) -> None:
    """After three attempts the job is failed, refunded once and a dead letter; the vendor saw three orders."""
    async with booth("suno") as it:
        it.stand.fail("server", times=100)
        job, _ = await _song(studio, vendor_line(studio, "suno", it))
        assert (job.state, job.error_reason, job.attempt) == (State.FAILED, "GENERATE_PROVIDER_ERROR", 3)
        assert job.dead_time is not None
        assert (job.error_message, job.error_metadata) == ("no maker gave a song: suno 500", {})
        assert it.stand.calls["POST /api/v1/generate"] == 3
        await studio.charge.dispatcher.drain()
        assert await studio.entries() == [20, -20, 100]


async def test_an_operators_error_is_not_knocked_at_again(studio: Studio) -> None:
    """A vendor that waits for an operator is asked once in a job, not at every attempt."""
    async with booth("suno") as it:
        it.stand.fail("credits", times=100)
        job, _ = await _song(studio, vendor_line(studio, "suno", it))
        assert job.state is State.FAILED
        assert it.stand.calls["POST /api/v1/generate"] == 1


async def test_what_an_operator_has_mended_is_asked_again(studio: Studio) -> None:
    """A job that an administrator puts back asks the vendor again that had waited for an operator."""
    async with booth("suno") as it:
        it.stand.fail("credits")
        line = vendor_line(studio, "suno", it)
        job, _ = await _song(studio, line)
        assert (job.state, it.stand.paid) == (State.FAILED, 0)
        boss = tuple(bearer(studio.issuer.token(sub=new_id(), roles=["admin"])))
        request = dead_pb.RequeueJobRequest(request_id="mended", job_id=job.job_id)
        await studio.dead_letters().RequeueJob(request, metadata=boss)
        again = await studio.finish(job.job_id, studio.runner(vendors=line))
        assert (again.state, it.stand.paid) == (State.COMPLETED, 1)
        assert sum(await studio.entries()) == 80


async def test_a_hum_that_no_vendor_follows(studio: Studio) -> None:
    """A hum goes to our own engine when no vendor of the list can follow it, also when the list lacks the engine."""
    async with booth("suno") as it:
        answer = await studio.create(title="Hum", seed=7, duration_s=30)
        job = await studio.finish(answer.job_id, studio.runner(vendors=vendor_line(studio, "suno", it)))
        assert (job.state, (await studio.track(answer.track_id)).provider) == (State.COMPLETED, "band")
        assert it.stand.calls.total() == 0


async def test_a_hum_that_a_vendor_follows(studio: Studio) -> None:
    """A hum goes to the vendor that can follow it, past one that cannot; a tune that was changed goes to the engine."""
    async with booth("suno") as it, booth("ace_step") as other:
        line = vendor_line(studio, "suno,ace_step,offline", it, other)
        answer = await studio.create(title="Hum", seed=7, duration_s=30)
        await studio.finish(answer.job_id, studio.runner(vendors=line))
        track = await studio.track(answer.track_id)
        assert (track.provider, track.analysis.key) == ("ace_step", "D major")
        assert next(iter(other.stand.tasks.values())).take_bytes > 0
        change = pb.TuneChange(transpose_semitones=2)
        changed = await studio.create(title="Hum", seed=7, duration_s=30, tune_change=change)
        await studio.finish(changed.job_id, studio.runner(vendors=line))
        assert (await studio.track(changed.track_id)).provider == "band"


async def test_vendors_and_songs_are_counted(studio: Studio) -> None:
    """A song and a failure move the counters of songs and of calls, and the share that succeeded."""

    def read() -> tuple[float, float, float]:
        value = telemetry.REGISTRY.get_sample_value
        return (
            value("cadenza_songs_total", {"provider": "suno", "outcome": "completed"}) or 0,
            value("cadenza_songs_total", {"provider": "suno", "outcome": "failed"}) or 0,
            value("cadenza_vendor_calls_total", {"vendor": "suno", "operation": "order", "outcome": "200"}) or 0,
        )

    before = read()
    async with booth("suno") as it:
        await _song(studio, vendor_line(studio, "suno", it))
        it.stand.fail("server", times=100)
        await _song(studio, vendor_line(studio, "suno", it))
    assert [now - then for now, then in zip(read(), before, strict=True)] == [1, 1, 4]
    ratio = telemetry.REGISTRY.get_sample_value("cadenza_song_success_ratio")
    assert ratio is not None
    assert 0 < ratio < 1


async def test_the_engines_own_process_judges_a_vendors_song(studio: Studio) -> None:
    """What the worker uses outside of tests appraises and compares alike, in the engine's process."""
    async with booth("suno") as it:
        line = vendor_line(studio, "suno", it)
        line.appraiser = OfflineProvider(soundfont="", ffmpeg="")
        job, track = await _song(studio, line)
        assert (job.state, track.provider, len(track.variants)) == (State.COMPLETED, "suno", 2)
        assert track.cover_url
        assert JPEG[:2] == b"\xff\xd8"
