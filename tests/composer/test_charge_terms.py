"""The terms of Wallet as Composer meets them: dates of holds, refusals, quoted prices."""

import asyncio
from datetime import timedelta

import grpc.aio
import pytest
from sqlalchemy import func, select, text, update

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from services.composer.storage.tables import jobs
from services.kit.clock import now
from services.kit.ending import end
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.jobs import outbox
from services.kit.jobs.job import Job
from services.kit.jobs.states import State
from services.kit.rpc.errors import from_rpc
from services.wallet.domain.credit import Price, TransferKind
from services.wallet.domain.quota import Plan, Quota
from services.wallet.usecases.admin import Administration
from services.wallet.usecases.credit import Credits
from tests.composer.studio import Studio, until


async def _expired(studio: Studio, job_id: str) -> None:
    """Let the hold of a job expire as if its date had passed long ago."""
    async with studio.db.transaction() as tx:
        await tx.execute(text("ALTER TABLE wallet.holds DISABLE TRIGGER guarded"))
        await tx.execute(
            text("UPDATE wallet.holds SET expire_time = now() - interval '1 s' WHERE hold_id = CAST(:id AS uuid)"),
            {"id": job_id},
        )
        await tx.execute(text("ALTER TABLE wallet.holds ENABLE TRIGGER guarded"))
    await Credits(studio.db, now, signup_grant_credits=100).expire(hold_id=job_id)


@pytest.mark.parametrize("ending", ["completed", "cancelled"])
async def test_an_end_that_comes_after_the_expiry_is_told_once(studio: Studio, ending: str) -> None:
    """When the hold has expired, the job's last message is done at its first try and what went back stays back."""
    answer = await studio.create()
    await _expired(studio, answer.job_id)
    if ending == "completed":
        assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    else:
        request = job_pb.CancelJobRequest(job_id=answer.job_id)
        await studio.jobs().CancelJob(request, metadata=studio.metadata())
        await studio.charge.dispatcher.drain()
    async with studio.db.transaction() as tx:
        rows = (await tx.execute(select(jobs.outbox).where(jobs.outbox.c.key == answer.job_id))).all()
    assert [(row.attempt, row.last_error, row.done_time is None) for row in rows] == [(1, "", False)]
    assert await studio.balance() == (100, 0)


async def test_a_hold_outlives_the_longest_life_of_its_job(studio: Studio) -> None:
    """The date of the hold lies days behind the time at which the job must have ended, however late it is taken up."""
    answer = await studio.create()
    job = await studio.job(answer.job_id)
    policy = studio.queue.policies[job.kind]
    longest = timedelta(seconds=policy.waiting_s + policy.deadline_s)
    async with studio.db.transaction() as tx:
        query = text("SELECT expire_time FROM wallet.holds WHERE hold_id = CAST(:id AS uuid)")
        until_time = (await tx.execute(query, {"id": job.job_id})).scalar_one()
    assert until_time >= job.create_time + longest + timedelta(days=3)


@pytest.mark.parametrize("why", ["CREDITS_HELD", "QUOTA_EXCEEDED", "WALLET_FROZEN"])
async def test_every_refusal_of_wallet_leaves_nothing(studio: Studio, why: str) -> None:
    """Held by other jobs, over the quota and frozen each come through with their reason; no track or job is left."""
    admin = Administration(studio.db, now)
    credits_ = Credits(studio.db, now, signup_grant_credits=100)
    if why == "CREDITS_HELD":
        for _ in range(5):
            await credits_.hold(request_id=new_id(), user_id=studio.user_id, price_kind="music")
    elif why == "QUOTA_EXCEEDED":
        await admin.set_plan("boss", request_id=new_id(), user_id=studio.user_id, plan=Plan.BASIC, reason="test")
        quota = Quota(Plan.BASIC, "music", 0)
        await admin.set_quota("boss", request_id=new_id(), quota=quota, reason="test")
    else:
        await admin.freeze("boss", request_id=new_id(), user_id=studio.user_id, reason="test")
    before = await studio.balance()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(request_id="refused")
    assert from_rpc(refused.value).reason == why
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == before
    async with studio.db.transaction() as tx:
        waiting = select(func.count()).select_from(jobs.outbox).where(jobs.outbox.c.done_time.is_(None))
        assert await tx.scalar(waiting) == 1  # a release, in case an earlier call of the same job is still on its way


