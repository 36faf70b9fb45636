"""Making, queueing, cancelling and reading jobs inside the caller's transactions."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.kit.errors import ParamInvalid
from services.kit.ids import new_id
from services.kit.jobs.errors import EventsGone, JobActive, JobNotCancellable, JobNotFound
from services.kit.jobs.job import Note
from services.kit.jobs.queue import PENDING_S, JobQueue, stop_topic
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.states import IllegalTransition, State
from services.kit.redis import connect
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, on_end, store, tables, until


async def test_a_job_goes_away_with_its_transaction(tiny: TinyService) -> None:
    """A job made in a transaction that rolls back was never there."""

    async def make_and_fail() -> None:
        async with tiny.db.transaction() as tx:
            await tiny.queue.create(tx, kind="count", user_id=new_id(), subject_id=new_id(), params={}, job_id=job_id)
            raise RuntimeError

    job_id = new_id()
    with pytest.raises(RuntimeError):
        await make_and_fail()
    with pytest.raises(JobNotFound):
        await tiny.job(job_id)


async def test_create_and_enqueue_write_the_first_two_events(tiny: TinyService) -> None:
    """A new job's log begins with 1 for pending and 2 for queued, and the row knows the newest."""
    job = await tiny.submit(pause_s=0)
    assert [(event.sequence, event.state) for event in await tiny.events(job.job_id)] == [
        (1, State.PENDING),
        (2, State.QUEUED),
    ]
    assert (await tiny.job(job.job_id)).last_sequence == 2


async def test_enqueue_twice_is_refused(tiny: TinyService) -> None:
    """A job that is queued cannot be queued again."""
    job = await tiny.submit()
    with pytest.raises(IllegalTransition):
        async with tiny.db.transaction() as tx:
            await tiny.queue.enqueue(tx, job.job_id)


@pytest.mark.parametrize("text", ["", "42", "0" * 36, "x\0", "'; DROP TABLE jobs; --"])
async def test_what_is_no_id_is_not_found(tiny: TinyService, text: str) -> None:
    """Text that is no id finds no job and never reaches the database as one."""
    with pytest.raises(JobNotFound):
        await tiny.job(text)


async def test_cancel_of_a_waiting_job_ends_it_with_its_hook(tiny: TinyService) -> None:
    """A queued job is cancelled at once, and the outbox row is written with it."""
    job = await tiny.submit()
    cancelled = await tiny.cancel(job.job_id)
    assert cancelled.state is State.CANCELLED
    assert cancelled.finish_time == tiny.clock()
    assert await tiny.messages(job.job_id) == ["cancelled"]
    assert (await tiny.events(job.job_id))[-1].final


async def test_cancel_of_a_finished_job_is_refused(tiny: TinyService) -> None:
    """Cancelling twice raises JobNotCancellable with the state."""
    job = await tiny.submit()
    await tiny.cancel(job.job_id)
    with pytest.raises(JobNotCancellable) as refused:
        await tiny.cancel(job.job_id)
    assert refused.value.metadata["state"] == "cancelled"


async def test_fail_keeps_the_reason(tiny: TinyService) -> None:
    """A job failed by its service shows reason, message and facts, without characters jsonb refuses."""
    job = await tiny.submit()
    async with tiny.db.transaction() as tx:
        await tiny.queue.fail(tx, job.job_id, "INSUFFICIENT_CREDITS", "12\0 needed", needed=12)
    failed = await tiny.job(job.job_id)
    assert (failed.state, failed.error_reason) == (State.FAILED, "INSUFFICIENT_CREDITS")
    assert (failed.error_message, failed.error_metadata) == ("12 needed", {"needed": "12"})
    assert await tiny.messages(job.job_id) == ["failed"]


async def test_delete_needs_a_finished_job(tiny: TinyService) -> None:
    """A job that may still run keeps its row; a finished one goes with its log."""
    job = await tiny.submit()
    with pytest.raises(JobActive):
        async with tiny.db.transaction() as tx:
            await tiny.queue.delete(tx, job.job_id)
    await tiny.cancel(job.job_id)
    async with tiny.db.transaction() as tx:
        await tiny.queue.delete(tx, job.job_id)
    assert await tiny.events(job.job_id) == ()


async def test_list_pages_newest_first_without_overlap(tiny: TinyService) -> None:
    """Pages of two over five jobs of one user show each once, newest first, and nobody else's."""
    user_id = new_id()
    mine: list[str] = []
    async with tiny.db.transaction() as tx:
        for owner in [user_id, new_id(), user_id, user_id, user_id, user_id]:
            job = await tiny.queue.create(tx, kind="count", user_id=owner, subject_id="", params={})
            mine += [job.job_id] if owner == user_id else []
    seen: list[str] = []
    token = ""
    sizes = []
    async with tiny.db.transaction() as tx:
        while True:
            page, token = await tiny.queue.list(tx, user_id, page_size=2, page_token=token)
            seen += [job.job_id for job in page]
            sizes.append(len(page))
            if not token:
                break
    assert sizes == [2, 2, 1]
    assert seen == mine[::-1]


