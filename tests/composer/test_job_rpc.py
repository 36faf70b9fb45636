"""The job service as an owner sees it: read, list, watch, cancel."""

import asyncio
from collections.abc import AsyncIterable

import grpc.aio
import pytest

from cadenza.composer.v1 import job_service_pb2 as pb
from cadenza.composer.v1 import track_service_pb2 as track_pb
from cadenza.job.v1 import job_pb2
from services.composer.domain.errors import ProviderFailed
from services.composer.rpc.messages import job_message
from services.kit.db.paging import encode_token
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio, until


async def watched(studio: Studio, job_id: str, after: int = 0) -> list[pb.WatchJobResponse]:
    """Return everything that a watcher gets."""
    request = pb.WatchJobRequest(job_id=job_id, after_sequence=after)
    return [each async for each in studio.jobs().WatchJob(request, metadata=studio.metadata(), timeout=30)]


async def paged(studio: Studio, job_id: str, *, page_size: int) -> list[job_pb2.JobEvent]:
    """Return the whole log, page by page."""
    events: list[job_pb2.JobEvent] = []
    token = ""
    while True:
        request = pb.ListJobEventsRequest(job_id=job_id, page_size=page_size, page_token=token)
        page = await studio.jobs().ListJobEvents(request, metadata=studio.metadata())
        assert len(page.events) <= page_size
        events += page.events
        token = page.next_page_token
        if not token:
            return events


async def test_watching_from_the_start(studio: Studio) -> None:
    """A watcher gets the whole job first, then every event without a gap as it happens, and with the last the job."""
    made = await studio.create()
    watching = asyncio.create_task(watched(studio, made.job_id))
    await asyncio.sleep(0.05)
    await studio.finish(made.job_id)
    seen = await watching

    first, *later = seen
    assert first.sequence == 0
    assert first.job.job_id == made.job_id
    assert not first.HasField("event")
    assert [each.sequence for each in later] == list(range(1, len(later) + 1))
    assert [each.event.sequence for each in later] == [each.sequence for each in later]
    assert [each.event.final for each in later] == [False] * (len(later) - 1) + [True]
    assert [each.HasField("job") for each in later] == [False] * (len(later) - 1) + [True]
    assert later[-1].job.state == job_pb2.JOB_STATE_COMPLETED
    assert later[-1].job.progress_percent == 100
    assert later[-1].job.sequence == later[-1].sequence


async def test_going_on_where_one_stopped(studio: Studio) -> None:
    """A watcher that comes back with its last sequence gets a snapshot under it and only what follows."""
    made = await studio.create()
    await studio.finish(made.job_id)
    whole = await watched(studio, made.job_id)
    last = whole[-1].sequence
    for after in (1, 4, last - 1):
        again = await watched(studio, made.job_id, after)
        assert again[0].sequence == after
        assert again[1:] == whole[after + 1 :]
    ended = await watched(studio, made.job_id, last)
    assert [(each.sequence, each.job.state) for each in ended] == [(last, job_pb2.JOB_STATE_COMPLETED)]


async def test_watching_behind_the_end(studio: Studio) -> None:
    """A sequence that the log has not reached is refused with its field."""
    made = await studio.create()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await watched(studio, made.job_id, 1000)
    assert [each.field for each in from_rpc(refused.value).violations] == ["after_sequence"]


async def test_a_watcher_that_leaves(studio: Studio) -> None:
    """Watchers that go away before the end leave no listener behind."""
    made = await studio.create()
    call = studio.jobs().WatchJob(pb.WatchJobRequest(job_id=made.job_id), metadata=studio.metadata())
    assert (await anext(aiter(call))).job.job_id == made.job_id
    call.cancel()

    async def nobody_listens() -> bool:
        channels = await studio.redis.pubsub_channels(f"job:{made.job_id}")
        return not channels

    await until(nobody_listens, within_s=10)


async def test_polling_reads_the_same_log(studio: Studio) -> None:
    """The log in pages equals what a watcher saw, and its last page says that there is no more."""
    made = await studio.create()
    await studio.finish(made.job_id)
    events = [each.event for each in (await watched(studio, made.job_id))[1:]]
    assert await paged(studio, made.job_id, page_size=3) == events
    assert await paged(studio, made.job_id, page_size=len(events)) == events
    request = pb.ListJobEventsRequest(job_id=made.job_id, after_sequence=5)
    answer = await studio.jobs().ListJobEvents(request, metadata=studio.metadata())
    assert list(answer.events) == events[5:]
    assert answer.job.state == job_pb2.JOB_STATE_COMPLETED


