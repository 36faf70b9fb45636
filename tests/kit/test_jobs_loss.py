"""Redis lost everything, or is away: no job is lost, none is told of twice, and waiting jobs go on starting."""

import asyncio
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy import insert

from services.kit.ending import end
from services.kit.ids import new_id
from services.kit.jobs.hints import Hints
from services.kit.jobs.listener import Listener
from services.kit.jobs.states import State
from services.kit.jobs.sweeper import Sweeper
from services.kit.redis import connect
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, tables, until

MANY = 3000


async def test_everything_is_told_again_after_a_flush(tiny: TinyService, clock: SettableClock, redis: Redis) -> None:
    """Of three thousand waiting jobs every one has exactly one pointer again, however often it is looked after."""
    at = clock()
    row = {"kind": "count", "state": "queued", "max_attempts": 3, "create_time": at, "update_time": at}
    times = {"run_after": at, "deadline_time": at + timedelta(hours=1), "turn_time": at}
    rows = [{**row, **times, "job_id": new_id()} for _ in range(MANY)]
    async with tiny.db.transaction() as tx:
        for start in range(0, MANY, 1000):
            await tx.execute(insert(tables.jobs).values(rows[start : start + 1000]))
    sweeper = Sweeper(tiny.queue, tiny.db)
    key = f"rq:queue:{tiny.queue_name}"
    for _ in range(2):
        await redis.delete(key)
        clock.advance(4)
        assert await sweeper._push_again() == MANY
        clock.advance(4)
        assert await sweeper._push_again() == 0
    pointers = [str(each) for each in await redis.lrange(key, 0, -1)]
    assert sorted(pointers) == sorted(f"tiny-{each['job_id']}-0" for each in rows)
    await redis.delete(key)


async def test_waiting_jobs_start_without_redis(tiny: TinyService) -> None:
    """A listener whose Redis cannot be reached takes the jobs from the rows and runs them all."""
    nowhere = connect("redis://127.0.0.1:1/0")
    jobs = [await tiny.submit() for _ in range(5)]
    listener = Listener(Hints(nowhere, [tiny.queue_name]), [tiny.runner()], [tiny.queue_name], places=2)

    async def all_done() -> bool:
        return all([(await tiny.job(job.job_id)).state is State.COMPLETED for job in jobs])

    listening = asyncio.create_task(listener.run())
    try:
        await until(all_done, within_s=60)
    finally:
        await end([listening])
        await nowhere.aclose()
    for job in jobs:
        assert await tiny.messages(job.job_id) == ["completed"]
