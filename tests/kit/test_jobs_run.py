"""One attempt as its handler meets it: the lines of its log, whom it wakes, and where it notices that it is in vain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.crash import AnyAct
from services.kit.jobs.errors import JobCancelled, LeaseLost
from services.kit.jobs.job import Job
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.run import Stop
from services.kit.jobs.runner import JobRun, Runner
from services.kit.jobs.states import State
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, on_end, store


async def nothing() -> dict[str, Any]:
    """Be a step that has nothing to do."""
    return {}


async def test_the_log_names_every_begin_and_every_end(tiny: TinyService) -> None:
    """A step leaves a line when it begins and one when it is finished, between those of the attempt and of the end."""

    async def steps(run: JobRun) -> None:
        async def draw() -> dict[str, Any]:
            await run.progress(1)
            return {}

        await run.step("draw", (0, 60), draw)
        await run.step("colour", (60, 100), nothing)
        async with run.finish({}):
            pass

    job = await tiny.submit()
    await tiny.runner(steps, heartbeat_s=1000).run(job.job_id)
    told = [
        (event.step, event.message, event.step_progress_percent, event.progress_percent)
        for event in await tiny.events(job.job_id)
    ]
    assert told == [
        ("", "created", 0, 0),
        ("", "queued", 0, 0),
        ("", "attempt 1", 0, 0),
        ("draw", "started", 0, 0),
        ("draw", "", 1, 0),
        ("draw", "finished", 100, 60),
        ("colour", "started", 0, 60),
        ("colour", "finished", 100, 100),
        ("colour", "completed", 100, 100),
    ]


@pytest.mark.parametrize(("said", "written"), [(-5, []), (0, []), (1, [1]), (99, [99]), (100, [100]), (150, [100])])
async def test_progress_lies_between_nothing_and_all(tiny: TinyService, said: int, written: list[int]) -> None:
    """What a handler says of a step is written between 1 and 100 percent, and nothing is written for no progress."""

    async def says(run: JobRun) -> None:
        async def work() -> dict[str, Any]:
            await run.progress(said, "so far")
            return {}

        await run.step("draw", (0, 60), work)
        async with run.finish({}):
            pass

    job = await tiny.submit()
    await tiny.runner(says, heartbeat_s=1000).run(job.job_id)
    told = [event.step_progress_percent for event in await tiny.events(job.job_id) if event.message == "so far"]
    assert told == written


class _Away:
    """A database that cannot be reached."""

    def __init__(self) -> None:
        self.asked = 0

    @asynccontextmanager
    async def transaction(self, _act: AnyAct | None = None, /) -> AsyncIterator[Any]:
        """Refuse the connection."""
        self.asked += 1
        raise ConnectionRefusedError
        yield


async def test_progress_does_not_wait_for_a_database_that_is_away(tiny: TinyService) -> None:
    """While the database cannot be reached progress is given up in silence; a lost lease is told."""
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    away = _Away()
    await JobRun(job, tiny.queue, away, on_end).progress(50)
    assert away.asked == 1
    stale = JobRun(replace(job, lease_token=job.lease_token + 1), tiny.queue, tiny.db, on_end)
    before = await tiny.events(job.job_id)
    with pytest.raises(LeaseLost):
        await stale.progress(50)
    assert await tiny.events(job.job_id) == before


class _Stuck:
    """A database that takes a connection and never answers."""

    def __init__(self) -> None:
        self.asked = 0

    @asynccontextmanager
    async def transaction(self, _act: AnyAct | None = None, /) -> AsyncIterator[Any]:
        """Wait for ever."""
        self.asked += 1
        await asyncio.Event().wait()
        yield


async def test_reports_do_not_pile_up_and_end_with_the_run(tiny: TinyService) -> None:
    """While a report is being written others are dropped, and the end of the run does not wait for it."""
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    stuck = _Stuck()
    run = JobRun(job, tiny.queue, stuck, on_end)
    for percent in (10, 20, 30):
        run.report(percent)
        await asyncio.sleep(0.01)
    assert stuck.asked == 1
    writing = run._report_task
    async with asyncio.timeout(10):
        await run.close()
    # Not a moment later: whoever closes a run goes on to take its connections away.
    assert writing is not None
    assert writing.done()
    run.stop(Stop.CANCELLED)
    run.report(40)
    await asyncio.sleep(0.01)
    assert stuck.asked == 1


async def test_watchers_are_woken_by_each_line(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches is woken after a step's begin, after progress, after the step's end and after the job's end."""
    woken: list[str] = []

    async def wake(topic: str) -> None:
        woken.append(topic)

    monkeypatch.setattr(tiny.queue.signals, "wake", wake)
    counts: list[int] = []

    async def steps(run: JobRun) -> None:
        async def work() -> dict[str, Any]:
            counts.append(len(woken))
            await run.progress(50)
            counts.append(len(woken))
            return {}

        await run.step("draw", (0, 60), work)
        counts.append(len(woken))
        async with run.finish({}):
            pass
        counts.append(len(woken))

    job = await tiny.submit()
    await tiny.runner(steps, heartbeat_s=1000).run(job.job_id)
    assert [later - earlier for earlier, later in pairwise(counts)] == [1, 1, 1]
    assert counts[0] == 2
    assert set(woken) == {job.job_id}


