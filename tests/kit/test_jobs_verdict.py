"""What is written of an attempt, however it ended: its outcome, its reason, and whether an administrator must look."""

import asyncio

from services.kit.jobs.runner import JobRun
from services.kit.jobs.states import State
from services.kit.jobs.sweeper import Sweeper
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService


async def outcomes(tiny: TinyService, job_id: str) -> list[tuple[str, str, bool]]:
    """Return of each attempt how it ended, why, and whether its end has a time."""
    async with tiny.db.transaction() as tx:
        found = await tiny.queue.store.attempts(tx, job_id)
    return [(each.outcome, each.error_reason, each.end_time is not None) for each in found]


async def running(tiny: TinyService) -> tuple[str, asyncio.Task[None]]:
    """Return a job whose handler waits for ever, and its run without a heartbeat."""
    begun = asyncio.Event()

    async def waits(_run: JobRun) -> None:
        begun.set()
        await asyncio.Event().wait()

    job = await tiny.submit()
    task = asyncio.create_task(tiny.runner(waits, heartbeat_s=1000).run(job.job_id))
    await begun.wait()
    return job.job_id, task


async def test_a_cancelled_attempt_is_closed_as_cancelled(tiny: TinyService) -> None:
    """An attempt that its owner cancels ends as `cancelled`, with a time and without a reason."""
    job_id, task = await running(tiny)
    await tiny.cancel(job_id)
    await asyncio.wait_for(task, 30)
    assert await outcomes(tiny, job_id) == [("cancelled", "", True)]


async def test_an_attempt_that_is_given_back_is_closed_as_that(tiny: TinyService) -> None:
    """An attempt that its stopping process gives back ends as `given_back`, and the next one is counted anew."""
    started = asyncio.Event()

    async def waits(_run: JobRun) -> None:
        started.set()
        await asyncio.Event().wait()

    job = await tiny.submit()
    runner = tiny.runner(waits, heartbeat_s=1000)
    task = asyncio.create_task(runner.run(job.job_id))
    await started.wait()
    await runner.stop(30)
    await task
    await tiny.runner().run(job.job_id)
    assert await outcomes(tiny, job.job_id) == [("given_back", "", True), ("completed", "", True)]


async def test_a_late_attempt_is_a_dead_letter(tiny: TinyService, clock: SettableClock) -> None:
    """An attempt whose time is used up ends as failed with the deadline's reason, for an administrator to look at."""
    job_id, task = await running(tiny)
    clock.advance(61)
    await Sweeper(tiny.queue, tiny.db).sweep()
    job = await tiny.job(job_id)
    assert (job.state, job.error_reason, job.dead_time) == (State.FAILED, "JOB_DEADLINE_EXCEEDED", clock())
    assert await outcomes(tiny, job_id) == [("failed", "JOB_DEADLINE_EXCEEDED", True)]
    task.cancel()
    await asyncio.wait({task})


async def test_a_lost_job_that_was_cancelled_is_cancelled(tiny: TinyService, clock: SettableClock) -> None:
    """A pointer to a dead worker's job whose owner has cancelled it ends it as cancelled and runs nothing."""
    job = await tiny.submit()
    assert await tiny.runner()._acquire(job.job_id) is not None
    await tiny.cancel(job.job_id)
    clock.advance(7)
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.CANCELLED
    assert await outcomes(tiny, job.job_id) == [("cancelled", "", True)]
    assert await tiny.traced(job.job_id) == []
