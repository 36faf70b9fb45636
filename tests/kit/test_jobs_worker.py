"""Real worker processes: killed, stopped, put to sleep, and cut off from Redis and PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.dead import DeadLetters
from services.kit.jobs.job import Job
from services.kit.jobs.states import State
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.kit.tiny_service import TinyService, create_tables, until

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
async def live(tiny: TinyService) -> TinyService:
    """Return the service on the real clock, which worker processes go by as well."""
    tiny.clock = tiny.queue.clock = tiny.dispatcher._clock = now
    return tiny


@pytest.fixture
def start(tiny_database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a worker process by exec; all of them end with the test."""
    children: list[subprocess.Popen[bytes]] = []

    def start_one(
        queue_name: str, *, redis: str = redis_url, database: str = tiny_database_url
    ) -> subprocess.Popen[bytes]:
        log = (tmp_path / f"worker-{len(children)}.log").open("wb")
        command = [sys.executable, "-m", "tests.kit.tiny_service", database, redis, queue_name]
        with log:
            child = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=log, stderr=log)
        children.append(child)
        return child

    yield start_one
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGCONT)
            child.kill()
        child.wait(10)


async def submit(tiny: TinyService, *, pause_s: float) -> Job:
    """Return a job that workers have been told of."""
    job = await tiny.submit(pause_s=pause_s)
    await tiny.queue.push(job)
    return job


async def reaches(tiny: TinyService, job: Job, state: State, *, step: str = "") -> None:
    """Return once the job is in the state, and in the step if one is named."""

    async def there() -> bool:
        present = await tiny.job(job.job_id)
        return present.state is state and present.step in {step, step or present.step}

    await until(there, within_s=60)


async def check_log(tiny: TinyService, job: Job) -> None:
    """Assert that the log is whole: no gap, one final event, one message to the outbox."""
    events = await tiny.events(job.job_id)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.final for event in events].count(True) == 1
    assert await tiny.messages(job.job_id) == [events[-1].state.value]


async def test_a_killed_workers_job_is_finished_by_another(live: TinyService, start: Start) -> None:
    """After kill -9 in the second step another process finishes the job and does not repeat the first."""
    first = start(live.queue_name)
    job = await submit(live, pause_s=1.0)
    await reaches(live, job, State.RUNNING, step="second")

    async def in_the_second() -> bool:
        return await live.traced(job.job_id) == ["first", "second begins"]

    # The step is written down a moment before its work begins.
    await until(in_the_second)
    first.kill()
    first.wait()
    start(live.queue_name)
    await reaches(live, job, State.COMPLETED)
    done = await live.job(job.job_id)
    assert (done.attempt, done.lease_token, done.result) == (2, 2, {"total": 3})
    assert await live.traced(job.job_id) == ["first", "second begins", "second begins"]
    assert await live.product(job.job_id) == 3
    await check_log(live, job)


async def test_a_stopped_worker_cannot_write_when_it_wakes(live: TinyService, start: Start) -> None:
    """A process that slept (SIGSTOP) through its lease wakes to find its job finished by another, and leaves it so."""
    sleeper = start(live.queue_name)
    job = await submit(live, pause_s=1.0)
    await reaches(live, job, State.RUNNING, step="second")
    sleeper.send_signal(signal.SIGSTOP)
    start(live.queue_name)
    await reaches(live, job, State.COMPLETED)
    done, events = await live.job(job.job_id), await live.events(job.job_id)
    sleeper.send_signal(signal.SIGCONT)
    # It is back at work, and through with the job it lost, when it has run another one.
    other = await submit(live, pause_s=0.0)
    await reaches(live, other, State.COMPLETED)
    sleeper.send_signal(signal.SIGTERM)
    assert sleeper.wait(10) == 0
    assert await live.job(job.job_id) == done
    assert await live.events(job.job_id) == events
    assert done.attempt == 2
    await check_log(live, job)


async def test_sigterm_gives_the_job_back_and_ends_the_process(live: TinyService, start: Start) -> None:
    """A worker told to stop returns its job at no cost in attempts and ends by itself."""
    worker = start(live.queue_name)
    job = await submit(live, pause_s=30.0)
    await reaches(live, job, State.RUNNING, step="second")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    back = await live.job(job.job_id)
    assert (back.state, back.attempt) == (State.QUEUED, 0)
    assert (await live.events(job.job_id))[-1].message == "given back"


async def test_an_idle_worker_ends_at_once(live: TinyService, start: Start) -> None:
    """SIGTERM interrupts the wait for the next job."""
    worker = start(live.queue_name)
    job = await submit(live, pause_s=0.0)
    await reaches(live, job, State.COMPLETED)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


async def test_cancel_reaches_another_process(live: TinyService, start: Start) -> None:
    """A job that is cancelled here stops there, and the cancellation is delivered."""
    start(live.queue_name)
    job = await submit(live, pause_s=60.0)
    await reaches(live, job, State.RUNNING, step="second")
    await live.cancel(job.job_id)
    await reaches(live, job, State.CANCELLED)
    assert await live.product(job.job_id) is None
    await check_log(live, job)