async def test_list_refuses_a_token_of_another_list(tiny: TinyService) -> None:
    """A page token that holds no id is a fault of the caller's page_token field."""
    with pytest.raises(ParamInvalid) as refused:
        async with tiny.db.transaction() as tx:
            await tiny.queue.list(tx, new_id(), page_token="WzQyXQ")
    assert refused.value.metadata == {"field": "page_token"}


async def test_active_count_forgets_finished_jobs(tiny: TinyService) -> None:
    """Only pending, queued and running jobs count against a limit."""
    job = await tiny.submit()
    async with tiny.db.transaction() as tx:
        before = await tiny.queue.active_count(tx, job.user_id)
    await tiny.cancel(job.job_id)
    async with tiny.db.transaction() as tx:
        assert (before, await tiny.queue.active_count(tx, job.user_id)) == (1, 0)


async def test_push_puts_one_pointer_however_often_it_is_called(tiny: TinyService, redis: Redis) -> None:
    """Pushing a job that waits already adds nothing to RQ's queue."""
    job = await tiny.submit()
    for _ in range(3):
        await tiny.queue.push(job)
    assert await redis.llen(f"rq:queue:{tiny.queue_name}") == 1
    await redis.delete(f"rq:queue:{tiny.queue_name}")


async def test_push_without_redis_does_not_raise(tiny: TinyService) -> None:
    """A submission succeeds while Redis is away."""
    nowhere = connect("redis://127.0.0.1:1/0")
    queue = JobQueue(store, tiny.queue.policies, RedisSignals(nowhere), tiny.clock, on_end=on_end)
    async with tiny.db.transaction() as tx:
        job = await queue.create(tx, kind="count", user_id=new_id(), subject_id="", params={})
        job = await queue.enqueue(tx, job.job_id)
    await queue.push(job)
    assert (await tiny.job(job.job_id)).state is State.QUEUED
    queue.close()
    await nowhere.aclose()


async def test_the_table_refuses_a_running_job_without_a_lease(tiny: TinyService) -> None:
    """The constraints hold also for writers that go round the queue."""
    job = await tiny.submit()
    with pytest.raises(IntegrityError):
        async with tiny.db.transaction() as tx:
            await tx.execute(tables.jobs.update().where(tables.jobs.c.job_id == job.job_id).values(state="running"))


async def test_a_new_job_is_asked_about_and_given_up_in_its_time(tiny: TinyService) -> None:
    """A pending job says when somebody should ask what became of it, and until when it may wait."""
    async with tiny.db.transaction() as tx:
        job = await tiny.queue.create(tx, kind="count", user_id=new_id(), subject_id="", params={})
    assert job.run_after == tiny.clock() + timedelta(seconds=PENDING_S)
    assert job.deadline_time == tiny.clock() + timedelta(seconds=tiny.queue.policies["count"].waiting_s)


async def test_a_job_that_goes_back_is_due_after_its_pause(tiny: TinyService) -> None:
    """A running job that is requeued has no holder, keeps its turn and is due when the pause is over."""
    await tiny.submit()
    taken = await tiny.runner().take(tiny.queue_name)
    assert taken is not None
    async with tiny.db.transaction() as tx:
        back = await tiny.queue.requeue(tx, await tiny.queue.rows.lock(tx, taken.job_id), Note("later"), pause_s=7.0)
    assert (back.state, back.lease_owner, back.turn_time) == (State.QUEUED, "", taken.turn_time)
    assert back.run_after == tiny.clock() + timedelta(seconds=7)


async def test_the_worker_of_a_cancelled_job_is_told_at_once(tiny: TinyService) -> None:
    """Cancelling running work returns it as asked to stop, and rings for its worker beside the readers of its log."""
    await tiny.submit()
    taken = await tiny.runner().take(tiny.queue_name)
    assert taken is not None
    async with tiny.queue.signals.listen(stop_topic(taken.job_id)) as told:
        # The subscription looks once by itself.
        await until(lambda: asyncio.sleep(0, told.is_set()))
        told.clear()
        asked = await tiny.cancel(taken.job_id)
        async with asyncio.timeout(5):
            await told.wait()
    assert (asked.state, asked.cancel_requested) == (State.RUNNING, True)


