"""How soon a job goes on after its worker was killed, and how soon it ends when its owner cancels it.

Workers are killed with SIGKILL at any moment between two of their heartbeats while they have a job; the others have
the leases, sweeps and pauses of production. The reference is what a queue without leases needs at best, one that waits
until somebody has started its worker again. A cancelled job is one that never looks whether it was, beside one that
still waits for its worker.
"""

import asyncio
import random
import time

from services.kit.db.engine import Database
from services.kit.redis import connect
from services.mesh.valkey import Valkey
from tests.bench.job_workers import FREE, LONG
from tests.bench.rounds import Figures, Row, Series, Trial, median
from tests.bench.wallet import furnished
from tests.bench.workers import Jobs, Workers

WORKERS = 6
VICTIMS = 4
BATCHES = 5
CANCELS = 20
_HEARTBEAT_S = 0.7
_AGAIN_P99_S = 5.0
_CANCEL_P99_MS = 1000.0


async def measure(trial: Trial) -> list[Row]:
    """Return the median and the p99 of both, in seconds."""
    valkey = Valkey(trial.folder / "valkey")
    redis_url = await asyncio.to_thread(valkey.start)
    try:
        async with furnished(trial.folder / "postgres") as (url, db):
            return await _measure(trial, url, db, redis_url)
    finally:
        await asyncio.to_thread(valkey.remove)


async def _measure(trial: Trial, url: str, db: Database, redis_url: str) -> list[Row]:
    redis = connect(redis_url)
    workers = Workers(url, redis_url)
    jobs = Jobs(db, redis)
    chance = random.Random(7)
    values: dict[str, list[float]] = {"again": [], "fresh": [], "running": [], "waiting": []}

    async def ours() -> Figures:
        await workers.keep(WORKERS)
        again = []
        for _ in range(BATCHES):
            again += await _killed(jobs, workers, chance)
            await workers.keep(WORKERS)
        running = [await _cancelled(jobs) for _ in range(CANCELS)]
        await workers.end()
        values["again"] += again
        values["running"] += running
        return {"s": median(again), "ms": median(running)}

    async def reference() -> Figures:
        fresh = [await _first_of(jobs, workers) for _ in range(BATCHES)]
        waiting = [1e3 * await jobs.cancelled_s(await jobs.submit(LONG)) for _ in range(CANCELS)]
        values["fresh"] += fresh
        values["waiting"] += waiting
        return {"s": median(fresh), "ms": median(waiting)}

    try:
        series = await trial.in_turn(ours, reference)
    finally:
        await workers.end()
        jobs.close()
        await redis.aclose()
    return _rows(series, {name: tuple(each) for name, each in values.items()})


def _rows(series: Series, values: dict[str, tuple[float, ...]]) -> list[Row]:
    """Return the median of the rounds and the p99 of all values, of kills and of cancellations."""
    mine, other = series.ours, series.reference
    kill = (
        "recovery",
        "kill -9 of a worker to its job running elsewhere",
        "s",
        "exec of a fresh worker to its first job",
    )
    cancel = ("recovery", "cancel of a running job to its last event", "ms", "the same of a waiting job")
    kills = f"{len(values['again'])} kills, {VICTIMS} of {WORKERS} workers at a time"
    return [
        Row(*kill, mine["s"], other["s"], note=kills),
        Row(*kill, values["again"], values["fresh"], share=0.99, limit=_AGAIN_P99_S),
        Row(*cancel, mine["ms"], other["ms"], note=f"{len(values['running'])} jobs that never look"),
        Row(*cancel, values["running"], values["waiting"], share=0.99, limit=_CANCEL_P99_MS),
    ]


async def _killed(jobs: Jobs, workers: Workers, chance: random.Random) -> list[float]:
    """Return after how many seconds the job of each killed worker ran in another one."""
    begun = await jobs.starts([await jobs.submit(LONG) for _ in range(VICTIMS)])

    async def kill(pid: int) -> int:
        await asyncio.sleep(chance.random() * _HEARTBEAT_S)
        return await workers.kill(pid)

    at = await asyncio.gather(*(kill(pid) for _, pid in begun.values()))
    again = await jobs.starts(begun)
    return [(again[job_id][0] - moment) / 1e9 for job_id, moment in zip(begun, at, strict=True)]


async def _first_of(jobs: Jobs, workers: Workers) -> float:
    """Return the seconds from the start of a worker process to its first job."""
    job_id = await jobs.submit(FREE)
    at = time.time_ns()
    await workers.keep(1)
    begun = await jobs.starts([job_id])
    await workers.end()
    return (begun[job_id][0] - at) / 1e9


async def _cancelled(jobs: Jobs) -> float:
    """Return the milliseconds from the cancellation of a running job to its last event."""
    job_id = await jobs.submit(LONG)
    await jobs.starts([job_id])
    return 1e3 * await jobs.cancelled_s(job_id)
