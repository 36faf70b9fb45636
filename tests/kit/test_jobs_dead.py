"""What is kept of attempts that failed, and what an administrator can do with a dead letter."""

import pytest

from services.kit.errors import RemoteError, Unavailable
from services.kit.jobs.dead import DeadLetters
from services.kit.jobs.errors import JobNotDead
from services.kit.jobs.job import Job
from services.kit.jobs.runner import JobRun
from services.kit.jobs.states import State
from services.kit.jobs.sweeper import Sweeper
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService


async def provider_away(_run: JobRun) -> None:
    """Fail in a way that another attempt may cure."""
    raise Unavailable("the provider is away", dependency="provider")


async def exhaust(tiny: TinyService, clock: SettableClock) -> Job:
    """Return a job whose three attempts have failed."""
    job = await tiny.submit()
    for _ in range(3):
        await tiny.runner(provider_away).run(job.job_id)
        clock.advance(20)
    return await tiny.job(job.job_id)


async def test_a_job_out_of_attempts_is_listed_with_each_error(tiny: TinyService, clock: SettableClock) -> None:
    """Three failed attempts make a dead letter that shows who failed when and why."""
    job = await exhaust(tiny, clock)
    letters = DeadLetters(tiny.queue)
    async with tiny.db.transaction() as tx:
        assert [each.job_id for each in await letters.page(tx, kind="", before="", most=10)] == [job.job_id]
        assert await letters.page(tx, kind="once", before="", most=10) == []
        assert await letters.page(tx, kind="", before=job.job_id, most=10) == []
        _, attempts = await letters.read(tx, job.job_id)
    assert [(each.attempt, each.outcome, each.error_reason) for each in attempts] == [
        (number, "failed", "SERVICE_UNAVAILABLE") for number in (1, 2, 3)
    ]
    assert all(each.worker and each.end_time is not None for each in attempts)
    assert attempts[0].error_message == "the provider is away"


async def test_a_dead_worker_uses_up_no_attempt(tiny: TinyService, clock: SettableClock) -> None:
    """Two deaths and two failures leave a job of three attempts with one more, which completes it."""
    job = await tiny.submit()
    sweeper = Sweeper(tiny.queue, tiny.db)
    for _ in range(2):
        assert await tiny.runner()._acquire(job.job_id) is not None
        clock.advance(7)
        await sweeper.sweep()
        await tiny.runner(provider_away).run(job.job_id)
        clock.advance(6)
    await tiny.runner().run(job.job_id)
    done = await tiny.job(job.job_id)
    assert (done.state, done.attempt, done.kills) == (State.COMPLETED, 5, 2)
    async with tiny.db.transaction() as tx:
        outcomes = [each.outcome for each in await tiny.queue.store.attempts(tx, job.job_id)]
    assert outcomes == ["killed", "failed", "killed", "failed", "completed"]


async def test_a_refused_job_is_no_dead_letter(tiny: TinyService) -> None:
    """A handler that says why it is in vain leaves nothing for an administrator to do."""
    job = await tiny.submit(fail="TAKE_SILENT")
    await tiny.runner().run(job.job_id)
    async with tiny.db.transaction() as tx:
        with pytest.raises(JobNotDead):
            await DeadLetters(tiny.queue).read(tx, job.job_id)


async def test_a_revived_job_has_one_end(tiny: TinyService, clock: SettableClock) -> None:
    """Put back, a job runs with all its attempts before it, and its log again ends with its only final event."""
    job = await exhaust(tiny, clock)
    letters = DeadLetters(tiny.queue)
    async with tiny.db.transaction() as tx:
        revived, done_now = await letters.revive(tx, job.job_id, "again")
        assert (revived.state, revived.attempt, revived.revivals, done_now) == (State.PENDING, 0, 1, True)
        await tiny.queue.enqueue(tx, job.job_id)
    async with tiny.db.transaction() as tx:
        assert (await letters.revive(tx, job.job_id, "again"))[1] is False
        with pytest.raises(JobNotDead):
            await letters.revive(tx, job.job_id, "another time")
    await tiny.runner().run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    events = await tiny.events(job.job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.final for event in events] == [False] * (len(events) - 1) + [True]


async def test_a_dropped_letter_is_gone_from_the_list(tiny: TinyService, clock: SettableClock) -> None:
    """Dropped, a job stays failed, is listed no more and cannot be put back; dropping it again changes nothing."""
    job = await exhaust(tiny, clock)
    letters = DeadLetters(tiny.queue)
    async with tiny.db.transaction() as tx:
        dropped = await letters.drop(tx, job.job_id)
        assert await letters.drop(tx, job.job_id) == dropped
        assert (dropped.state, dropped.dead_time) == (State.FAILED, None)
        assert await letters.page(tx, kind="", before="", most=10) == []
        with pytest.raises(JobNotDead):
            await letters.revive(tx, job.job_id, "")


async def test_a_job_that_could_not_be_paid_is_a_dead_letter_again(tiny: TinyService, clock: SettableClock) -> None:
    """A revived job whose price was refused is back on the list with the reason."""
    job = await exhaust(tiny, clock)
    letters = DeadLetters(tiny.queue)
    async with tiny.db.transaction() as tx:
        await letters.revive(tx, job.job_id, "again")
        locked = await tiny.queue.rows.lock(tx, job.job_id)
        await letters.refuse(tx, locked, RemoteError("INSUFFICIENT_CREDITS", "the balance does not cover the price"))
    async with tiny.db.transaction() as tx:
        again, _ = await letters.read(tx, job.job_id)
    assert (again.state, again.error_reason) == (State.FAILED, "INSUFFICIENT_CREDITS")
    assert (await tiny.events(job.job_id))[-1].final