@pytest.mark.parametrize("token", ["x", encode_token("text"), encode_token(1, 2), encode_token(-1)])
async def test_a_token_that_is_not_ours(studio: Studio, token: str) -> None:
    """A token of another form is refused with its field."""
    made = await studio.create()
    request = pb.ListJobEventsRequest(job_id=made.job_id, page_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.jobs().ListJobEvents(request, metadata=studio.metadata())
    assert [each.field for each in from_rpc(refused.value).violations] == ["page_token"]


async def test_paging_through_jobs(studio: Studio) -> None:
    """Pages hold every job of the person once, the newest first, and nobody else's."""
    asset_id = await studio.asset()
    made = [(await studio.create(asset_id)).job_id for _ in range(3)]
    first = await studio.jobs().ListJobs(pb.ListJobsRequest(page_size=2), metadata=studio.metadata())
    second = await studio.jobs().ListJobs(
        pb.ListJobsRequest(page_size=2, page_token=first.next_page_token), metadata=studio.metadata()
    )
    assert [each.job_id for each in (*first.jobs, *second.jobs)] == made[::-1]
    assert not second.next_page_token
    await studio.new_user()
    assert not (await studio.jobs().ListJobs(pb.ListJobsRequest(), metadata=studio.metadata())).jobs


async def test_other_peoples_jobs_are_not_there(studio: Studio) -> None:
    """Every method answers NOT_FOUND for another person's job, as for none."""
    made = await studio.create()
    await studio.new_user()
    jobs, me = studio.jobs(), studio.metadata()
    for job_id in (made.job_id, new_id()):
        for call in (
            jobs.GetJob(pb.GetJobRequest(job_id=job_id), metadata=me),
            jobs.ListJobEvents(pb.ListJobEventsRequest(job_id=job_id), metadata=me),
            jobs.CancelJob(pb.CancelJobRequest(job_id=job_id), metadata=me),
            _drained(jobs.WatchJob(pb.WatchJobRequest(job_id=job_id), metadata=me)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert from_rpc(refused.value).reason == "NOT_FOUND"


async def _drained(call: AsyncIterable[pb.WatchJobResponse]) -> list[pb.WatchJobResponse]:
    return [each async for each in call]


async def test_cancelling_a_waiting_song(studio: Studio) -> None:
    """A waiting job is cancelled at once, also for its watchers; a repeat is answered alike and paid back once."""
    made = await studio.create()
    watching = asyncio.create_task(watched(studio, made.job_id))
    request = pb.CancelJobRequest(job_id=made.job_id)
    first = await studio.jobs().CancelJob(request, metadata=studio.metadata())
    second = await studio.jobs().CancelJob(request, metadata=studio.metadata())
    assert first == second
    assert first.job.state == job_pb2.JOB_STATE_CANCELLED
    assert (await watching)[-1].job.state == job_pb2.JOB_STATE_CANCELLED
    assert (await studio.track(made.track_id)).state == track_pb.Track.STATE_CANCELLED
    await studio.finish(made.job_id)
    assert studio.band.asked.total() == 0
    assert await studio.entries() == [20, -20, 100]


async def test_cancelling_too_late(studio: Studio) -> None:
    """A song that is made cannot be cancelled, nor one that failed, and nothing is paid back twice."""
    made = await studio.create()
    await studio.finish(made.job_id)
    studio.band.always["check"] = ProviderFailed("no")
    failed = await studio.create()
    await studio.finish(failed.job_id)
    for job_id in (made.job_id, failed.job_id):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await studio.jobs().CancelJob(pb.CancelJobRequest(job_id=job_id), metadata=studio.metadata())
        assert from_rpc(refused.value).reason == "JOB_NOT_CANCELLABLE"
    assert await studio.balance() == (80, 0)


async def test_a_reason_of_tomorrow(studio: Studio) -> None:
    """A job that failed for a reason this version does not know can still be read."""
    made = await studio.create()
    async with studio.db.transaction() as tx:
        job = await studio.queue.fail(tx, made.job_id, "MOON_IN_THE_WRONG_HOUSE", "as it says")
    shown = job_message(job)
    assert (shown.error.code, shown.error.reason, shown.error.message) == (10000, "UNKNOWN_ERROR", "as it says")
