"""What is left of a person's jobs when their account is erased."""

from datetime import timedelta

from redis.asyncio import Redis
from sqlalchemy import insert, select

from services.composer.storage.ownership import OWNED
from services.composer.storage.tables import jobs, moves
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.ownership import Ownership
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.kit.jobs.policy import Policy
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.signals import RedisSignals

_WORDS = "words of a song"


async def _ended(db: Database, queue: JobQueue, user_id: str) -> Job:
    """Return a job that failed behind a step, with words in everything that is written of it."""
    subject_id, params = new_id(), {"theme": _WORDS}
    async with db.transaction() as tx:
        job = await queue.create(tx, kind="song", user_id=user_id, subject_id=subject_id, params=params)
        await queue.enqueue(tx, job.job_id)
        times = {"start_time": now(), "finish_time": now() + timedelta(seconds=1)}
        step = {"job_id": job.job_id, "name": "write", "result": {"text": _WORDS}, "attempt": 1, **times}
        await tx.execute(insert(jobs.steps).values(step))
        attempt = {"job_id": job.job_id, "lease_token": 1, "attempt": 1, "worker": "w", "start_time": now()}
        ended = {"end_time": now(), "outcome": "failed", "error_message": _WORDS}
        await tx.execute(insert(jobs.attempts).values({**attempt, **ended}))
        return await queue.fail(tx, job.job_id, "LYRICS_REFUSED", _WORDS, theme=_WORDS)


async def _written(db: Database, job_id: str) -> tuple[str, int]:
    """Return everything that is written of a job, and how many lines of its log there are."""
    found = []
    async with db.transaction() as tx:
        for table in (jobs.jobs, jobs.events, jobs.steps, jobs.attempts):
            rows = await tx.execute(select(table).where(table.c.job_id == job_id))
            found.append(rows.mappings().all())
    return str(found), len(found[1])


async def test_logs_and_results_of_an_erased_account(db: Database, redis: Redis) -> None:
    """Of a job that has ended stay its row and the last line of its log, without a word; others' stay whole."""
    queue = JobQueue(PostgresJobs("composer", jobs), {"song": Policy("song", "song")}, RedisSignals(redis), now)
    gone, other = new_id(), new_id()
    mine, theirs = await _ended(db, queue, gone), await _ended(db, queue, other)
    async with db.transaction() as tx:
        waiting = await queue.create(tx, kind="song", user_id=gone, subject_id=new_id(), params={"theme": _WORDS})
    before = await _written(db, mine.job_id)
    ownership = Ownership(db, moves, OWNED, now)
    busy = [await ownership.erase(gone)]
    async with db.transaction() as tx:
        await queue.cancel(tx, waiting.job_id)
    busy.append(await ownership.erase(gone))
    queue.close()

    assert (before[0].count(_WORDS), before[1]) == (6, 3)
    assert busy == [1, 0]
    for job_id, state in ((mine.job_id, "failed"), (waiting.job_id, "cancelled")):
        text, lines = await _written(db, job_id)
        assert (text.count(_WORDS), lines, text.count(f"'state': '{state}'")) == (0, 1, 2)
    assert (await _written(db, theirs.job_id))[0].count(_WORDS) == 6
