"""Leases, steps, retries, cancellation and the end of a job, with the clock in the test's hand."""

import asyncio
from typing import Any

import pytest

from services.kit.errors import Unavailable
from services.kit.jobs.job import Job
from services.kit.jobs.queue import nothing_more
from services.kit.jobs.runner import JobRun, Runner
from services.kit.jobs.states import State
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, until


def no_gaps(events: tuple[Any, ...]) -> bool:
    """Return whether the log counts 1, 2, 3 and so on."""
    return [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_job_runs_to_its_end(tiny: TinyService) -> None:
    """A run job is completed with its result, its product, one outbox message and a log without gaps."""
    job = await tiny.submit()
    await tiny.runner().run(job.job_id)
    done = await tiny.job(job.job_id)
    assert (done.state, done.result, done.progress_percent) == (State.COMPLETED, {"total": 3}, 100)
    assert (done.attempt, done.lease_owner, done.lease_expire_time) == (1, "", None)
    assert await tiny.product(job.job_id) == 3
    assert await tiny.messages(job.job_id) == ["completed"]
    events = await tiny.events(job.job_id)
    assert no_gaps(events)
    assert [event.final for event in events] == [False] * (len(events) - 1) + [True]
    assert [event.progress_percent for event in events] == sorted(event.progress_percent for event in events)


async def test_a_finished_job_is_not_run_again(tiny: TinyService) -> None:
    """A second pointer to a finished job does nothing."""
    job = await tiny.submit()
    runner = tiny.runner()
    await runner.run(job.job_id)
    before = await tiny.job(job.job_id)
    await runner.run(job.job_id)
    assert await tiny.job(job.job_id) == before
    assert await tiny.traced(job.job_id) == ["first", "second begins"]


async def test_an_attempt_that_begins_before_the_last_one_is_put_away(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that comes back to the same process while its failed attempt still winds up is run to its end."""
    told = asyncio.Event()
    wake, waiting = tiny.queue.signals.wake, [told]

    async def slow(job_id: str) -> None:
        if waiting:
            await waiting.pop().wait()
        await wake(job_id)

    monkeypatch.setattr(tiny.queue.signals, "wake", slow)

    async def flaky(run: JobRun) -> None:
        if run.job.attempt == 1:
            raise ConnectionError("the provider hung up")
        told.set()
        await first
        async with run.finish({}):
            pass

    job = await tiny.submit()
    runner = tiny.runner(flaky)
    first = asyncio.create_task(runner.run(job.job_id))

    async def back() -> bool:
        now = await tiny.job(job.job_id)  # read once: between two readings it begins
        return (now.state, now.attempt) == (State.QUEUED, 1)

    await until(back)
    clock.advance(10)
    await runner.run(job.job_id)
    await first
    assert (await tiny.job(job.job_id)).state is State.COMPLETED


async def test_a_job_that_is_not_due_is_left_alone(tiny: TinyService, clock: SettableClock) -> None:
    """A delayed job starts only after its delay."""
    async with tiny.db.transaction() as tx:
        job = await tiny.queue.create(tx, kind="count", user_id="", subject_id="", params={})
        await tiny.queue.enqueue(tx, job.job_id, delay_s=30)
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.QUEUED
    clock.advance(31)
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED


async def test_a_failure_waits_and_keeps_finished_steps(tiny: TinyService, clock: SettableClock) -> None:
    """An attempt that fails in the second step comes back after a pause that doubles, at that step."""
    runs: list[JobRun] = []

    async def flaky(run: JobRun) -> None:
        runs.append(run)

        async def first() -> dict[str, Any]:
            await tiny.trace(run.job.job_id, "first")
            return {"pair": (1, 2)}

        async def second() -> dict[str, Any]:
            await tiny.trace(run.job.job_id, "second")
            if run.job.attempt < 3:
                raise ConnectionError("the provider hung up")
            return {}

        stored = await run.step("first", (0, 50), first)
        assert stored == {"pair": [1, 2]}
        await run.step("second", (50, 100), second)
        async with run.finish({}):
            pass

    job = await tiny.submit()
    runner = tiny.runner(flaky)
    pauses = []
    for _ in range(2):
        await runner.run(job.job_id)
        waiting = await tiny.job(job.job_id)
        assert waiting.state is State.QUEUED
        pauses.append((waiting.run_after - clock()).total_seconds())
        clock.advance(pauses[-1])
    await runner.run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    assert await tiny.traced(job.job_id) == ["first", "second", "second", "second"]
    assert pauses == [pytest.approx(2.0, rel=0.11), pytest.approx(4.0, rel=0.11)]
    assert no_gaps(await tiny.events(job.job_id))


async def test_the_last_attempt_fails_the_job(tiny: TinyService) -> None:
    """After its attempts a job is failed with the reason of a domain error, and its hook has run."""

    async def down(_run: JobRun) -> None:
        raise Unavailable("not now", dependency="provider")

    job = await tiny.submit(kind="once")
    await tiny.runner(down).run(job.job_id)
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason) == (State.FAILED, "SERVICE_UNAVAILABLE")
    assert failed.error_metadata == {"dependency": "provider"}
    assert await tiny.messages(job.job_id) == ["failed"]


async def test_an_unforeseen_error_shows_nothing_of_itself(tiny: TinyService) -> None:
    """The text of an unknown exception stays in the log of the process."""

    async def broken(_run: JobRun) -> None:
        raise KeyError("secret-path")

    job = await tiny.submit(kind="once")
    await tiny.runner(broken).run(job.job_id)
    failed = await tiny.job(job.job_id)
    assert failed.error_reason == "JOB_ATTEMPTS_EXHAUSTED"
    assert "secret" not in repr((failed, await tiny.events(job.job_id)))


async def test_job_failed_is_final_at_the_first_attempt(tiny: TinyService) -> None:
    """A handler that knows it is in vain is not asked again."""
    job = await tiny.submit(fail="TAKE_SILENT")
    await tiny.runner().run(job.job_id)
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason, failed.attempt) == (State.FAILED, "TAKE_SILENT", 1)
    assert failed.error_metadata == {"kind": "count"}


async def test_a_handler_that_forgets_to_finish_is_not_a_success(tiny: TinyService) -> None:
    """Returning without finish() counts as a failed attempt."""

    async def forgetful(_run: JobRun) -> None:
        return

    job = await tiny.submit(kind="once")
    await tiny.runner(forgetful).run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.FAILED


async def test_what_the_end_hook_refuses_is_not_finished(tiny: TinyService) -> None:
    """The end of a job and what its hook writes are one transaction: both or none."""

    async def refuses(_tx: object, job: Job) -> None:
        if job.state is State.COMPLETED:
            raise RuntimeError("no room in the outbox")

    job = await tiny.submit()
    await Runner(tiny.queue, tiny.db, {"count": tiny.count}, on_end=refuses).run(job.job_id)
    back = await tiny.job(job.job_id)
    assert (back.state, back.result) == (State.QUEUED, None)
    assert await tiny.product(job.job_id) is None
    assert await tiny.messages(job.job_id) == []


async def test_progress_never_goes_back_and_is_thinned(tiny: TinyService) -> None:
    """Hundreds of reports in a moment become a few events, and none is lower than the one before."""

    async def chatty(run: JobRun) -> None:
        async def step() -> dict[str, Any]:
            for percent in [*range(90), 20, 10]:
                await run.progress(percent)
            return {}

        await run.step("first", (10, 90), step)
        async with run.finish({}):
            pass

    job = await tiny.submit()
    await Runner(tiny.queue, tiny.db, {"count": chatty}, on_end=nothing_more).run(job.job_id)
    events = await tiny.events(job.job_id)
    assert 6 <= len(events) <= 10
    shown = [event.progress_percent for event in events]
    assert shown == sorted(shown)
    assert shown[-2:] == [90, 100]


async def test_report_works_from_a_thread(tiny: TinyService) -> None:
    """Heavy work in a thread can say how far it is without waiting for the loop."""

    async def heavy(run: JobRun) -> None:
        async def step() -> dict[str, Any]:
            await asyncio.to_thread(run.report, 37, "from a thread")

            async def written() -> bool:
                return run._step_percent == 37

            await until(written)
            return {}

        await run.step("first", (0, 100), step)
        async with run.finish({}):
            pass

    job = await tiny.submit()
    await tiny.runner(heavy).run(job.job_id)
    assert "from a thread" in [event.message for event in await tiny.events(job.job_id)]


async def test_a_result_that_is_no_json_fails_the_attempt(tiny: TinyService) -> None:
    """A step may not store NaN, which a later attempt could not read back."""

    async def wrong(run: JobRun) -> None:
        async def step() -> dict[str, Any]:
            return {"loudness": float("nan")}

        await run.step("first", (0, 100), step)

    job = await tiny.submit(kind="once")
    await tiny.runner(wrong).run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.FAILED


async def test_a_job_that_is_taken_while_the_process_stops_goes_back(tiny: TinyService) -> None:
    """Whoever was told to stop between taking a job and performing it gives it back without beginning it."""
    job = await tiny.submit()
    runner = tiny.runner()
    taken = await runner.take(tiny.queue_name)
    assert taken is not None
    await runner.stop(0.1)
    await runner.perform(taken)
    back = await tiny.job(job.job_id)
    assert (back.state, back.lease_owner) == (State.QUEUED, "")
    assert await tiny.product(job.job_id) is None
