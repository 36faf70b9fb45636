"""Who has a job: leases, heartbeats, and the ways in which a run is ended from outside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from services.kit.crash import Act, AnyAct
from services.kit.db.engine import Database
from services.kit.jobs.errors import JobCancelled, LeaseLost
from services.kit.jobs.heart import LoopHeart, Rhythm, beat
from services.kit.jobs.job import Job
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import JobRun, Runner
from services.kit.jobs.states import State
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, until


def no_gaps(events: tuple[Any, ...]) -> bool:
    """Return whether the log counts 1, 2, 3 and so on."""
    return [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_two_pointers_at_once_run_the_job_once(tiny: TinyService) -> None:
    """Of two workers that get the same pointer at the same moment, one runs the job."""
    job = await tiny.submit()
    await asyncio.gather(*(tiny.runner().run(job.job_id) for _ in range(4)))
    assert await tiny.traced(job.job_id) == ["first", "second begins"]
    assert (await tiny.job(job.job_id)).attempt == 1


async def test_a_worker_that_lost_its_lease_writes_nothing(tiny: TinyService, clock: SettableClock) -> None:
    """A worker that slept through its lease is refused at its next write, whatever it still computes."""
    started, awake = asyncio.Event(), asyncio.Event()
    refused: list[BaseException] = []

    async def sleepy(run: JobRun) -> None:
        async def long() -> dict[str, Any]:
            started.set()
            await awake.wait()
            return {"total": 1000}

        try:
            await run.step("first", (0, 50), long)
        except LeaseLost as error:
            refused.append(error)
            with pytest.raises(LeaseLost):
                await run.progress(99)
            with pytest.raises(LeaseLost):
                async with run.finish({"total": 1000}):
                    pass
            raise

    job = await tiny.submit()
    # No heartbeat during the test: the process is as good as stopped.
    first = asyncio.create_task(tiny.runner(sleepy, heartbeat_s=1000).run(job.job_id))
    await started.wait()
    clock.advance(7)
    await tiny.runner().run(job.job_id)
    done = await tiny.job(job.job_id)
    events = await tiny.events(job.job_id)
    awake.set()
    await first
    assert len(refused) == 1
    assert (done.state, done.result, done.attempt, done.lease_token) == (State.COMPLETED, {"total": 3}, 2, 2)
    assert await tiny.job(job.job_id) == done
    assert await tiny.events(job.job_id) == events
    assert no_gaps(events)
    assert await tiny.messages(job.job_id) == ["completed"]


async def test_a_worker_that_wakes_while_another_runs_is_refused(tiny: TinyService, clock: SettableClock) -> None:
    """The fence is the token and not the state: the late write is refused while the job runs elsewhere."""
    begun = [asyncio.Event(), asyncio.Event()]
    go_on = [asyncio.Event(), asyncio.Event()]

    async def slow(run: JobRun) -> None:
        turn = run.job.attempt - 1

        async def step() -> dict[str, Any]:
            begun[turn].set()
            await go_on[turn].wait()
            return {"turn": turn}

        result = await run.step("first", (0, 50), step)
        async with run.finish(result):
            pass

    job = await tiny.submit()
    first = asyncio.create_task(tiny.runner(slow, heartbeat_s=1000).run(job.job_id))
    await begun[0].wait()
    clock.advance(7)
    second = asyncio.create_task(tiny.runner(slow, heartbeat_s=1000).run(job.job_id))
    await begun[1].wait()
    before = await tiny.job(job.job_id)
    go_on[0].set()
    await first
    assert await tiny.job(job.job_id) == before
    go_on[1].set()
    await second
    done = await tiny.job(job.job_id)
    assert (done.state, done.result) == (State.COMPLETED, {"turn": 1})
    assert no_gaps(await tiny.events(job.job_id))


async def test_the_heartbeat_keeps_the_lease(tiny: TinyService, clock: SettableClock) -> None:
    """While a worker beats, its lease moves on with the clock and nobody can take the job."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def waits(run: JobRun) -> None:
        started.set()
        await go_on.wait()
        await tiny.count(run)

    job = await tiny.submit()
    first = asyncio.create_task(tiny.runner(waits, heartbeat_s=0.02).run(job.job_id))
    await started.wait()
    extended = clock.advance(5) + timedelta(seconds=6)

    async def moved_on() -> bool:
        return (await tiny.job(job.job_id)).lease_expire_time == extended

    await until(moved_on)
    clock.advance(5)
    await tiny.runner().run(job.job_id)
    assert await tiny.traced(job.job_id) == []
    go_on.set()
    await first
    assert (await tiny.job(job.job_id)).attempt == 1


