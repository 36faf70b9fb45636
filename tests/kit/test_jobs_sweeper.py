"""Jobs that nobody looks after: dead workers, lost pointers, forgotten submissions, used-up time."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from services.kit import telemetry
from services.kit.ids import new_id
from services.kit.jobs import outbox as outbox_module
from services.kit.jobs import sweeper as sweeper_module
from services.kit.jobs.job import Job
from services.kit.jobs.runner import JobRun
from services.kit.jobs.states import State
from services.kit.jobs.sweeper import Sweeper
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, until


async def abandoned(tiny: TinyService, **params: object) -> Job:
    """Return a job whose worker took it and died."""
    job = await tiny.submit(**params)  # type: ignore[arg-type]
    taken = await tiny.runner()._acquire(job.job_id)
    assert taken is not None
    return taken


async def pointers(redis: Redis, tiny: TinyService) -> list[str]:
    """Return what waits in RQ's queue."""
    return [str(each) for each in await redis.lrange(f"rq:queue:{tiny.queue_name}", 0, -1)]


async def test_a_dead_workers_job_is_queued_and_pushed(tiny: TinyService, clock: SettableClock, redis: Redis) -> None:
    """A job with an expired lease is back in the queue, keeps its attempt, and has a new pointer."""
    job = await abandoned(tiny)
    sweeper = Sweeper(tiny.queue, tiny.db)
    assert await sweeper.sweep() == 0
    clock.advance(7)
    assert await sweeper.sweep() == 1
    back = await tiny.job(job.job_id)
    assert (back.state, back.attempt) == (State.QUEUED, 1)
    assert await pointers(redis, tiny) == [f"tiny-{job.job_id}-1"]


async def test_a_job_that_kills_its_workers_is_failed(tiny: TinyService, clock: SettableClock) -> None:
    """After three dead workers a job is quarantined as a dead letter, and its hook has run."""
    job = await tiny.submit()
    sweeper = Sweeper(tiny.queue, tiny.db)
    for _ in range(3):
        assert await tiny.runner()._acquire(job.job_id) is not None
        clock.advance(7)
        await sweeper.sweep()
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.kills, failed.error_reason) == (State.FAILED, 3, "JOB_QUARANTINED")
    assert failed.quarantined
    assert failed.dead_time == clock()
    assert await tiny.messages(job.job_id) == ["failed"]


async def test_a_cancelled_job_of_a_dead_worker_is_cancelled(tiny: TinyService, clock: SettableClock) -> None:
    """A cancellation that the worker did not live to see is carried out."""
    job = await abandoned(tiny)
    await tiny.cancel(job.job_id)
    clock.advance(7)
    await Sweeper(tiny.queue, tiny.db).sweep()
    assert (await tiny.job(job.job_id)).state is State.CANCELLED


async def test_two_sweepers_at_once_do_everything_once(tiny: TinyService, clock: SettableClock) -> None:
    """Four sweepers over twenty abandoned jobs write one event for each."""
    jobs = [await abandoned(tiny) for _ in range(20)]
    clock.advance(7)
    moved = await asyncio.gather(*(Sweeper(tiny.queue, tiny.db)._end_or_requeue() for _ in range(4)))
    assert sum(moved) == 20
    for job in jobs:
        events = await tiny.events(job.job_id)
        assert [event.sequence for event in events] == [1, 2, 3, 4]
        assert events[-1].message == "its worker is gone"


async def test_a_lost_pointer_is_pushed_again(tiny: TinyService, clock: SettableClock, redis: Redis) -> None:
    """A queued job that Redis has forgotten gets its pointer back; one that waits there gets no second."""
    job = await tiny.submit()
    await tiny.queue.push(job)
    sweeper = Sweeper(tiny.queue, tiny.db)
    clock.advance(4)
    await sweeper.sweep()
    assert len(await pointers(redis, tiny)) == 1
    await redis.delete(f"rq:queue:{tiny.queue_name}")
    await sweeper.sweep()
    assert await pointers(redis, tiny) == []
    clock.advance(4)
    await sweeper.sweep()
    assert len(await pointers(redis, tiny)) == 1


