"""The saga of job and hold against the real Wallet, broken at every place where it can break."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc.aio
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb2
from services.composer.domain.track import Track
from services.composer.storage import track as storage
from services.composer.storage.tables import jobs
from services.kit.clock import now
from services.kit.errors import RemoteError, Unavailable
from services.kit.ids import new_id
from services.kit.jobs.states import State
from services.kit.rpc.call import Call
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio, until


def reason(error: pytest.ExceptionInfo[grpc.aio.AioRpcError]) -> str:
    """Return the public reason of a refusal."""
    return from_rpc(error.value).reason


@asynccontextmanager
async def losing_holds(call: Call) -> AsyncIterator[None]:
    """Lose Wallet's answer to a hold after it was made."""
    yield
    if call.method.path.endswith("/Hold"):
        raise Unavailable("the answer got lost")


class Gate:
    """Keeps holds from reaching Wallet until it is opened."""

    def __init__(self) -> None:
        """Begin closed."""
        self.open = asyncio.Event()
        self.waiting = 0

    @asynccontextmanager
    async def __call__(self, call: Call) -> AsyncIterator[None]:
        """Let a hold wait before the gate."""
        if call.method.path.endswith("/Hold"):
            self.waiting += 1
            try:
                await self.open.wait()
            finally:
                self.waiting -= 1
        yield


async def spend(studio: Studio, *, times: int) -> None:
    """Let the person have spent as many prices of a song."""
    wallet = studio.credits("composer")
    for _ in range(times):
        hold = wallet_pb2.HoldRequest(request_id=new_id(), user_id=studio.user_id, price_kind="music")
        await wallet.Hold(hold)
        await wallet.Settle(wallet_pb2.SettleRequest(request_id=new_id(), hold_id=hold.request_id))


async def forgotten(studio: Studio) -> str:
    """Return the id of a job whose maker died before it reached Wallet."""
    asset_id = await studio.asset()
    gate = Gate()
    studio.serve_wallet(gate)
    call = asyncio.create_task(studio.create(asset_id, request_id="forgotten"))
    await until(lambda: gate.waiting == 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await until(lambda: gate.waiting == 0)
    studio.serve_wallet()
    async with studio.db.transaction() as tx:
        query = select(jobs.jobs.c.job_id).where(jobs.jobs.c.user_id == studio.user_id)
        return str((await tx.execute(query)).scalar_one())


async def test_too_few_credits(studio: Studio) -> None:
    """With fewer credits than the price no track, job or hold is left, only a release in case a call comes late."""
    await spend(studio, times=5)
    assert await studio.balance() == (0, 0)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(request_id="poor")
    assert reason(refused) == "INSUFFICIENT_CREDITS"
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == (0, 0)
    async with studio.db.transaction() as tx:
        waiting = select(func.count()).select_from(jobs.outbox).where(jobs.outbox.c.done_time.is_(None))
        assert await tx.scalar(waiting) == 1  # a release, in case an earlier call of the same job is still on its way


async def test_wallet_away(studio: Studio) -> None:
    """Without Wallet the answer is SERVICE_UNAVAILABLE and neither track nor job is left; later it works."""
    asset_id = await studio.asset()
    studio.mesh.remove("wallet")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id, request_id="r")
    assert reason(refused) == "SERVICE_UNAVAILABLE"
    assert await studio.rows() == (0, 0)
    studio.serve_wallet()
    await studio.create(asset_id, request_id="r")
    assert await studio.balance() == (80, 20)


async def test_a_hold_whose_answer_was_lost(studio: Studio) -> None:
    """A hold that was made although its caller saw a failure is given back, once."""
    asset_id = await studio.asset()
    studio.serve_wallet(losing_holds)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await studio.create(asset_id)
    assert reason(refused) == "SERVICE_UNAVAILABLE"
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == (80, 20)

    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)
    await studio.charge.dispatcher.drain()
    assert await studio.entries() == [20, -20, 100]


