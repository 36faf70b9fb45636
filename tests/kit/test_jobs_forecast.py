"""Where a waiting job stands and when it will start."""

import asyncio
import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.clock import now
from services.kit.jobs.forecast import Pace, Ran, pace_of, wait_s
from services.kit.jobs.run import JobRun
from services.kit.jobs.states import State
from services.kit.jobs.watch import watch
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, until

TOOK_S = 10.0
PLACES = 3
JOBS = 60


def pace(places: int, seconds: float = 10.0, gap_s: float = 0.0) -> Pace:
    """Return the pace of a queue of one kind of job."""
    return Pace({"count": seconds}, gap_s, places)


def test_nobody_knows_without_a_running_job() -> None:
    """With nothing running, or before any job was completed, there is no expected start."""
    assert wait_s({"count": 3}, [], pace(1)) is None
    assert wait_s({}, [("count", 1.0)], Pace({}, 0.0, 1)) is None


@pytest.mark.parametrize(
    ("ahead", "spent", "places", "expected"),
    [
        (0, [4.0], 1, 6.0),
        (1, [4.0], 1, 16.0),
        (3, [4.0, 8.0], 2, 16.0),
        (0, [30.0], 1, 5.0),
        (1, [4.0], 2, 6.0),
        (20_001, [0.0, 5.0], 2, 100_010.0),
    ],
)
def test_the_wait_is_that_of_the_places(ahead: int, spent: list[float], places: int, expected: float) -> None:
    """A job starts when the places have finished what runs and taken what stands before it."""
    assert wait_s({"count": ahead}, [("count", each) for each in spent], pace(places)) == pytest.approx(expected)


@given(st.integers(0, 300), st.integers(1, 20), st.floats(0, 1), st.randoms(use_true_random=False))
def test_equal_jobs_are_forecast_like_played_through(
    ahead: int, places: int, gap_s: float, chance: random.Random
) -> None:
    """For jobs that all take the same time the forecast is the moment at which they are through one by one."""
    spent = [chance.random() * 4 for _ in range(places)]
    free = sorted(5 - each for each in spent)
    for _ in range(ahead):
        free.append(free.pop(0) + 5 + gap_s)
    found = wait_s({"count": ahead}, [("count", each) for each in spent], pace(places, 5.0, gap_s))
    assert found == pytest.approx(free[0] + gap_s)


def test_the_pace_is_read_off_the_newest_jobs() -> None:
    """Two places with jobs of ten seconds and one second between them are recognised, a pause without work is not."""
    at = now()

    def ran(created_s: float, start_s: float) -> Ran:
        begun = at + timedelta(seconds=start_s)
        return Ran("count", at + timedelta(seconds=created_s), begun, begun + timedelta(seconds=10))

    runs = [ran(0, 0), ran(0, 5), ran(0, 11), ran(0, 16), ran(90, 100)]
    assert pace_of(runs, []) == Pace({"count": 10.0}, 1.0, 2)
    assert pace_of([], [at, at, at]).places == 3


async def test_the_expected_start_is_right_on_a_steady_load(tiny: TinyService, clock: SettableClock) -> None:
    """Of sixty jobs in three places no expected wait of a job's length or more is wrong by a fifth."""
    done: dict[str, asyncio.Event] = {}
    chance = random.Random(11)

    async def handler(run: JobRun) -> None:
        await done[run.job.job_id].wait()
        async with run.finish({}):
            pass

    runner = tiny.runner(handler, lease_s=3600.0)
    jobs = [await tiny.submit() for _ in range(JOBS)]
    started: dict[str, datetime] = {}
    running: list[tuple[datetime, str, asyncio.Task[None]]] = []

    async def begin() -> None:
        if job := await runner.take(tiny.queue_name):
            done[job.job_id] = asyncio.Event()
            started[job.job_id] = clock()
            # Jobs of one kind take about the same time, as a song or a lyric does.
            ends = clock() + timedelta(seconds=TOOK_S * chance.uniform(0.85, 1.15))
            running.append((ends, job.job_id, asyncio.create_task(runner.perform(job))))

    async def end_one() -> None:
        """Go to the end of the job that ends first; its place takes the next one a little later."""
        running.sort(key=lambda each: each[0])
        at, job_id, task = running.pop(0)
        clock.at = at
        done[job_id].set()
        await task
        clock.advance(chance.uniform(0.0, 0.2))
        await begin()

    for _ in range(PLACES):
        await begin()
    while len(started) <= 2 * PLACES:
        await end_one()
    told: dict[str, datetime] = {}
    asked = clock()
    async with tiny.db.transaction() as tx:
        for job in jobs[3 * PLACES :]:
            stands = await tiny.queue.line.place(tx, await tiny.queue.get(tx, job.job_id))
            if stands and stands.expected_start_time:
                told[job.job_id] = stands.expected_start_time
    while running:
        await end_one()
    waited = {job_id: started[job_id] - asked for job_id in told}
    long = [job_id for job_id in told if waited[job_id] >= timedelta(seconds=TOOK_S)]
    errors = [abs(told[job_id] - started[job_id]) / waited[job_id] for job_id in long]
    assert len(errors) > JOBS // 2
    assert max(errors) < 0.2


async def test_a_watcher_hears_that_its_job_moves_up(tiny: TinyService) -> None:
    """A waiting job's watcher is told its new place under the same sequence, and then the events."""
    tiny.clock = tiny.queue.clock = tiny.queue.line._clock = now
    first, second = await tiny.submit(), await tiny.submit()
    heard: list[tuple[int, int]] = []

    async def look() -> None:
        async for job, event in watch(tiny.queue, tiny.db, second.job_id, second.last_sequence):
            heard.append((event.sequence, event.place.position if event.place else 0))
            assert (job is not None) == (event.sequence == second.last_sequence)

    looking = asyncio.create_task(look())
    await until(lambda: _heard(heard, 1))
    await tiny.runner().run(first.job_id)
    await until(lambda: _heard(heard, 2))
    await tiny.runner().run(second.job_id)
    async with asyncio.timeout(30):
        await looking
    assert heard[:2] == [(2, 2), (2, 1)]
    assert [sequence for sequence, _ in heard[2:]] == list(range(3, 3 + len(heard) - 2))


async def _heard(heard: list[tuple[int, int]], count: int) -> bool:
    await asyncio.sleep(0)
    return len(heard) >= count


async def test_only_a_waiting_job_has_a_place(tiny: TinyService, clock: SettableClock) -> None:
    """Pending and queued jobs have a place, a running and an ended one have none."""
    job = await tiny.submit()
    runner = tiny.runner()

    async def position() -> int:
        async with tiny.db.transaction() as tx:
            found = await tiny.queue.line.placed(tx, await tiny.queue.get(tx, job.job_id))
        return found.place.position if found.place else 0

    assert await position() == 1
    taken = await runner.take(tiny.queue_name)
    assert taken is not None
    assert await position() == 0
    await runner.perform(taken)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    assert await position() == 0
