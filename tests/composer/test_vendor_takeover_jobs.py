"""Songs of vendors whose job is cancelled, given back or taken over while the vendor works on them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cadenza.composer.v1 import job_service_pb2 as job_pb
from services.composer.domain.vendor import TaskState
from services.kit.jobs.job import Note
from services.kit.jobs.states import State
from tests.composer.studio import until
from tests.composer.vendors import WORDS, booth, orders_of, vendor_line

if TYPE_CHECKING:
    from tests.composer.studio import Studio


async def test_cancelling_a_vendors_song(studio: Studio) -> None:
    """Cancelling ends the job soon, the credits are back, nobody else is asked, and the books know of the order."""
    async with booth("suno", seconds=60.0) as it, booth("minimax") as second:
        line = vendor_line(studio, "suno,minimax,offline", it, second)
        answer = await studio.create_of_words(WORDS, duration_s=30)
        running = asyncio.create_task(studio.runner(vendors=line).run(answer.job_id))
        await until(lambda: it.stand.calls["GET /api/v1/generate/record-info"] > 1)
        await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=answer.job_id), metadata=studio.metadata())
        await asyncio.wait_for(running, 5)
        assert (await studio.job(answer.job_id)).state is State.CANCELLED
        await studio.charge.dispatcher.drain()
        assert await studio.entries() == [20, -20, 100]
        assert await orders_of(studio, answer.job_id) == [("suno", "AB", "stopped")]
        asked = it.stand.calls.total()
        await asyncio.sleep(0.1)
        assert (it.stand.calls.total(), second.stand.calls.total()) == (asked, 0)


async def test_cancelling_the_one_long_call(studio: Studio) -> None:
    """Whoever cancels while MiniMax makes the song has the connection closed."""
    async with booth("minimax", seconds=60.0) as it:
        answer = await studio.create_of_words(WORDS, duration_s=30)
        line = vendor_line(studio, "minimax", it)
        running = asyncio.create_task(studio.runner(vendors=line).run(answer.job_id))
        await until(lambda: it.stand.paid == 2)
        await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=answer.job_id), metadata=studio.metadata())
        await asyncio.wait_for(running, 5)
        assert (await studio.job(answer.job_id)).state is State.CANCELLED
        assert {state for _, _, state in await orders_of(studio, answer.job_id)} == {"stopped"}


async def test_a_task_is_followed_after_its_worker_lost_it(studio: Studio) -> None:
    """The worker that takes a job over goes on asking for the order that was accepted: the vendor sees one order."""
    async with booth("suno", seconds=0.6) as it:
        line = vendor_line(studio, "suno,offline", it)
        answer = await studio.create_of_words(WORDS, duration_s=30)
        running = asyncio.create_task(studio.runner(vendors=line).run(answer.job_id))
        await until(lambda: it.stand.calls["GET /api/v1/generate/record-info"] > 1)
        await studio.steal(answer.job_id)
        await asyncio.wait_for(running, 5)
        assert await orders_of(studio, answer.job_id) == [("suno", "AB", "accepted")]
        await _give_back(studio, answer.job_id)
        job = await studio.finish(answer.job_id, studio.runner(vendors=line))
        assert (job.state, (await studio.track(answer.track_id)).provider) == (State.COMPLETED, "suno")
        assert it.stand.calls["POST /api/v1/generate"] == 1
        assert await studio.entries() == [-20, 100]


async def test_an_order_that_waited_for_us_is_asked_for_before_it_is_late(studio: Studio) -> None:
    """A job that was taken over after the vendor's deadline still gets what the vendor has made meanwhile."""
    async with booth("suno", seconds=0.3) as it:
        line = vendor_line(studio, "suno,offline", it, wait_s=0.8)
        answer = await studio.create_of_words(WORDS, duration_s=30)
        running = asyncio.create_task(studio.runner(vendors=line).run(answer.job_id))
        await until(lambda: it.stand.calls["GET /api/v1/generate/record-info"] >= 1)
        await studio.steal(answer.job_id)
        await asyncio.wait_for(running, 5)
        await asyncio.sleep(0.9)
        await _give_back(studio, answer.job_id)
        job = await studio.finish(answer.job_id, studio.runner(vendors=line))
        assert (job.state, (await studio.track(answer.track_id)).provider) == (State.COMPLETED, "suno")


async def test_a_shutdown_gives_the_task_to_the_next_worker(studio: Studio) -> None:
    """A worker that is told to stop gives the job back without ending the order, and that costs no attempt."""
    async with booth("suno", seconds=0.6) as it:
        line = vendor_line(studio, "suno", it)
        answer = await studio.create_of_words(WORDS, duration_s=30)
        runner = studio.runner(vendors=line)
        running = asyncio.create_task(runner.run(answer.job_id))
        await until(lambda: it.stand.calls["GET /api/v1/generate/record-info"] > 1)
        await runner.stop()
        await running
        assert await orders_of(studio, answer.job_id) == [("suno", "AB", TaskState.ACCEPTED.value)]
        job = await studio.finish(answer.job_id, studio.runner(vendors=line))
        assert (job.state, job.attempt, it.stand.paid) == (State.COMPLETED, 1, 1)


async def _give_back(studio: Studio, job_id: str) -> None:
    """Put a job back whose worker is gone, as a sweeper does."""
    async with studio.db.transaction() as tx:
        job = await studio.queue.rows.lock(tx, job_id)
        await studio.queue.requeue(tx, job, Note("its worker is gone"))