async def test_a_worker_waits_for_redis_and_finds_it_again(
    tiny_database_url: str, live: TinyService, start: Start, tmp_path: Path
) -> None:
    """Started before Redis, cut off during a job, a worker finishes the job and takes the next when Redis is back."""
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    url = valkey.url
    valkey.stop()
    client = connect(url)
    service = TinyService(Database(tiny_database_url), client, now, queue_name=f"tiny-{new_id()}")
    worker = start(service.queue_name, redis=url)
    try:
        first = await submit(service, pause_s=1.5)
        assert first.state is State.QUEUED
        valkey.start()
        await reaches(service, first, State.RUNNING, step="second")
        valkey.kill()
        second = await submit(service, pause_s=0.0)
        await reaches(service, first, State.COMPLETED)
        valkey.start()
        await reaches(service, second, State.COMPLETED)
        assert worker.poll() is None
        await check_log(service, first)
        await check_log(service, second)
    finally:
        service.queue.close()
        await client.aclose()
        await service.db.close()
        valkey.remove()


async def test_a_job_outlives_the_database(start: Start, redis: Redis, tmp_path: Path) -> None:
    """PostgreSQL killed in the middle of a step and started again: the job is finished, its log is whole."""
    server = Postgres(tmp_path / "postgres")
    url = server.start()
    await asyncio.to_thread(create_tables, url)
    service = TinyService(Database(url), redis, now, queue_name=f"tiny-{new_id()}")
    worker = start(service.queue_name, database=url)
    try:
        job = await submit(service, pause_s=3.0)
        await reaches(service, job, State.RUNNING, step="second")
        await asyncio.to_thread(server.kill)
        # Longer than the lease of 1.5 s.
        await asyncio.sleep(2.0)
        await asyncio.to_thread(server.start)
        await reaches(service, job, State.COMPLETED)
        assert worker.poll() is None
        assert (await service.traced(job.job_id)).count("first") == 1
        await check_log(service, job)
    finally:
        service.queue.close()
        await service.db.close()
        await asyncio.to_thread(server.remove)


async def test_nothing_is_left_of_a_worker(live: TinyService, start: Start, redis: Redis) -> None:
    """A worker that ended has signed off at RQ and has no children."""
    worker = start(live.queue_name)
    job = await submit(live, pause_s=0.0)
    await reaches(live, job, State.COMPLETED)
    assert psutil.Process(worker.pid).children() == []
    os.kill(worker.pid, signal.SIGINT)
    assert worker.wait(10) == 0
    assert await redis.smembers(f"rq:workers:{live.queue_name}") == set()


async def test_a_handler_that_blocks_the_loop_keeps_its_lease(live: TinyService, start: Start) -> None:
    """A handler that blocks its event loop for three leases is still the only one that runs the job."""
    for _ in range(2):
        start(live.queue_name)
    job = await live.submit(block_s=4.5)
    await live.queue.push(job)
    await reaches(live, job, State.COMPLETED)
    done = await live.job(job.job_id)
    assert (done.attempt, done.lease_token, done.kills) == (1, 1, 0)
    await check_log(live, job)


async def test_a_poison_job_kills_three_workers_and_no_more(live: TinyService, start: Start) -> None:
    """A job whose handler really kills its worker is quarantined after the third; put back, it runs a fourth time."""
    job = await live.submit(kill=True)
    await live.queue.push(job)
    for dead in range(1, 4):
        worker = start(live.queue_name)
        assert await asyncio.to_thread(worker.wait, 60) == -signal.SIGKILL
        assert len(await live.traced(job.job_id)) == dead
    spare = start(live.queue_name)
    await reaches(live, job, State.FAILED)
    failed = await live.job(job.job_id)
    assert (failed.error_reason, failed.quarantined, failed.kills) == ("JOB_QUARANTINED", True, 3)
    await check_log(live, job)
    other = await submit(live, pause_s=0.0)
    await reaches(live, other, State.COMPLETED)
    assert spare.poll() is None
    async with live.db.transaction() as tx:
        letter, attempts = await DeadLetters(live.queue).read(tx, job.job_id)
        assert letter.job_id == job.job_id
        assert [(each.outcome, each.error_reason) for each in attempts] == [("killed", "JOB_WORKER_LOST")] * 3
        assert len({each.worker for each in attempts}) == 3
        await DeadLetters(live.queue).revive(tx, job.job_id, "once more")
        revived = await live.queue.enqueue(tx, job.job_id)
    await live.queue.push(revived)
    assert await asyncio.to_thread(spare.wait, 60) == -signal.SIGKILL
    assert len(await live.traced(job.job_id)) == 4


async def test_cancel_is_heard_before_the_next_heartbeat(live: TinyService) -> None:
    """A cancellation is told to the worker and does not wait for its heartbeat."""
    job = await live.submit(pause_s=60.0)
    running = asyncio.create_task(live.runner(heartbeat_s=1000, lease_s=1000).run(job.job_id))
    await reaches(live, job, State.RUNNING, step="second")
    await live.cancel(job.job_id)
    async with asyncio.timeout(30):
        await running
    assert (await live.job(job.job_id)).state is State.CANCELLED