async def test_a_page_that_holds_everything_has_no_next(tiny: TinyService) -> None:
    """As many jobs as a page has places make one page and no token."""
    user_id = new_id()
    for _ in range(2):
        await tiny.submit(user_id=user_id)
    async with tiny.db.transaction() as tx:
        page, token = await tiny.queue.list(tx, user_id, page_size=2)
    assert (len(page), token) == (2, "")


async def test_a_page_without_a_size_holds_twenty(tiny: TinyService) -> None:
    """Of twenty-one jobs a page whose size is not named holds the twenty newest."""
    user_id = new_id()
    jobs = [await tiny.submit(user_id=user_id) for _ in range(21)]
    async with tiny.db.transaction() as tx:
        page, token = await tiny.queue.list(tx, user_id)
    assert [job.job_id for job in page] == [job.job_id for job in reversed(jobs[1:])]
    assert token


async def test_a_log_that_was_shortened_says_where_it_begins(tiny: TinyService) -> None:
    """Reading on behind a line whose next one is gone is refused with the first number there is; from 0 it is read."""
    job = await tiny.submit()
    await tiny.runner().run(job.job_id)
    whole = await tiny.events(job.job_id)
    async with tiny.db.transaction() as tx:
        await tx.execute(
            tables.events.delete().where(tables.events.c.job_id == job.job_id, tables.events.c.sequence < 4)
        )
        with pytest.raises(EventsGone) as gone:
            await tiny.queue.events(tx, job.job_id, 1)
        assert await tiny.queue.events(tx, job.job_id) == await tiny.queue.events(tx, job.job_id, 3) == whole[3:]
    assert gone.value.metadata["first_sequence"] == "4"


async def test_who_is_woken_by_a_push(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push wakes the readers of the log, and the worker only of a running job that is to stop."""
    rung: list[str] = []

    async def wake(topic: str) -> None:
        rung.append(topic)

    monkeypatch.setattr(tiny.queue.signals, "wake", wake)
    job = await tiny.submit()
    await tiny.queue.push(job)
    assert rung == [job.job_id]
    running = await tiny.runner().take(tiny.queue_name)
    assert running is not None
    rung.clear()
    await tiny.queue.push(running)
    assert rung == [job.job_id]
    rung.clear()
    await tiny.cancel(job.job_id)
    assert rung == [job.job_id, stop_topic(job.job_id)]
    rung.clear()
    await tiny.cancel((await tiny.submit()).job_id)
    assert len(rung) == 1


async def test_a_delay_does_not_use_up_the_time_to_wait(tiny: TinyService) -> None:
    """A job that is to start later may wait as much longer, and is due when the delay is over."""
    async with tiny.db.transaction() as tx:
        made = await tiny.queue.create(tx, kind="count", user_id="", subject_id="", params={})
        queued = await tiny.queue.enqueue(tx, made.job_id, delay_s=30)
    assert queued.run_after - tiny.clock() == timedelta(seconds=30)
    assert queued.deadline_time - made.deadline_time == timedelta(seconds=30)


def test_every_job_has_a_bell_of_its_own() -> None:
    """What a worker listens to for a cancellation belongs to one job, and is not what the readers of its log hear."""
    one, other = new_id(), new_id()
    assert len({one, other, stop_topic(one), stop_topic(other)}) == 4


def test_closing_the_queue_closes_its_signals(tiny: TinyService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is closed keeps no subscription open."""
    closed: list[str] = []
    monkeypatch.setattr(tiny.queue.signals, "close", lambda: closed.append("signals"))
    tiny.queue.close()
    assert closed == ["signals"]


async def test_a_cancellation_is_remembered_and_repeated(tiny: TinyService) -> None:
    """The row says that its owner cancelled it, waiting or running; asking again for a running one changes nothing."""
    waiting = await tiny.cancel((await tiny.submit()).job_id)
    assert (waiting.state, waiting.cancel_requested) == (State.CANCELLED, True)
    await tiny.submit()
    running = await tiny.runner().take(tiny.queue_name)
    assert running is not None
    first = await tiny.cancel(running.job_id)
    again = await tiny.cancel(running.job_id)
    assert first.cancel_requested
    assert again == first


async def test_a_job_of_nobody_has_its_turn_when_it_is_made(tiny: TinyService, clock: SettableClock) -> None:
    """A job without an owner stands behind nothing, however many others of nobody wait."""
    for _ in range(2):
        async with tiny.db.transaction() as tx:
            job = await tiny.queue.create(tx, kind="count", user_id="", subject_id="", params={})
            row = (await tx.execute(select(tables.jobs.c.turn_time).where(tables.jobs.c.job_id == job.job_id))).one()
        assert row.turn_time == clock()
