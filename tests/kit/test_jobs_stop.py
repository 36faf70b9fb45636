"""How an attempt is wound up: what its handler may still do, what is left running, and what nobody may write."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from services.kit.jobs import outbox as outbox_module
from services.kit.jobs import runner as runner_module
from services.kit.jobs.job import Job
from services.kit.jobs.queue import stop_topic
from services.kit.jobs.runner import JobRun
from services.kit.jobs.states import State
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, until


def waiting() -> set[asyncio.Task[Any]]:
    """Return the tasks that wait for an event."""
    return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") == "Event.wait"}


async def started(tiny: TinyService, handler: Callable[[JobRun], Any]) -> tuple[Job, asyncio.Task[None]]:
    """Return a job that runs under the handler, its lease never extended, and the run."""
    begun = asyncio.Event()

    async def begins(run: JobRun) -> None:
        begun.set()
        await handler(run)

    job = await tiny.submit()
    running = asyncio.create_task(tiny.runner(begins, heartbeat_s=1000).run(job.job_id))
    await begun.wait()
    return job, running


async def test_a_cancelled_handler_may_stop_by_itself(tiny: TinyService) -> None:
    """Without any heartbeat a handler that looks whether it is in vain hears of it and ends in its own way."""
    ended: list[str] = []

    async def looks(run: JobRun) -> None:
        try:
            while not run.cancelled():  # noqa: ASYNC110  # as a long computation in steps would
                await asyncio.sleep(0.01)
            ended.append("by itself")
        except asyncio.CancelledError:
            ended.append("interrupted")
            raise

    job, running = await started(tiny, looks)
    await tiny.cancel(job.job_id)
    await asyncio.wait_for(running, 30)
    assert ended == ["by itself"]
    assert (await tiny.job(job.job_id)).state is State.CANCELLED


async def test_a_handler_that_does_not_look_is_interrupted(tiny: TinyService, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that waits for something else is interrupted and has unwound before the end is written."""
    before = waiting()
    unwound: list[State] = []

    async def waits(run: JobRun) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            unwound.append((await tiny.job(run.job.job_id)).state)

    job, running = await started(tiny, waits)
    await tiny.cancel(job.job_id)
    await asyncio.wait_for(running, 30)
    assert unwound == [State.RUNNING]
    assert "does not stop" not in caplog.text
    assert waiting() == before
    assert (await tiny.job(job.job_id)).state is State.CANCELLED


async def test_a_handler_that_will_not_stop_is_left_behind(
    tiny: TinyService, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that swallows its interruption keeps nobody waiting: the end is written, the log names it."""
    monkeypatch.setattr(runner_module, "_UNWIND_S", 0.05)
    free = asyncio.Event()

    async def stubborn(_run: JobRun) -> None:
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue

    job, running = await started(tiny, stubborn)
    await tiny.cancel(job.job_id)
    await asyncio.wait_for(running, 30)
    assert (await tiny.job(job.job_id)).state is State.CANCELLED
    assert f"job {job.job_id} does not stop" in caplog.text
    free.set()


async def test_the_end_of_a_stopped_attempt_is_told(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches is told of the end that the runner writes, and nothing listens for the job any more."""
    told: list[State] = []
    push = tiny.queue.push

    async def noting(job: Job) -> None:
        told.append(job.state)
        await push(job)

    async def waits(_run: JobRun) -> None:
        await asyncio.sleep(1000)

    job, running = await started(tiny, waits)
    async with tiny.db.transaction() as tx:
        asked = await tiny.queue.cancel(tx, job.job_id)
    monkeypatch.setattr(tiny.queue, "push", noting)
    await push(asked)
    await asyncio.wait_for(running, 30)
    assert told == [State.CANCELLED]
    assert not [task for task in asyncio.all_tasks() if task.get_name() == f"cancel {job.job_id}"]


async def test_a_completed_attempt_leaves_nothing_waiting(tiny: TinyService) -> None:
    """When a job has completed no task of its attempt waits for anything any more."""
    before = waiting()
    job = await tiny.submit()
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    await asyncio.sleep(0)
    assert waiting() == before


async def test_a_run_that_is_cut_off_takes_its_handler_along(tiny: TinyService) -> None:
    """When the task that runs a job is cancelled the handler is cancelled too."""
    ended = asyncio.Event()

    async def waits(_run: JobRun) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.set()

    _, running = await started(tiny, waits)
    running.cancel()
    await asyncio.wait({running}, timeout=30)
    await asyncio.wait_for(ended.wait(), 5)
    assert running.cancelled()


async def test_a_failure_after_the_lease_is_nobodys(tiny: TinyService, clock: SettableClock) -> None:
    """What fails after another worker has taken the job over changes nothing of it."""
    go_on = asyncio.Event()

    async def fails(_run: JobRun) -> None:
        await go_on.wait()
        raise ConnectionError("the provider hung up")

    job, running = await started(tiny, fails)
    clock.advance(7)
    assert await tiny.runner()._acquire(job.job_id) is not None
    taken = await tiny.job(job.job_id)
    log = await tiny.events(job.job_id)
    go_on.set()
    await asyncio.wait_for(running, 30)
    assert await tiny.job(job.job_id) == taken
    assert await tiny.events(job.job_id) == log


async def test_a_handler_that_returns_too_soon_is_told_of_in_the_log(
    tiny: TinyService, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that returns without completing its job has failed, and the log says what it did."""

    async def forgets(_run: JobRun) -> None:
        return

    job = await tiny.submit(kind="once")
    await tiny.runner(forgets).run(job.job_id)
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_message) == (State.FAILED, "attempt 1 ended with RuntimeError")
    assert "the handler of once returned without finishing the job" in caplog.text


async def test_a_ring_for_nothing_costs_one_look(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Woken without a cancellation the worker looks at the row once and goes on listening, and hears the real one."""
    looks: list[str] = []
    get = tiny.queue.get

    async def counted(tx: Any, job_id: str) -> Job:
        looks.append(job_id)
        return await get(tx, job_id)

    async def waits(_run: JobRun) -> None:
        await asyncio.sleep(1000)

    job, running = await started(tiny, waits)
    await asyncio.sleep(0.2)
    monkeypatch.setattr(tiny.queue, "get", counted)

    async def looked() -> bool:
        await tiny.queue.signals.wake(stop_topic(job.job_id))
        return bool(looks)

    await until(looked)
    first = len(looks)
    await asyncio.sleep(0.3)
    assert len(looks) <= first + 1
    await tiny.cancel(job.job_id)
    await asyncio.wait_for(running, 30)
    assert (await tiny.job(job.job_id)).state is State.CANCELLED


async def test_the_end_of_an_attempt_closes_it_and_sends_its_messages(
    tiny: TinyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an attempt its run is closed, and the outbox is looked at although its next round is far away."""
    monkeypatch.setattr(outbox_module, "_POLL_S", 1000.0)
    closed: list[str] = []

    async def completes(run: JobRun) -> None:
        close = run.close

        async def noting() -> None:
            closed.append(run.job.job_id)
            await close()

        monkeypatch.setattr(run, "close", noting)
        async with run.finish({}):
            pass

    sending = asyncio.create_task(tiny.dispatcher.run())
    await asyncio.sleep(0.2)
    job = await tiny.submit()
    await tiny.runner(completes).run(job.job_id)

    async def delivered() -> bool:
        return await tiny.delivered() == {job.job_id}

    await until(delivered)
    sending.cancel()
    await asyncio.wait({sending})
    assert closed == [job.job_id]
