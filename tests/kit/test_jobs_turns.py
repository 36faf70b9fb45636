"""Who runs next: fair between people, higher levels first, nobody for ever, never more than a limit allows."""

import asyncio
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, text

from services.kit.clock import now
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.kit.jobs.run import JobRun
from services.kit.jobs.states import State
from services.kit.jobs.turns import Level, Turns
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, tables

MANY = 20_000


async def order(tiny: TinyService, queue_name: str = "") -> list[str]:
    """Return the ids of all due jobs in the order in which one worker takes them."""
    runner, found = tiny.runner(), []
    while job := await runner.take(queue_name or tiny.queue_name):
        found.append(job.job_id)
    return found


async def test_a_hundred_jobs_of_one_delay_nobodys_first(tiny: TinyService, clock: SettableClock) -> None:
    """Somebody who comes after a person with a hundred waiting jobs is served after one of them."""
    heavy = new_id()
    hundred = [(await tiny.submit(user_id=heavy)).job_id for _ in range(100)]
    clock.advance(5)
    late = [(await tiny.submit()).job_id for _ in range(3)]
    assert await order(tiny) == [hundred[0], *late, *hundred[1:]]


async def test_a_premium_job_overtakes_waiting_free_ones(tiny: TinyService, clock: SettableClock) -> None:
    """A job of a paying person goes before free jobs that came earlier, premium before basic."""
    free = [(await tiny.submit()).job_id for _ in range(5)]
    clock.advance(60)
    basic = (await tiny.submit(level=Level.BASIC)).job_id
    premium = (await tiny.submit(level=Level.PREMIUM)).job_id
    assert await order(tiny) == [premium, basic, *free]


async def test_waiting_alone_moves_a_job_forward(tiny: TinyService, clock: SettableClock) -> None:
    """A free job that has waited longer than the head start stands before a premium one that comes now."""
    old = (await tiny.submit()).job_id
    clock.advance(901)
    premium = (await tiny.submit(level=Level.PREMIUM)).job_id
    assert await order(tiny) == [old, premium]


@given(
    st.sampled_from(Level),
    st.integers(min_value=0, max_value=10_000),
    st.sampled_from(Level),
    st.integers(min_value=0, max_value=10_000),
)
def test_nobody_is_overtaken_for_ever(mine: Level, my_jobs: int, other: Level, other_jobs: int) -> None:
    """Whatever two people pay and have, a job made late enough stands behind one that waits."""
    turns, at = Turns(), now()
    waits = turns.turn_time(at, mine, my_jobs)
    bound = timedelta(seconds=turns.distance_s * 1000 + turns.premium_ahead_s)
    assert turns.turn_time(at + bound + timedelta(seconds=1), other, other_jobs) > waits


async def test_many_workers_take_every_job_once_and_in_order(tiny: TinyService) -> None:
    """Eight workers that take at the same time share out a hundred jobs, the first ones first."""
    submitted = [(await tiny.submit()).job_id for _ in range(100)]
    taken: list[str] = []

    async def worker() -> None:
        runner = tiny.runner()
        while job := await runner.take(tiny.queue_name):
            taken.append(job.job_id)

    await asyncio.gather(*(worker() for _ in range(8)))
    assert sorted(taken) == sorted(submitted)
    # Only those that are being taken at this moment can be passed.
    assert all(abs(taken.index(each) - place) <= 16 for place, each in enumerate(submitted))


async def test_a_kind_runs_only_so_many_at_once(tiny: TinyService) -> None:
    """Of twelve jobs of a kind that may run twice at once never more than two run, in eight workers at once."""
    running, most, two = 0, 0, asyncio.Event()
    queue_name = f"{tiny.queue_name}-few"
    left = {(await tiny.submit(kind="few")).job_id for _ in range(12)}

    async def handler(run: JobRun) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if most == 2:
            two.set()
        # The first one stays until a second one is there, so that a busy machine shows two as well.
        await two.wait()
        await asyncio.sleep(0.02)
        running -= 1
        async with run.finish({}):
            pass
        left.discard(run.job.job_id)

    async def worker() -> None:
        runner = tiny.runner(handler)
        while left:
            job = await runner.take(queue_name)
            if job is None:
                await asyncio.sleep(0.01)
            else:
                await runner.perform(job)

    async with asyncio.timeout(60):
        await asyncio.gather(*(worker() for _ in range(8)))
    assert most == 2


async def test_a_full_kind_waits_for_an_end(tiny: TinyService) -> None:
    """With a limit of two the third job is taken when one of the first two has ended, and not before."""
    queue_name = f"{tiny.queue_name}-few"
    for _ in range(3):
        await tiny.submit(kind="few")
    runner = tiny.runner()
    first, second = await runner.take(queue_name), await runner.take(queue_name)
    assert first is not None
    assert second is not None
    assert await runner.take(queue_name) is None
    await runner.perform(first)
    assert isinstance(await runner.take(queue_name), Job)


async def test_the_next_of_very_many_is_found_by_index(tiny: TinyService, clock: SettableClock) -> None:
    """With twenty thousand waiting jobs the next one is read off the index, also by a generic plan."""
    at = clock()
    row = {"kind": "count", "state": "queued", "max_attempts": 3, "create_time": at, "update_time": at}
    times = {"run_after": at, "deadline_time": at + timedelta(hours=1)}
    rows = [{**row, **times, "job_id": new_id(), "turn_time": at + timedelta(seconds=n)} for n in range(MANY)]
    async with tiny.db.transaction() as tx:
        for start in range(0, MANY, 2000):
            await tx.execute(insert(tables.jobs).values(rows[start : start + 2000]))
        await tx.execute(text("ANALYZE tiny.jobs"))
        await tx.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await tx.execute(
            text(
                "PREPARE head AS SELECT job_id FROM tiny.jobs WHERE state = 'queued' AND kind = $1 AND run_after <= $2"
                " ORDER BY turn_time, job_id LIMIT 1 FOR UPDATE SKIP LOCKED"
            )
        )
        plan = "\n".join((await tx.execute(text("EXPLAIN EXECUTE head('count', now())"))).scalars())
        await tx.execute(text("DEALLOCATE head"))
    assert "ix_jobs_turn" in plan
    assert "Sort" not in plan
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    assert (job.job_id, job.state) == (rows[0]["job_id"], State.RUNNING)


def test_the_thousandth_job_stands_as_far_back_as_any_later_one(clock: SettableClock) -> None:
    """Up to a thousand unfinished jobs each puts the next one further back, and no more does after that."""
    turns = Turns()
    times = {count: turns.turn_time(clock(), Level.FREE, count) for count in (999, 1000, 1001, 5000)}
    assert times[999] < times[1000] == times[1001] == times[5000]


def test_levels_have_the_numbers_that_rows_keep(clock: SettableClock) -> None:
    """The numbers of the levels stand in the rows of jobs and never change, nor does which of them goes first."""
    assert {level.name: level.value for level in Level} == {"FREE": 0, "BASIC": 1, "PREMIUM": 2}
    times = [Turns().turn_time(clock(), level, 0) for level in Level]
    assert times == [clock(), clock() - timedelta(minutes=5), clock() - timedelta(minutes=15)]