async def test_cancel_stops_a_running_job(tiny: TinyService) -> None:
    """A cancelled job stops at its next step, is cancelled once, and its work is not kept."""
    started = asyncio.Event()
    heard: list[bool] = []

    async def counts_long(run: JobRun) -> None:
        async def step() -> dict[str, Any]:
            started.set()
            await run.stopping.wait()
            heard.append(run.cancelled())
            return {}

        await run.step("first", (0, 50), step)
        heard.append(False)

    job = await tiny.submit()
    running = asyncio.create_task(tiny.runner(counts_long).run(job.job_id))
    await started.wait()
    assert (await tiny.cancel(job.job_id)).state is State.RUNNING
    await running
    cancelled = await tiny.job(job.job_id)
    assert (cancelled.state, cancelled.result) == (State.CANCELLED, None)
    assert heard == [True]
    assert await tiny.messages(job.job_id) == ["cancelled"]
    assert no_gaps(await tiny.events(job.job_id))


async def test_a_cancellation_before_the_end_wins(tiny: TinyService) -> None:
    """A job that was cancelled before finish() commits is not charged as completed."""

    async def cancelled_late(run: JobRun) -> None:
        await tiny.cancel(run.job.job_id)
        with pytest.raises(JobCancelled):
            async with run.finish({}):
                pass
        raise JobCancelled

    job = await tiny.submit()
    await tiny.runner(cancelled_late, heartbeat_s=1000).run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.CANCELLED


async def test_stop_gives_the_job_back(tiny: TinyService) -> None:
    """A process that stops returns its job to the queue at once, at no cost in attempts."""
    started = asyncio.Event()

    async def endless(run: JobRun) -> None:
        started.set()
        await asyncio.sleep(1000)

    job = await tiny.submit()
    runner = tiny.runner(endless)
    running = asyncio.create_task(runner.run(job.job_id))
    await started.wait()
    await runner.stop()
    await running
    back = await tiny.job(job.job_id)
    assert (back.state, back.attempt, back.lease_owner) == (State.QUEUED, 0, "")
    assert back.run_after <= tiny.clock()
    await runner.run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.QUEUED
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED


async def test_the_deadline_ends_a_job_that_hangs(tiny: TinyService, clock: SettableClock) -> None:
    """A job whose time is used up is failed by its own worker with the numbered reason."""

    async def hangs(run: JobRun) -> None:
        await asyncio.sleep(1000)

    job = await tiny.submit()
    runner = tiny.runner(hangs)
    original = runner._acquire

    async def acquire_late(job_id: str) -> Job | None:
        taken = await original(job_id)
        clock.advance(61)
        return taken

    runner._acquire = acquire_late  # type: ignore[method-assign]
    await runner.run(job.job_id)
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason) == (State.FAILED, "JOB_DEADLINE_EXCEEDED")


class _OneBeat(LoopHeart):
    """A heart whose newest beat can be waited for."""

    def start(self, run: JobRun, queue: JobQueue, rhythm: Rhythm) -> asyncio.Task[None]:
        """Begin to beat, and keep the task."""
        self.beating = asyncio.create_task(beat(run, queue, self._db, rhythm))
        return self.beating


class _LateAnswers:
    """Transactions of which the one that ends a job tells its commit only when the heart has found the job ended."""

    def __init__(self, db: Database, heart: _OneBeat) -> None:
        self._db = db
        self._heart = heart

    @asynccontextmanager
    async def transaction(self, act: AnyAct | None = None, /) -> AsyncIterator[Any]:
        """Yield an ordinary transaction."""
        async with self._db.transaction(act) as tx:
            yield tx
        if act is Act.JOB_FINISH:
            await asyncio.wait({self._heart.beating}, timeout=30)
            # Whatever the heart has asked for happens now.
            await asyncio.sleep(0.05)


async def test_a_heartbeat_that_meets_the_end_stops_nothing(
    tiny: TinyService, caplog: pytest.LogCaptureFixture
) -> None:
    """A beat that finds the job completed before its own worker has heard of the commit does not interrupt it."""
    went_on: list[bool] = []

    async def empty(run: JobRun) -> None:
        async with run.finish({}):
            pass
        went_on.append(run.cancelled())

    job = await tiny.submit()
    heart = _OneBeat(tiny.db)
    db = _LateAnswers(tiny.db, heart)
    await Runner(tiny.queue, db, {"count": empty}, heart=heart, heartbeat_s=0.01).run(job.job_id)
    assert heart.beating.done()
    assert went_on == [False]
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    assert "went on after its end" not in caplog.text


async def test_a_lease_found_lost_during_a_refused_end_stops_the_run(tiny: TinyService) -> None:
    """When the end is refused, the loss that the heartbeat found meanwhile ends the handler all the same."""
    stopped: list[bool] = []

    async def stubborn(run: JobRun) -> None:
        async def end() -> None:
            async with run.finish({}):
                run.lose()
                assert not run.cancelled()
                raise RuntimeError("refused")

        with pytest.raises(RuntimeError, match="refused"):
            await end()
        stopped.append(run.cancelled())
        with pytest.raises(LeaseLost):
            await run.progress(50)

    job = await tiny.submit()
    await tiny.runner(stubborn, heartbeat_s=1000).run(job.job_id)
    assert stopped == [True]
    assert (await tiny.job(job.job_id)).state is State.RUNNING
