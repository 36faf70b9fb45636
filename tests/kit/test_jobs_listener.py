"""What one job costs a worker beside its own work, and what makes it pause over a pointer and what does not."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import event

from services.kit.ending import end
from services.kit.jobs import listener as listening_module
from services.kit.jobs.hints import Hints
from services.kit.jobs.job import Job
from services.kit.jobs.listener import Listener
from services.kit.jobs.run import JobRun
from services.kit.jobs.runner import Runner
from services.kit.jobs.states import State
from tests.kit.tiny_service import TinyService, until


async def _empty(run: JobRun) -> None:
    async with run.finish({}):
        pass


async def _drain(tiny: TinyService, redis: Redis, runner: Runner, count: int) -> None:
    """Run so many jobs, one after the other, as a worker process would."""
    jobs = [await tiny.submit() for _ in range(count)]

    async def all_done() -> bool:
        return all([(await tiny.job(job.job_id)).state is State.COMPLETED for job in jobs])

    async with _listening(tiny, redis, runner):
        await until(all_done, within_s=60)


@asynccontextmanager
async def _listening(tiny: TinyService, redis: Redis, runner: Runner, *queues: str) -> AsyncIterator[None]:
    names = queues or (tiny.queue_name,)
    listener = Listener(Hints(redis, names), [runner], names)
    task = asyncio.create_task(listener.run())
    try:
        yield
    finally:
        # A cancellation can get lost in the Redis client.
        await end([task])


@contextmanager
def _counting(tiny: TinyService) -> Iterator[list[str]]:
    """Collect what is sent to the database: transactions and statements."""
    sent: list[str] = []
    engine = tiny.db.engine.sync_engine

    def begins(_connection: Any) -> None:
        sent.append("BEGIN")

    def executes(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(" ".join(statement.split()))

    event.listen(engine, "begin", begins)
    event.listen(engine, "before_cursor_execute", executes)
    try:
        yield sent
    finally:
        event.remove(engine, "begin", begins)
        event.remove(engine, "before_cursor_execute", executes)


async def test_an_empty_job_takes_two_transactions(tiny: TinyService) -> None:
    """Taking and completing a job are one transaction each, and neither reads again what the worker knows."""
    await tiny.submit()
    runner = Runner(tiny.queue, tiny.db, {"count": _empty}, heartbeat_s=1000)
    async with runner.listening() as told:
        # Every ear is told once when the subscription stands.
        await asyncio.wait_for(told.wait(), 30)
        with _counting(tiny) as sent:
            job = await runner.take(tiny.queue_name)
            assert job is not None
            await runner.perform(job)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    assert sent.count("BEGIN") == 2
    kinds = [statement.split()[0] for statement in sent if statement != "BEGIN"]
    # The turn, the row, the log, the attempt; then the row, the log, the attempt, the outbox.
    assert kinds == ["SELECT", "UPDATE", "INSERT", "INSERT", "UPDATE", "INSERT", "UPDATE", "INSERT"]


async def test_jobs_share_one_subscription(tiny: TinyService, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker subscribes once and not once for each job, however many it runs one after the other."""
    opened: list[None] = []
    subscribe = redis.pubsub

    def counted(**options: Any) -> Any:
        opened.append(None)
        return subscribe(**options)

    monkeypatch.setattr(redis, "pubsub", counted)
    await _drain(tiny, redis, tiny.runner(_empty, heartbeat_s=1000), 5)
    assert len(opened) == 1


class _Looks(Runner):
    """A runner that counts how often it was asked for a job."""

    looks = 0

    async def take(self, queue_name: str) -> Job | None:
        """Return what there is to do."""
        found = await super().take(queue_name)
        self.looks += 1
        return found