@pytest.mark.parametrize(("why", "raised"), [(Stop.SHUTDOWN, JobCancelled), (Stop.LOST, LeaseLost)])
async def test_an_attempt_that_is_to_stop_begins_nothing(tiny: TinyService, why: Stop, raised: type[Exception]) -> None:
    """Told to stop, an attempt begins no step, writes no progress, asks no vendor and does not complete."""
    done: list[str] = []

    async def work() -> dict[str, Any]:
        done.append("work")
        return {}

    async def ask(request_id: str) -> str:
        done.append("vendor")
        return request_id

    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    run = JobRun(job, tiny.queue, tiny.db, on_end)
    run.stop(why)
    before = await tiny.events(job.job_id)
    with pytest.raises(raised):
        await run.step("draw", (0, 60), work)
    with pytest.raises(raised):
        await run.progress(50)
    with pytest.raises(raised):
        await run.order("song", ask, ask)
    with pytest.raises(raised):
        async with run.finish({}):
            done.append("end")
    assert done == []
    assert await tiny.events(job.job_id) == before
    async with tiny.db.transaction() as tx:
        # The intention to order would be there already.
        order = await store.put_order(tx, job.job_id, "song", request_id=job.job_id, at=tiny.clock())
    assert order.request_id == job.job_id


async def test_who_must_stop_while_the_vendor_looks_buys_nothing(tiny: TinyService, clock: SettableClock) -> None:
    """Told to stop while the vendor looks for an earlier order, an attempt buys nothing."""
    bought: list[str] = []

    async def submit(request_id: str) -> str:
        bought.append(request_id)
        if len(bought) == 1:
            raise ConnectionError("the vendor hung up")
        return request_id

    async def buys(run: JobRun) -> None:
        async def find(_request_id: str) -> str:
            run.stop(Stop.SHUTDOWN)
            return ""

        await run.order("song", find, submit)

    job = await tiny.submit()
    runner = tiny.runner(buys, heartbeat_s=1000)
    await runner.run(job.job_id)
    clock.advance(10)
    await runner.run(job.job_id)
    assert len(bought) == 1
    assert (await tiny.job(job.job_id)).state is State.QUEUED


async def test_a_refused_end_leaves_the_attempt_as_it_was(tiny: TinyService) -> None:
    """After an end that did not commit, the loss of the lease ends the handler as before."""
    heard: list[bool] = []

    async def refused(run: JobRun) -> None:
        with pytest.raises(RuntimeError):
            async with run.finish({}):
                raise RuntimeError("refused")
        heard.append(run.cancelled())
        run.lose()
        heard.append(run.cancelled())
        raise LeaseLost("as was told")

    job = await tiny.submit()
    await tiny.runner(refused, heartbeat_s=1000).run(job.job_id)
    assert heard == [False, True]


async def test_a_job_begins_once(tiny: TinyService, clock: SettableClock) -> None:
    """What belongs to the begin of a job is written when it is taken for the first time, and not at a later attempt."""
    begun: list[tuple[str, int, State]] = []

    async def on_start(_tx: AsyncConnection, job: Job) -> None:
        begun.append((job.job_id, job.attempt, job.state))

    queue = JobQueue(store, tiny.queue.policies, tiny.queue.signals, clock, on_end=tiny.queue.on_end, on_start=on_start)

    async def flaky(run: JobRun) -> None:
        if run.job.attempt < 3:
            raise ConnectionError("not yet")
        async with run.finish({}):
            pass

    job = await tiny.submit()
    runner = Runner(queue, tiny.db, {"count": flaky}, heartbeat_s=1000)
    for _ in range(3):
        await runner.run(job.job_id)
        clock.advance(10)
    assert begun == [(job.job_id, 1, State.RUNNING)]
    assert (await tiny.job(job.job_id)).state is State.COMPLETED


