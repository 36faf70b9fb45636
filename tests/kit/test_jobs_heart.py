"""The heart in its own thread, and what it does about a job that hangs its process."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from services.kit.db.engine import Database
from services.kit.jobs import heart as heart_module
from services.kit.jobs.heart import Rhythm, ThreadHeart, beat
from services.kit.jobs.run import JobRun, Stop
from services.kit.jobs.states import State
from tests.kit.tiny_service import TinyService, on_end, until

LONG_OVER = timedelta(seconds=11)
RHYTHM = Rhythm(timedelta(seconds=6), 0.05)


@asynccontextmanager
async def late_run(tiny: TinyService, tiny_database_url: str, left: list[int]) -> AsyncIterator[JobRun]:
    """Keep a run whose deadline is long over under a heart that notes with which code it would leave the process."""
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    run = JobRun(replace(job, deadline_time=tiny.clock() - LONG_OVER), tiny.queue, tiny.db, on_end)
    heart = ThreadHeart(lambda: Database(tiny_database_url, pool_size=1, max_overflow=1), left.append)
    beating = heart.start(run, tiny.queue, RHYTHM)
    try:
        yield run
    finally:
        beating.cancel()
        await heart.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a loop be called hung after half a second."""
    monkeypatch.setattr(heart_module, "_LOOP_ANSWERS_S", 0.5)


async def test_a_hung_process_is_ended(tiny: TinyService, tiny_database_url: str) -> None:
    """When the event loop of the work does not answer long after the deadline, the process leaves with its own code."""
    left: list[int] = []
    async with late_run(tiny, tiny_database_url, left):
        patience = time.monotonic() + 30
        while not left and time.monotonic() < patience:
            # Nothing of this loop goes on meanwhile: the job has hung its process.
            time.sleep(0.05)  # noqa: ASYNC251
    assert left == [70]


async def test_a_process_that_answers_stays(tiny: TinyService, tiny_database_url: str) -> None:
    """When the loop answers, its own runner ends the late job, and the process goes on."""
    left: list[int] = []
    async with late_run(tiny, tiny_database_url, left) as run:
        seen = time.monotonic() + 1.5

        async def a_while_later() -> bool:
            return time.monotonic() > seen

        await until(a_while_later)
        assert (await tiny.job(run.job.job_id)).state is State.RUNNING
    assert left == []


async def test_a_finished_run_is_no_hung_one(tiny: TinyService, tiny_database_url: str) -> None:
    """A job that has just ended late leaves the process alone, even if its loop is busy at that moment."""
    left: list[int] = []
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    run = JobRun(replace(job, deadline_time=tiny.clock() - LONG_OVER), tiny.queue, tiny.db, on_end)
    run.finished = True
    heart = ThreadHeart(lambda: Database(tiny_database_url, pool_size=1, max_overflow=1), left.append)
    beating = heart.start(run, tiny.queue, RHYTHM)
    time.sleep(1.5)  # noqa: ASYNC251  # as above
    beating.cancel()
    await heart.close()
    assert left == []


class _Closing(Database):
    """A pool that notes what still beats when it is closed."""

    def __init__(self, url: str, beats_left: list[int]) -> None:
        super().__init__(url, pool_size=1, max_overflow=1)
        self._beats_left = beats_left

    async def close(self) -> None:
        """Count the other tasks of the heart, then close."""
        self._beats_left.append(len(asyncio.all_tasks()) - 1)
        await super().close()


async def test_the_heart_beats_in_a_thread_until_it_is_closed(tiny: TinyService, tiny_database_url: str) -> None:
    """The lease moves on from a thread while the loop is busy; closing ends beats, connections and thread."""
    beats_left: list[int] = []
    heart = ThreadHeart(lambda: _Closing(tiny_database_url, beats_left))
    for _ in range(2):
        await tiny.submit()
        job = await tiny.runner().take(tiny.queue_name)
        assert job is not None
        lease = tiny.clock() + RHYTHM.lease
        heart.start(JobRun(job, tiny.queue, tiny.db, on_end), tiny.queue, RHYTHM)
    threads = [thread for thread in threading.enumerate() if thread.name == "heart"]
    # Whatever happens to the heart, it does not keep a process that wants to end.
    assert [thread.daemon for thread in threads] == [True]
    # Close before the deadline of the job the heart still beats.
    moved = tiny.clock.advance(55) + RHYTHM.lease  # type: ignore[attr-defined]
    time.sleep(1.0)  # noqa: ASYNC251  # the loop of the work is busy
    assert job is not None
    assert (await tiny.job(job.job_id)).lease_expire_time == moved > lease
    await heart.close()
    assert beats_left == [0]
    assert not threads[0].is_alive()
    await heart.close()
    assert beats_left == [0]


async def test_a_heart_that_never_beat_can_be_closed() -> None:
    """Closing a heart that was never started opens and closes nothing."""
    opened: list[str] = []

    def refuse() -> Database:
        opened.append("a pool")
        raise AssertionError

    await ThreadHeart(refuse).close()
    assert opened == []


@pytest.mark.parametrize(("over_s", "moves"), [(9.999, True), (10.0, False)])
async def test_the_heart_stops_ten_seconds_after_the_deadline(tiny: TinyService, *, over_s: float, moves: bool) -> None:
    """A moment before its deadline has been over for ten seconds a job's lease is still extended, then no more."""
    await tiny.submit()
    job = await tiny.runner(lease_s=3.0).take(tiny.queue_name)
    assert job is not None
    run = JobRun(replace(job, deadline_time=tiny.clock() - timedelta(seconds=over_s)), tiny.queue, tiny.db, on_end)
    beating = asyncio.create_task(beat(run, tiny.queue, tiny.db, RHYTHM))
    if moves:

        async def moved() -> bool:
            return (await tiny.job(job.job_id)).lease_expire_time == tiny.clock() + RHYTHM.lease

        await until(moved)
        beating.cancel()
    else:
        await asyncio.wait_for(beating, 10)
        assert (await tiny.job(job.job_id)).lease_expire_time == tiny.clock() + timedelta(seconds=3)


async def test_a_beat_that_finds_another_holder_stops_the_run(tiny: TinyService) -> None:
    """When another worker has the job, the heart ends by itself and the run knows that it is in vain."""
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    run = JobRun(job, tiny.queue, tiny.db, on_end)
    tiny.clock.advance(7)  # type: ignore[attr-defined]
    assert await tiny.runner()._acquire(job.job_id) is not None
    await asyncio.wait_for(beat(run, tiny.queue, tiny.db, RHYTHM), 10)
    assert (run.lost, run.stop_reason) == (True, Stop.LOST)


async def test_a_beat_finds_a_cancellation_that_nobody_told(tiny: TinyService) -> None:
    """When no ring came through, the next beat reads from the row that the owner has cancelled, and stops the run."""
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    run = JobRun(job, tiny.queue, tiny.db, on_end)
    async with tiny.db.transaction() as tx:
        await tiny.queue.cancel(tx, job.job_id)
    beating = asyncio.create_task(beat(run, tiny.queue, tiny.db, RHYTHM))
    await until(lambda: asyncio.sleep(0, run.cancelled()))
    beating.cancel()
    assert run.stop_reason is Stop.CANCELLED