async def test_a_release_without_a_hold_is_given_up(studio: Studio) -> None:
    """A release that Wallet knows no hold for is repeated for a minute, in case one is on its way, and then done."""
    asset_id = await studio.asset()
    studio.mesh.remove("wallet")
    with pytest.raises(grpc.aio.AioRpcError):
        await studio.create(asset_id)
    studio.serve_wallet()
    assert await studio.charge.dispatcher.drain() == 0

    table = jobs.outbox
    old = {"since": (now() - timedelta(seconds=61)).isoformat()}
    async with studio.db.transaction() as tx:
        await tx.execute(
            update(table)
            .where(table.c.done_time.is_(None))
            .values(run_after=now() - timedelta(seconds=1), payload=table.c.payload.concat(old))
        )
    assert await studio.charge.dispatcher.drain() == 1
    assert await studio.balance() == (100, 0)


async def test_a_maker_that_died(studio: Studio) -> None:
    """A job whose maker died between its row and its hold is paid and queued by the sweeper."""
    job_id = await forgotten(studio)
    assert (await studio.job(job_id)).state is State.PENDING
    assert await studio.balance() == (100, 0)
    await studio.sweeper().sweep()
    assert (await studio.job(job_id)).state is State.PENDING, "the maker gets ten seconds"

    await studio.hurry(job_id)
    await studio.sweeper().sweep()
    job = await studio.job(job_id)
    assert job.state is State.QUEUED
    assert await studio.balance() == (80, 20)
    assert (await studio.track(job.subject_id)).cost_credits == 20
    assert (await studio.finish(job_id)).state is State.COMPLETED
    assert await studio.entries() == [-20, 100]


async def test_a_dead_makers_job_waits_for_wallet(studio: Studio) -> None:
    """The sweeper leaves a job pending while Wallet is away, and takes it up later."""
    job_id = await forgotten(studio)
    studio.mesh.remove("wallet")
    await studio.hurry(job_id)
    await studio.sweeper().sweep()
    assert (await studio.job(job_id)).state is State.PENDING
    studio.serve_wallet()
    await studio.hurry(job_id)
    await studio.sweeper().sweep()
    assert (await studio.job(job_id)).state is State.QUEUED


async def test_a_dead_makers_job_nobody_can_pay(studio: Studio) -> None:
    """A forgotten job whose price is not there any more goes, with its track."""
    job_id = await forgotten(studio)
    await spend(studio, times=5)
    await studio.hurry(job_id)
    await studio.sweeper().sweep()
    assert await studio.rows() == (0, 0)
    assert await studio.balance() == (0, 0)


async def test_a_repeat_pays_for_a_dead_maker(studio: Studio) -> None:
    """A client that repeats its call after its first one died gets the same track, paid and queued, at once."""
    job_id = await forgotten(studio)
    async with studio.db.transaction() as tx:
        query = select(jobs.jobs.c.subject_id).where(jobs.jobs.c.job_id == job_id)
        track_id = str((await tx.execute(query)).scalar_one())
    track = await studio.track(track_id)
    again = await studio.create(track.asset_id, request_id="forgotten")
    assert (again.track_id, again.job_id, again.track.cost_credits) == (track_id, job_id, 20)
    assert (await studio.job(job_id)).state is State.QUEUED
    assert await studio.balance() == (80, 20)


async def test_cancelled_while_being_paid(studio: Studio) -> None:
    """A song that its owner cancels while its price is being held is answered as cancelled, and paid back once."""
    asset_id = await studio.asset()
    gate = Gate()
    studio.serve_wallet(gate)
    call = asyncio.create_task(studio.create(asset_id))
    await until(lambda: gate.waiting == 1)
    listed = await studio.jobs().ListJobs(job_pb.ListJobsRequest(), metadata=studio.metadata())
    job_id = listed.jobs[0].job_id
    await studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=job_id), metadata=studio.metadata())
    gate.open.set()
    answer = await call
    assert answer.job.job_id == job_id
    assert (await studio.job(job_id)).state is State.CANCELLED
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)
    assert await studio.entries() == [20, -20, 100]