async def test_a_lease_is_held_to_its_last_moment(tiny: TinyService, clock: SettableClock) -> None:
    """A job whose lease ends at this very moment is not taken; a moment later it is."""
    await tiny.submit()
    job = await tiny.runner(lease_s=6.0).take(tiny.queue_name)
    assert job is not None
    clock.advance(6.0)
    await tiny.runner().run(job.job_id)
    assert await tiny.traced(job.job_id) == []
    clock.advance(0.001)
    await tiny.runner().run(job.job_id)
    assert await tiny.traced(job.job_id) == ["first", "second begins"]


@pytest.mark.parametrize(("early_s", "taken"), [(1.0, True), (1.001, False), (1.5, False)])
async def test_clocks_may_differ_by_a_second(
    tiny: TinyService, clock: SettableClock, *, early_s: float, taken: bool
) -> None:
    """A job that another machine's clock calls due is taken up to a second early and not earlier."""
    async with tiny.db.transaction() as tx:
        job = await tiny.queue.create(tx, kind="count", user_id="", subject_id="", params={})
        await tiny.queue.enqueue(tx, job.job_id, delay_s=30)
    clock.advance(30 - early_s)
    assert (await tiny.runner()._acquire(job.job_id) is not None) is taken


async def test_a_worker_that_stops_takes_nothing_more(tiny: TinyService) -> None:
    """Once told to stop a worker takes no job, neither by its turn nor by a pointer."""
    job = await tiny.submit()
    runner = tiny.runner()
    await runner.stop()
    assert await runner.take(tiny.queue_name) is None
    await runner.run(job.job_id)
    left = await tiny.job(job.job_id)
    assert (left.state, left.attempt) == (State.QUEUED, 0)


async def test_stopping_ends_when_the_job_is_given_back(tiny: TinyService) -> None:
    """When `stop` returns, the row of the job that was running says that another worker may have it."""
    started = asyncio.Event()

    async def endless(_run: JobRun) -> None:
        started.set()
        await asyncio.Event().wait()

    job = await tiny.submit()
    runner = tiny.runner(endless)
    running = asyncio.create_task(runner.run(job.job_id))
    await started.wait()
    async with asyncio.timeout(10):
        await runner.stop(1000)
    assert (await tiny.job(job.job_id)).state is State.QUEUED
    await running


async def test_a_queue_without_limits_holds_nothing_back(tiny: TinyService) -> None:
    """Only a kind that has all it may have holds jobs back; one without a limit never does."""
    await tiny.submit()
    runner = tiny.runner()
    assert await runner.holds_back(tiny.queue_name) is False
    for _ in range(3):
        await tiny.submit(kind="few")
    few = f"{tiny.queue_name}-few"
    assert await runner.holds_back(few) is False
    for _ in range(2):
        assert await runner.take(few) is not None
    assert await runner.holds_back(few) is True


async def test_reading_a_job_keeps_nobody_from_changing_it(tiny: TinyService) -> None:
    """While one transaction has read a job another one locks it without waiting."""
    job = await tiny.submit()
    async with tiny.db.transaction() as reading:
        await tiny.queue.rows.read(reading, job.job_id)
        async with asyncio.timeout(10), tiny.db.transaction() as writing:
            assert (await tiny.queue.rows.lock(writing, job.job_id)).job_id == job.job_id


@pytest.mark.parametrize("token", [1, 7])
async def test_a_refused_writer_learns_its_token(tiny: TinyService, token: int) -> None:
    """Who writes under a lease that is not the newest is told the job and the token it named."""
    job = await tiny.submit()
    with pytest.raises(LeaseLost) as caught:
        async with tiny.db.transaction() as tx:
            await tiny.queue.rows.change(tx, job.job_id, tiny.clock(), note=None, token=token)
    assert caught.value.metadata == {"job_id": job.job_id, "lease_token": str(token)}