async def test_a_retry_is_pushed_when_its_pause_is_over(tiny: TinyService, clock: SettableClock, redis: Redis) -> None:
    """A failed attempt's job stays out of RQ until it is due."""

    async def fails(_run: JobRun) -> None:
        raise ConnectionError

    job = await tiny.submit()
    await tiny.runner(fails).run(job.job_id)
    sweeper = Sweeper(tiny.queue, tiny.db)
    assert await sweeper.sweep() == 0
    clock.advance(3.5)
    assert await sweeper.sweep() == 1
    assert await pointers(redis, tiny) == [f"tiny-{job.job_id}-1"]


async def test_a_forgotten_submission_is_asked_about(tiny: TinyService, clock: SettableClock) -> None:
    """A job that stays pending is put before its service after ten seconds, once per ten seconds."""
    asked: list[str] = []

    async def on_pending(job: Job) -> None:
        asked.append(job.job_id)
        raise ConnectionError("wallet is away")

    async with tiny.db.transaction() as tx:
        job = await tiny.queue.create(tx, kind="count", user_id=new_id(), subject_id="", params={})
    sweeper = Sweeper(tiny.queue, tiny.db, on_pending)
    await sweeper.sweep()
    assert asked == []
    for _ in range(2):
        clock.advance(10.5)
        await asyncio.gather(sweeper.sweep(), sweeper.sweep())
    assert asked == [job.job_id] * 2


async def test_waiting_has_an_end(tiny: TinyService, clock: SettableClock) -> None:
    """A job that no worker starts within its waiting time is failed with the deadline's reason."""
    job = await tiny.submit()
    clock.advance(3601)
    await Sweeper(tiny.queue, tiny.db).sweep()
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason) == (State.FAILED, "JOB_DEADLINE_EXCEEDED")


async def test_one_job_that_cannot_be_ended_stops_no_other(tiny: TinyService, clock: SettableClock) -> None:
    """A hook that raises for one job leaves that job and lets the next be swept."""
    poisoned, other = await tiny.submit(), await tiny.submit()

    async def hook(_tx: object, job: Job) -> None:
        if job.job_id == poisoned.job_id:
            raise RuntimeError

    tiny.queue.on_end = hook
    clock.advance(3601)
    await Sweeper(tiny.queue, tiny.db).sweep()
    states = [(await tiny.job(job.job_id)).state for job in (poisoned, other)]
    assert states == [State.QUEUED, State.FAILED]


async def test_a_sweep_counts_all_that_it_did(tiny: TinyService, clock: SettableClock) -> None:
    """A sweep returns the jobs moved, the pointers pushed and the pending ones asked about, all together."""
    asked: list[str] = []

    async def on_pending(job: Job) -> None:
        asked.append(job.job_id)

    await abandoned(tiny)
    for _ in range(2):
        async with tiny.db.transaction() as tx:
            await tiny.queue.create(tx, kind="count", user_id=new_id(), subject_id="", params={})
    for _ in range(4):
        await tiny.submit()
    clock.advance(10.5)
    # The job that is moved is pushed at once, so four pointers are missing.
    assert await Sweeper(tiny.queue, tiny.db, on_pending).sweep() == 1 + 4 + 2
    assert len(asked) == 2


@pytest.mark.parametrize(("waiting", "missed"), [(20, True), (21, False)])
async def test_a_twentieth_of_the_queue_lost_is_made_good(
    tiny: TinyService, clock: SettableClock, redis: Redis, *, waiting: int, missed: bool
) -> None:
    """One pointer lost of twenty is pushed again, one of twenty-one is left to the workers, who look at the rows."""
    for _ in range(waiting):
        await tiny.queue.push(await tiny.submit())
    await redis.lpop(f"rq:queue:{tiny.queue_name}")
    clock.advance(4)
    assert await Sweeper(tiny.queue, tiny.db).sweep() == int(missed)
    assert len(await pointers(redis, tiny)) == waiting - 1 + int(missed)