async def test_given_up_while_being_paid(studio: Studio) -> None:
    """A hold that succeeds for a job that is gone by then is given back."""
    asset_id = await studio.asset()
    gate = Gate()
    studio.serve_wallet(gate)
    call = asyncio.create_task(studio.create(asset_id))
    await until(lambda: gate.waiting == 1)
    async with studio.db.transaction() as tx:
        query = select(jobs.jobs.c.job_id).where(jobs.jobs.c.user_id == studio.user_id)
        job = await studio.queue.get(tx, str((await tx.execute(query)).scalar_one()))
    await studio.charge._undo(job, RemoteError("PERMISSION_DENIED"))
    gate.open.set()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert reason(refused) == "SERVICE_UNAVAILABLE"
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (100, 0)
    assert await studio.rows() == (0, 0)


async def test_wallet_away_at_the_end(studio: Studio) -> None:
    """A song that ends while Wallet is away is settled when Wallet is back, once."""
    answer = await studio.create()
    studio.mesh.remove("wallet")
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    studio.serve_wallet()
    assert await studio.balance() == (80, 20)
    async with studio.db.transaction() as tx:
        await tx.execute(update(jobs.outbox).values(run_after=now() - timedelta(seconds=1)))
    await studio.charge.dispatcher.drain()
    assert await studio.balance() == (80, 0)


async def test_two_dispatchers_settle_once(studio: Studio) -> None:
    """Server and worker look at the same outbox, and the ledger shows one settlement."""
    answer = await studio.create()
    await studio.runner().run(answer.job_id)
    await asyncio.gather(studio.charge.dispatcher.drain(), studio.charge.dispatcher.drain())
    assert await studio.balance() == (80, 0)
    listed = await studio.credits().ListEntries(wallet_pb2.ListEntriesRequest(), metadata=studio.metadata())
    assert [each.amount_credits for each in listed.entries] == [-20, 100]


async def somebody_waits(studio: Studio) -> bool:
    """Say whether a statement in our database waits for a lock."""
    async with studio.db.transaction() as tx:
        return bool(await tx.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))


@pytest.mark.parametrize("what", ["put away", "queue"])
async def test_the_jobs_row_before_the_tracks(studio: Studio, what: str) -> None:
    """Whoever changes job and track waits for the job first, as the end of a job does, so that nobody blocks nobody."""
    job = await studio.job(await forgotten(studio))

    async def change() -> None:
        if what == "queue":
            await studio.charge.go_on(job)
        else:
            request = pb.DeleteTrackRequest(track_id=job.subject_id)
            await studio.tracks().DeleteTrack(request, metadata=studio.metadata())

    async with studio.db.transaction() as tx:
        await studio.queue.rows.lock(tx, job.job_id)
        changing = asyncio.create_task(change())
        await until(lambda: somebody_waits(studio))
        await storage.change(tx, job.subject_id, now(), title="meanwhile")
    await changing


async def test_a_repeat_in_the_moment_of_queueing(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat that reads the track before and the job after the queueing answers with the price all the same."""
    job = await studio.job(await forgotten(studio))
    asset_id = (await studio.track(job.subject_id)).asset_id
    find = storage.find_by_request
    queued = False

    async def find_and_queue(tx: AsyncConnection, user_id: str, request_id: str) -> Track | None:
        nonlocal queued
        found = await find(tx, user_id, request_id)
        if not queued:
            queued = True
            await studio.charge.resume(job)
        return found

    monkeypatch.setattr(storage, "find_by_request", find_and_queue)
    again = await studio.create(asset_id, request_id="forgotten")
    assert (again.track_id, again.track.cost_credits) == (job.subject_id, 20)


async def test_ending_and_putting_away_at_once(studio: Studio) -> None:
    """Tracks that are put away in the moment their jobs end block nobody, and each is charged or paid back."""
    for _ in range(5):
        answer = await studio.create()
        before = await studio.balance()
        request = pb.DeleteTrackRequest(track_id=answer.track_id)
        await asyncio.gather(
            studio.runner().run(answer.job_id),
            studio.tracks().DeleteTrack(request, metadata=studio.metadata()),
        )
        await studio.charge.dispatcher.drain()
        state = (await studio.job(answer.job_id)).state
        paid_back = 0 if state is State.COMPLETED else 20
        assert await studio.balance() == (before[0] + paid_back, 0)