async def test_a_job_that_somebody_else_takes_delays_no_other(
    tiny: TinyService, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pointer to a job that another worker is just taking does not make this one pause: the next job starts."""
    monkeypatch.setattr(listening_module, "_PAUSE_S", 1000.0)
    runner = _Looks(tiny.queue, tiny.db, {"count": _empty}, heartbeat_s=1000)
    taken = await tiny.submit()
    await tiny.queue.push(taken)

    async def looked() -> bool:
        return runner.looks >= 2

    async with tiny.db.transaction() as tx:
        await tiny.queue.rows.lock(tx, taken.job_id)
        async with _listening(tiny, redis, runner):
            await until(looked)
            job = await tiny.submit()
            await tiny.queue.push(job)
            await _completed(tiny, job)


async def test_a_full_kind_delays_no_other_queue(
    tiny: TinyService, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a kind has all it may have its pointers are left alone, one look apart, and other queues are served."""
    monkeypatch.setattr(listening_module, "_PAUSE_S", 1000.0)
    few = f"{tiny.queue_name}-few"
    waiting = [await tiny.submit(kind="few") for _ in range(12)]
    for _ in range(2):
        assert await tiny.runner().take(few) is not None
    for job in waiting:
        await tiny.queue.push(job)
    runner = _Looks(tiny.queue, tiny.db, dict.fromkeys(("count", "few"), _empty), heartbeat_s=1000)

    async def one_pointer_taken() -> bool:
        return runner.looks >= 2 and await tiny.queue.signals.pushed(few) == len(waiting) - 1

    async with _listening(tiny, redis, runner, few, tiny.queue_name):
        await until(one_pointer_taken)
        for _ in range(3):
            job = await tiny.submit()
            await tiny.queue.push(job)
            await _completed(tiny, job)
    assert await tiny.queue.signals.pushed(few) == len(waiting) - 1


async def test_a_full_kind_is_looked_at_again(tiny: TinyService, redis: Redis) -> None:
    """When a worker that held a kind's last place gives it back, a waiting job of the kind starts elsewhere."""
    few = f"{tiny.queue_name}-few"
    *_, third = [await tiny.submit(kind="few") for _ in range(3)]
    other = tiny.runner(_empty)
    first, _second = await other.take(few), await other.take(few)
    assert first is not None
    runner = _Looks(tiny.queue, tiny.db, {"few": _empty}, heartbeat_s=1000)
    await tiny.queue.push(third)

    async def looked() -> bool:
        return runner.looks >= 2

    async with _listening(tiny, redis, runner, few):
        await until(looked)
        assert (await tiny.job(third.job_id)).state is State.QUEUED
        await other.perform(first)
        await _completed(tiny, third)


async def _completed(tiny: TinyService, job: Job) -> None:
    async def done() -> bool:
        return (await tiny.job(job.job_id)).state is State.COMPLETED

    await until(done)


async def test_jobs_that_only_wait_do_not_keep_the_worker(tiny: TinyService, redis: Redis) -> None:
    """With one place three jobs wait at the same time for somebody else, and each goes on when its wait is over."""
    waiting, most = 0, 0
    all_wait = asyncio.Event()

    async def wait_aside(run: JobRun) -> None:
        nonlocal waiting, most
        async with run.aside():
            waiting += 1
            most = max(most, waiting)
            if waiting == 3:
                all_wait.set()
            await asyncio.wait_for(all_wait.wait(), 20)
        async with run.finish({}):
            pass

    jobs = [await tiny.submit() for _ in range(3)]
    runner = Runner(tiny.queue, tiny.db, {"count": wait_aside})
    names = (tiny.queue_name,)
    listener = Listener(Hints(redis, names), [runner], names, places=1, waiting=5)
    task = asyncio.create_task(listener.run())
    try:

        async def all_done() -> bool:
            return all([(await tiny.job(job.job_id)).state is State.COMPLETED for job in jobs])

        await until(all_done, within_s=30)
    finally:
        await end([task])
    assert (most, listener.places.working, listener.places.aside) == (3, 0, 0)
