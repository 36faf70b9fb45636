"""How soon all waiting jobs have their pointers again when Redis comes back empty, beside writing bare ids there.

The rows are those of the kit's smallest service; the reference reads the same ids with one query and pushes them in
pipelines, without asking whether a pointer is there already.
"""

import asyncio
import time
from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy import insert, select

from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.sweeper import Sweeper
from services.kit.redis import connect
from services.mesh.postgres import Postgres
from services.mesh.valkey import Valkey
from tests.bench.rounds import Figures, Row, Trial
from tests.kit.tiny_service import TinyService, create_tables, tables

WAITING = 100_000
_AT_ONCE = 1000
_LIMIT_S = 30.0


async def measure(trial: Trial) -> list[Row]:
    """Return the seconds from the first look at an empty Redis to the last of all pointers."""
    postgres, valkey = Postgres(trial.folder / "postgres"), Valkey(trial.folder / "valkey")
    url = await asyncio.to_thread(postgres.start)
    redis = connect(await asyncio.to_thread(valkey.start))
    db = Database(url)
    try:
        await asyncio.to_thread(create_tables, url)
        tiny = TinyService(db, redis, now, queue_name="refill")
        await _fill(db)
        series = await trial.in_turn(lambda: _ours(tiny, redis), lambda: _reference(db, redis))
        tiny.queue.close()
    finally:
        await redis.aclose()
        await db.close()
        await asyncio.to_thread(valkey.remove)
        await asyncio.to_thread(postgres.remove)
    figure = f"Redis empty: {WAITING:,} waiting jobs queued again"
    against = "bare ids by one query and pipelines"
    return [Row("refill", figure, "s", against, series.ours["s"], series.reference["s"], limit=_LIMIT_S)]


async def _fill(db: Database) -> None:
    at = now() - timedelta(minutes=1)
    row = {"kind": "count", "state": "queued", "max_attempts": 3, "create_time": at, "update_time": at}
    times = {"run_after": at, "deadline_time": at + timedelta(hours=5), "turn_time": at}
    async with db.transaction() as tx:
        for _ in range(WAITING // _AT_ONCE):
            rows = [{**row, **times, "job_id": new_id()} for _ in range(_AT_ONCE)]
            await tx.execute(insert(tables.jobs).values(rows))


async def _ours(tiny: TinyService, redis: Redis) -> Figures:
    await redis.flushall()
    began = time.perf_counter()
    await Sweeper(tiny.queue, tiny.db).sweep()
    took_s = time.perf_counter() - began
    told = await redis.llen(f"rq:queue:{tiny.queue_name}")
    assert told == WAITING, told
    return {"s": took_s}


async def _reference(db: Database, redis: Redis) -> Figures:
    await redis.flushall()
    began = time.perf_counter()
    async with db.transaction() as tx:
        ids = list((await tx.execute(select(tables.jobs.c.job_id))).scalars())
    for start in range(0, len(ids), _AT_ONCE):
        pipe = redis.pipeline(transaction=False)
        pipe.rpush("bare", *ids[start : start + _AT_ONCE])
        await pipe.execute()
    return {"s": time.perf_counter() - began}
