"""Watching a job: the whole state first, every event once, to the end, with and without Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.kit.errors import ParamInvalid, Unavailable
from services.kit.ids import new_id
from services.kit.jobs.errors import JobNotFound
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.states import State
from services.kit.jobs.wakes import Wakes
from services.kit.jobs.watch import watch
from services.kit.redis import connect
from tests.kit.tiny_service import TinyService, store, tables, until

if TYPE_CHECKING:
    from services.kit.db.engine import Database

Seen = list[tuple[Job | None, JobEvent]]


async def collect(stream: AsyncIterator[tuple[Job | None, JobEvent]]) -> Seen:
    """Return everything a watcher gets, to the end."""
    async with asyncio.timeout(30):
        return [each async for each in stream]


async def test_a_watcher_sees_the_snapshot_and_every_event(tiny: TinyService) -> None:
    """Watching from the start gives the job, then its log without gaps, then ends with the final event."""
    job = await tiny.submit(pause_s=0.6)
    stream = watch(tiny.queue, tiny.db, job.job_id, 0)
    snapshot, first = await anext(stream)
    watching = asyncio.create_task(collect(stream))
    await tiny.runner().run(job.job_id)
    rest = await watching
    assert snapshot is not None
    assert (snapshot.state, first.sequence, first.final) == (State.QUEUED, 0, False)
    # Where the job stood is told only to a reader that was there while it waited.
    assert tuple(replace(event, place=None) for _, event in rest) == await tiny.events(job.job_id)
    assert rest[-1][1].final


@pytest.mark.parametrize("after", [1, 3])
async def test_a_watcher_that_returns_misses_and_repeats_nothing(tiny: TinyService, after: int) -> None:
    """Resuming behind a number gives exactly the events after it, also when the job is finished."""
    job = await tiny.submit()
    await tiny.runner().run(job.job_id)
    (snapshot, first), *rest = await collect(watch(tiny.queue, tiny.db, job.job_id, after))
    assert snapshot is not None
    assert snapshot.state is State.COMPLETED
    assert (first.sequence, first.final) == (after, False)
    assert tuple(event for _, event in rest) == (await tiny.events(job.job_id))[after:]


async def test_a_watcher_that_saw_everything_gets_the_end_at_once(tiny: TinyService) -> None:
    """Resuming behind the last event gives the finished job, marked as final."""
    job = await tiny.submit()
    await tiny.runner().run(job.job_id)
    done = await tiny.job(job.job_id)
    (only,) = await collect(watch(tiny.queue, tiny.db, job.job_id, done.last_sequence))
    assert only[0] == done
    assert only[1].final


@pytest.mark.parametrize("after", [-1, 3, 10**9])
async def test_a_number_the_log_has_not_reached_is_refused(tiny: TinyService, after: int) -> None:
    """A watcher cannot wait for a place that the log may never reach."""
    job = await tiny.submit()
    with pytest.raises(ParamInvalid):
        await collect(watch(tiny.queue, tiny.db, job.job_id, after))


async def test_an_unknown_job_is_not_found(tiny: TinyService) -> None:
    """Watching nothing raises at once."""
    with pytest.raises(JobNotFound):
        await collect(watch(tiny.queue, tiny.db, new_id(), 0))


async def test_a_deleted_job_ends_its_watchers(tiny: TinyService) -> None:
    """A watcher of a job that goes away is told, and does not wait for ever."""
    job = await tiny.submit()
    watching = asyncio.create_task(collect(watch(tiny.queue, tiny.db, job.job_id, 2)))
    await asyncio.sleep(0.1)
    async with tiny.db.transaction() as tx:
        await tx.execute(tables.jobs.delete().where(tables.jobs.c.job_id == job.job_id))
    with pytest.raises(JobNotFound):
        await watching


async def test_a_waiting_job_of_an_unknown_kind_has_no_place(tiny: TinyService) -> None:
    """A job that a newer version of the service made can be watched by this one, which cannot say when it starts."""
    job = await tiny.submit()
    policies = {"another": next(iter(tiny.queue.policies.values()))}
    queue = JobQueue(store, policies, tiny.queue.signals, tiny.clock)
    snapshot, first = await anext(watch(queue, tiny.db, job.job_id, 0))
    assert snapshot is not None
    assert (snapshot.kind, snapshot.state, snapshot.place, first.place) == (job.kind, State.QUEUED, None, None)


async def test_watching_works_without_redis(tiny: TinyService) -> None:
    """With Redis away the log is polled and nothing is missing."""
    nowhere = connect("redis://127.0.0.1:1/0")
    queue = JobQueue(store, tiny.queue.policies, RedisSignals(nowhere), tiny.clock)
    job = await tiny.submit(pause_s=0.3)
    watching = asyncio.create_task(collect(watch(queue, tiny.db, job.job_id, 0)))
    await tiny.runner().run(job.job_id)
    events = tuple(event for _, event in (await watching)[1:])
    assert events == await tiny.events(job.job_id)
    queue.close()
    await nowhere.aclose()


async def test_many_watchers_share_one_subscription(tiny: TinyService, redis: Redis) -> None:
    """Twenty listeners of three jobs cost one connection and each hears its own job only."""
    wakes = Wakes(redis)
    ids = [new_id() for _ in range(3)]

    async def subscribers(expected: list[int]) -> bool:
        found = await redis.pubsub_numsub(*(f"job:{each}" for each in ids))
        return [count for _, count in found] == expected

    assert await subscribers([0, 0, 0])
    async with asyncio.timeout(20), wakes.listen(ids[0]) as first, wakes.listen(ids[0]), wakes.listen(ids[1]) as other:
        await until(lambda: subscribers([1, 1, 0]))
        first.clear()
        other.clear()
        await wakes.wake(ids[0])
        await first.wait()
        assert not other.is_set()
    assert wakes._reader is None


async def test_many_watchers_of_a_waiting_job_share_their_looks(tiny: TinyService) -> None:
    """Forty watchers that came one after the other ask the database for log and place a few times a second together."""
    job = await tiny.submit()
    looks = 0

    class Counting:
        @asynccontextmanager
        async def transaction(self, *arguments: Any) -> AsyncIterator[Any]:
            nonlocal looks
            looks += 1
            async with tiny.db.transaction(*arguments) as tx:
                yield tx

    streams = [watch(tiny.queue, cast("Database", Counting()), job.job_id, 0) for _ in range(40)]
    watching = []
    for stream in streams:
        await anext(stream)
        watching.append(asyncio.create_task(collect(stream)))
        await asyncio.sleep(0.02)
    opened, looks = looks, 0
    await asyncio.sleep(3.0)
    shared = looks
    await tiny.runner().run(job.job_id)
    events = await tiny.events(job.job_id)
    for told in await asyncio.gather(*watching):
        assert tuple(replace(event, place=None) for snapshot, event in told if snapshot is None) == events
    assert opened >= 40
    assert shared <= 60


async def test_the_number_of_watchers_is_bounded(redis: Redis) -> None:
    """A process refuses watchers above its bound and takes new ones when others have left."""
    wakes = Wakes(redis, most_listeners=1)
    async with wakes.listen("a"):
        with pytest.raises(Unavailable):
            async with wakes.listen("b"):
                pass
    async with wakes.listen("b"):
        pass


class _Failing:
    """A server that answers no publish until it is well."""

    def __init__(self) -> None:
        self.well, self.tries = False, 0

    async def publish(self, _channel: str, _message: bytes) -> None:
        """Count the try."""
        self.tries += 1
        if not self.well:
            raise RedisConnectionError


async def test_one_failed_wake_silences_for_a_moment_and_many_for_longer() -> None:
    """One publish that came too late costs a tenth of a second of wakes; a server that is away is tried ever rarer."""
    server, at = _Failing(), [0.0]
    wakes = Wakes(cast("Redis", server), seconds=lambda: at[0])

    async def tried(at_s: float) -> bool:
        before, at[0] = server.tries, at_s
        await wakes.wake("a")
        return server.tries > before

    assert [await tried(at_s) for at_s in (0.0, 0.09, 0.11)] == [True, False, True]
    assert [await tried(at_s) for at_s in (0.3, 0.32, 0.7, 0.73)] == [False, True, False, True]
    assert [await tried(at_s) for at_s in (100.0, 101.5, 102.1, 104.0, 104.2)] == [True, False, True, False, True]
    server.well = True
    assert [await tried(at_s) for at_s in (200.0, 200.0, 200.0)] == [True] * 3
    server.well = False
    assert [await tried(at_s) for at_s in (300.0, 300.09, 300.11)] == [True, False, True]


class _Closing:
    """A subscription whose connection the reader is just closing."""

    async def subscribe(self, _channel: str) -> None:
        """Stumble as redis-py does."""
        message = "'NoneType' object has no attribute 'writelines'"
        raise AttributeError(message)

    unsubscribe = subscribe


async def test_a_subscription_that_is_just_closing_costs_no_watcher(redis: Redis) -> None:
    """A watcher that comes while the connection of the one before is closed still hears the next wake."""
    wakes = Wakes(redis)
    wakes._pubsub = _Closing()
    job_id = new_id()
    async with wakes.listen(job_id) as woken, asyncio.timeout(10):
        while not woken.is_set():
            await wakes.wake(job_id)
            await asyncio.sleep(0.05)

    assert woken.is_set()