@pytest.mark.parametrize("count", [3, 4, 5])
async def test_a_lost_queue_comes_back_in_batches(
    tiny: TinyService, clock: SettableClock, redis: Redis, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """When all pointers are lost every job gets its own again, also when they are more than a batch."""
    monkeypatch.setattr(sweeper_module, "_REFILL_BATCH", 2)
    jobs = [await tiny.submit() for _ in range(count)]
    clock.advance(4)
    assert await Sweeper(tiny.queue, tiny.db).sweep() == count
    assert sorted(await pointers(redis, tiny)) == sorted(f"tiny-{job.job_id}-0" for job in jobs)


async def test_a_sweep_without_redis_counts_what_it_did(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis is away a sweep deals with the rows all the same and counts only those."""

    async def away(_queue_name: str) -> int:
        raise ConnectionError

    monkeypatch.setattr(tiny.queue.signals, "pushed", away)
    await abandoned(tiny)
    await tiny.submit()
    clock.advance(7)
    assert await Sweeper(tiny.queue, tiny.db).sweep() == 1


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_old_logs_are_shortened_whatever_their_number(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """A purge shortens the log of every job that ended long ago to its last line, and counts those jobs."""
    monkeypatch.setattr(sweeper_module, "_BATCH", 2)
    jobs = [await tiny.submit() for _ in range(count)]
    for job in jobs:
        await tiny.cancel(job.job_id)
    sweeper = Sweeper(tiny.queue, tiny.db, log_kept=timedelta(days=1))
    assert await sweeper.purge() == 0
    clock.advance(86401)
    assert await sweeper.purge() == count
    assert [len(await tiny.events(job.job_id)) for job in jobs] == [1] * count
    assert await Sweeper(tiny.queue, tiny.db).purge() == 0


async def test_the_sweeper_purges_at_once_and_then_rarely(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop sweeps and purges when it starts, and then sweeps many times before it purges again."""
    done: list[str] = []
    sweeper = Sweeper(tiny.queue, tiny.db, interval_s=0.01)
    enough = asyncio.Event()

    async def sweep() -> int:
        done.append("sweep")
        if done.count("sweep") == 5:
            enough.set()
        return 0

    async def purge() -> int:
        done.append("purge")
        return 0

    monkeypatch.setattr(sweeper, "sweep", sweep)
    monkeypatch.setattr(sweeper, "purge", purge)
    loop = asyncio.create_task(sweeper.run())
    await asyncio.wait_for(enough.wait(), 30)
    loop.cancel()
    await asyncio.wait({loop})
    assert done[:6] == ["sweep", "purge", "sweep", "sweep", "sweep", "sweep"]


async def test_a_job_has_all_its_time(tiny: TinyService, clock: SettableClock) -> None:
    """A lost job whose deadline is this very moment goes back to the queue; a moment later its time is over."""
    await tiny.submit()
    job = await tiny.runner(lease_s=30.0).take(tiny.queue_name)
    assert job is not None
    clock.advance(60)
    assert job.deadline_time == clock()
    sweeper = Sweeper(tiny.queue, tiny.db)
    await sweeper.sweep()
    assert (await tiny.job(job.job_id)).state is State.QUEUED
    clock.advance(0.001)
    await sweeper.sweep()
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason) == (State.FAILED, "JOB_DEADLINE_EXCEEDED")


async def test_what_a_sweep_ends_is_told_at_once(
    tiny: TinyService, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of a job that the sweeper has ended leaves although the outbox would look again in a long time."""
    monkeypatch.setattr(outbox_module, "_POLL_S", 1000.0)
    sending = asyncio.create_task(tiny.dispatcher.run())
    await asyncio.sleep(0.2)
    job = await tiny.submit()
    clock.advance(3601)
    await Sweeper(tiny.runner(), tiny.db).sweep()

    async def delivered() -> bool:
        return await tiny.delivered() == {job.job_id}

    await until(delivered)
    sending.cancel()
    await asyncio.wait({sending})
    assert (await tiny.job(job.job_id)).state is State.FAILED


async def test_the_length_of_a_queue_is_on_the_metrics_page(tiny: TinyService, clock: SettableClock) -> None:
    """After a sweep the page shows how many jobs of the queue are due, pushed or not."""

    def shown() -> float | None:
        labels = {"service": "tiny", "queue": tiny.queue_name}
        return telemetry.REGISTRY.get_sample_value("cadenza_queue_length", labels)

    sweeper = Sweeper(tiny.queue, tiny.db)
    for count in (3, 0):
        for _ in range(count):
            await tiny.submit()
        clock.advance(4)
        await sweeper.sweep()
        assert shown() == count
        await tiny.forget_all()


async def test_a_second_look_at_once_does_and_counts_nothing(tiny: TinyService) -> None:
    """Two sweeps in the same moment with nothing to do both say that nothing was done."""
    sweeper = Sweeper(tiny.queue, tiny.db)
    assert [await sweeper.sweep() for _ in range(2)] == [0, 0]