async def test_a_song_costs_what_was_quoted(studio: Studio) -> None:
    """After a price change the quoted version still buys a song, also when it is taken up later; others do not."""
    admin = Administration(studio.db, now)
    for amount in (21, 20):
        price = Price("music", amount)
        await admin.set_price("boss", request_id=new_id(), price=price, reason="test")
    asset_id = await studio.asset()
    request = pb.CreateTrackRequest(asset_id=asset_id, price_version=2)
    answer = await studio.tracks().CreateTrack(request, metadata=studio.metadata())
    assert answer.track.cost_credits == 21
    assert (await studio.track(answer.track_id)).cost_credits == 21
    request.price_version = 9
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.tracks().CreateTrack(request, metadata=studio.metadata())
    assert from_rpc(refused.value).reason == "PRICE_CHANGED"
    assert await studio.balance() == (79, 21)
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    assert await studio.balance() == (79, 0)


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_the_ledger_says_why_credits_came_back(studio: Studio, ending: str) -> None:
    """The line of a release names the reason of a failed job, and of a cancelled one that it was cancelled.

    The song stands where its job stands from the moment on in which that ended.
    """
    answer = await studio.create()
    async with studio.db.transaction() as tx:
        if ending == "failed":
            await studio.queue.fail(tx, answer.job_id, "TAKE_SILENT", "there is nothing to hear")
        else:
            await studio.queue.cancel(tx, answer.job_id)
    state = pb.Track.STATE_FAILED if ending == "failed" else pb.Track.STATE_CANCELLED
    assert (await studio.track(answer.track_id)).state == state
    await studio.charge.dispatcher.drain()
    credits_ = Credits(studio.db, now, signup_grant_credits=100)
    lines = (await credits_.entries(studio.user_id, page_size=10, page_token="", kind=TransferKind.RELEASE)).entries
    assert [line.description for line in lines] == ["TAKE_SILENT" if ending == "failed" else "cancelled"]


async def test_a_kick_sends_what_is_owed_at_once(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kicked, the outbox gives the credits of a cancelled song back although it would look again in a long time."""
    monkeypatch.setattr(outbox, "_POLL_S", 1000.0)
    sending = asyncio.create_task(studio.charge.dispatcher.run())
    await asyncio.sleep(0.3)
    answer = await studio.create()
    await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=answer.job_id), metadata=studio.metadata())
    studio.charge.kick()

    async def back() -> bool:
        return await studio.balance() == (100, 0)

    await until(back)
    await end([sending])
    assert await studio.balance() == (100, 0)


@pytest.mark.parametrize("why", ["away", "poor"])
async def test_taking_up_a_job_that_cannot_be_charged_raises_nothing(studio: Studio, why: str) -> None:
    """A pending job whose hold is refused is gone, one whose Wallet is away goes on waiting, and neither is a fault."""
    async with studio.db.transaction() as tx:
        job = await studio.queue.create(tx, kind="music", user_id=studio.user_id, subject_id=new_id(), params={})
    if why == "away":
        studio.mesh.remove("wallet")
    else:
        wallet = Credits(studio.db, now, signup_grant_credits=100)
        for _ in range(5):
            await wallet.hold(request_id=new_id(), user_id=studio.user_id, price_kind="music")
    await studio.charge.resume(job)
    async with studio.db.transaction() as tx:
        left = await tx.scalar(select(jobs.jobs.c.state).where(jobs.jobs.c.job_id == job.job_id))
    assert left == ("pending" if why == "away" else None)
    studio.serve_wallet()


async def test_a_paid_job_is_told_to_the_workers(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its price is held a job is queued and pushed, with what it costs and what is left."""
    pushed: list[State] = []

    async def push(job: Job) -> None:
        pushed.append(job.state)

    monkeypatch.setattr(studio.queue, "push", push)
    async with studio.db.transaction() as tx:
        job = await studio.queue.create(tx, kind="music", user_id=studio.user_id, subject_id=new_id(), params={})
    queued = await studio.charge.go_on(job)
    assert pushed == [State.QUEUED]
    assert (queued.job.state, queued.cost_credits, queued.remaining_credits) == (State.QUEUED, 20, 80)


async def _made(studio: Studio) -> Job:
    """Return a pending job of the person whose price nobody has held yet."""
    async with studio.db.transaction() as tx:
        return await studio.queue.create(tx, kind="music", user_id=studio.user_id, subject_id=new_id(), params={})


async def test_a_hold_for_an_earlier_round_goes_back(studio: Studio) -> None:
    """When a job was put back while the price of its round before was being held, what that took is released."""
    job = await _made(studio)
    async with studio.db.transaction() as tx:
        await tx.execute(update(jobs.jobs).where(jobs.jobs.c.job_id == job.job_id).values(revivals=1))
    late = await studio.charge.go_on(job)
    assert (late.job.state, late.job.revivals) == (State.PENDING, 1)
    assert await studio.balance() == (80, 20)
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)


async def test_a_refusal_that_comes_late_removes_nothing(studio: Studio) -> None:
    """Whoever is refused the price of a job that somebody else has paid meanwhile leaves the job alone."""
    job = await _made(studio)
    await studio.charge.go_on(job)
    await studio.charge._undo(job, RemoteError("INSUFFICIENT_CREDITS", "too few"))
    assert (await studio.job(job.job_id)).state is State.QUEUED
    assert await studio.balance() == (80, 20)
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (80, 20)
