"""Dead letters as an administrator handles them, with the money that goes with a job that is put back."""

import asyncio
from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import dead_letter_service_pb2 as pb
from cadenza.composer.v1 import track_service_pb2 as track_pb
from cadenza.job.v1 import job_pb2
from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb2
from services.composer.domain.hold import hold_id
from services.composer.storage import bill
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.jobs.states import State
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio
from tests.kit.rpc_layouts import bearer

PROVIDER_AWAY = Unavailable("the provider is away", dependency="provider")


def boss(studio: Studio) -> tuple[tuple[str, str], ...]:
    """Return the metadata of an administrator's call."""
    return tuple(bearer(studio.issuer.token(sub=new_id(), roles=["admin"])))


async def dead(studio: Studio) -> track_pb.CreateTrackResponse:
    """Return a song whose three attempts have failed, its credits given back."""
    made = await studio.create()
    studio.band.always["check"] = PROVIDER_AWAY
    for _ in range(3):
        await studio.hurry(made.job_id)
        await studio.finish(made.job_id)
    studio.band.always.clear()
    assert (await studio.job(made.job_id)).state is State.FAILED
    assert await studio.balance() == (100, 0)
    return made


async def requeued(studio: Studio, job_id: str, request_id: str = "again") -> job_pb2.Job:
    """Return the job that an administrator has put back."""
    request = pb.RequeueJobRequest(request_id=request_id, job_id=job_id)
    return (await studio.dead_letters().RequeueJob(request, metadata=boss(studio))).job


async def spend(studio: Studio, *, times: int) -> None:
    """Let the person have spent as many prices of a song."""
    for _ in range(times):
        hold = wallet_pb2.HoldRequest(request_id=new_id(), user_id=studio.user_id, price_kind="music")
        await studio.credits("composer").Hold(hold)
        await studio.credits("composer").Settle(wallet_pb2.SettleRequest(request_id=new_id(), hold_id=hold.request_id))


async def refused(call: Any) -> str:
    """Return the public reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value).reason


async def test_a_dead_letter_shows_every_attempt(studio: Studio) -> None:
    """A job out of attempts is listed in pages with its owner, and shown with each attempt's error."""
    made = [await dead(studio) for _ in range(2)]
    stub, me = studio.dead_letters(), boss(studio)
    first = await stub.ListDeadLetters(pb.ListDeadLettersRequest(page_size=1, kind="music"), metadata=me)
    second = await stub.ListDeadLetters(
        pb.ListDeadLettersRequest(page_size=1, page_token=first.next_page_token), metadata=me
    )
    listed = [each.job.job_id for each in (*first.dead_letters, *second.dead_letters)]
    assert listed == [made[1].job_id, made[0].job_id]
    assert first.dead_letters[0].user_id == studio.user_id
    assert not (await stub.ListDeadLetters(pb.ListDeadLettersRequest(kind="lyrics"), metadata=me)).dead_letters
    shown = await stub.GetDeadLetter(pb.GetDeadLetterRequest(job_id=made[0].job_id), metadata=me)
    assert shown.dead_letter.job.error.reason == "SERVICE_UNAVAILABLE"
    assert [(each.attempt, each.outcome, each.error_reason) for each in shown.attempts] == [
        (number, "failed", "SERVICE_UNAVAILABLE") for number in (1, 2, 3)
    ]
    assert [each.error_message for each in shown.attempts] == ["the provider is away"] * 3
    wrong = stub.ListDeadLetters(pb.ListDeadLettersRequest(page_token="x"), metadata=me)
    assert await refused(wrong) == "PARAM_INVALID"


async def test_a_song_put_back_is_made_and_charged_once(studio: Studio) -> None:
    """A failed song that is put back is held for anew, made, and charged once; its bills name both of its holds."""
    made = await dead(studio)
    assert (await requeued(studio, made.job_id)).state == job_pb2.JOB_STATE_QUEUED
    assert await studio.balance() == (80, 20)
    assert (await studio.track(made.track_id)).state == track_pb.Track.STATE_GENERATING
    assert (await studio.finish(made.job_id)).state is State.COMPLETED
    assert (await studio.track(made.track_id)).state == track_pb.Track.STATE_READY
    assert await studio.balance() == (80, 0)
    assert await studio.entries() == [-20, 20, -20, 100]
    # A repeat after the end is still the first act.
    assert (await requeued(studio, made.job_id)).state == job_pb2.JOB_STATE_COMPLETED
    assert await studio.entries() == [-20, 20, -20, 100]

    async with studio.db.transaction() as tx:
        bills = [each for each in await bill.page(tx, after="", most=500) if each.user_id == studio.user_id]
        behind = [each for each in await bill.page(tx, after=made.job_id, most=1) if each.user_id == studio.user_id]
    assert [(each.hold_id, each.state, each.cost_credits, each.message, each.delivered) for each in bills] == [
        (made.job_id, State.FAILED, 0, "release", True),
        (hold_id(made.job_id, 1), State.COMPLETED, 20, "settle", True),
    ]
    assert behind == bills[1:]


async def test_putting_back_twice_holds_once(studio: Studio) -> None:
    """Ten equal requests at once and one after them hold one price; another request finds no dead letter."""
    made = await dead(studio)
    answers = await asyncio.gather(*(requeued(studio, made.job_id) for _ in range(10)))
    assert {each.job_id for each in answers} == {made.job_id}
    await requeued(studio, made.job_id)
    assert await studio.balance() == (80, 20)
    assert await refused(requeued(studio, made.job_id, "another")) == "JOB_NOT_DEAD"
    await studio.finish(made.job_id)
    assert await studio.balance() == (80, 0)


async def test_failing_again_gives_back_again(studio: Studio) -> None:
    """A song that fails in its second round gives its second hold back, and a third round is paid for on its own."""
    made = await dead(studio)
    await requeued(studio, made.job_id, "first")
    studio.band.always["check"] = PROVIDER_AWAY
    for _ in range(3):
        await studio.hurry(made.job_id)
        await studio.finish(made.job_id)
    studio.band.always.clear()
    assert await studio.balance() == (100, 0)
    await requeued(studio, made.job_id, "second")
    await studio.finish(made.job_id)
    assert await studio.entries() == [-20, 20, -20, 20, -20, 100]


async def test_an_empty_wallet_leaves_it_dead(studio: Studio) -> None:
    """Without the credits the job is refused, also to the repeat, and stays a dead letter that pays later."""
    made = await dead(studio)
    await spend(studio, times=5)
    for _ in range(2):
        assert await refused(requeued(studio, made.job_id)) == "INSUFFICIENT_CREDITS"
    shown = await studio.dead_letters().GetDeadLetter(
        pb.GetDeadLetterRequest(job_id=made.job_id), metadata=boss(studio)
    )
    assert shown.dead_letter.job.state == job_pb2.JOB_STATE_FAILED
    assert shown.dead_letter.job.error.reason == "INSUFFICIENT_CREDITS"
    assert (await studio.track(made.track_id)).state == track_pb.Track.STATE_FAILED
    assert await studio.balance() == (0, 0)
    await studio.finish(made.job_id)
    assert await studio.balance() == (0, 0)


async def test_wallet_away_is_made_good_later(studio: Studio) -> None:
    """Without Wallet the job waits for its hold, and the sweeper takes it up when Wallet is back."""
    made = await dead(studio)
    studio.mesh.remove("wallet")
    assert await refused(requeued(studio, made.job_id)) == "SERVICE_UNAVAILABLE"
    assert (await studio.job(made.job_id)).state is State.PENDING
    studio.serve_wallet()
    await studio.hurry(made.job_id)
    await studio.sweeper().sweep()
    assert (await studio.finish(made.job_id)).state is State.COMPLETED
    assert await studio.balance() == (80, 0)


async def test_a_dropped_job_stays_failed(studio: Studio) -> None:
    """A dropped job is no dead letter any more and cannot be put back; a repeat is answered alike."""
    made = await dead(studio)
    stub, request = studio.dead_letters(), pb.DropJobRequest(job_id=made.job_id)
    first = await stub.DropJob(request, metadata=boss(studio))
    assert first == await stub.DropJob(request, metadata=boss(studio))
    assert first.job.state == job_pb2.JOB_STATE_FAILED
    assert await refused(requeued(studio, made.job_id)) == "JOB_NOT_DEAD"
    waiting = await studio.create()
    await_drop = stub.DropJob(pb.DropJobRequest(job_id=waiting.job_id), metadata=boss(studio))
    assert await refused(await_drop) == "JOB_NOT_DEAD"


async def test_only_for_administrators(studio: Studio) -> None:
    """A stranger is told to sign in and a user, the job's owner too, that this is not allowed; nothing happens."""
    made = await dead(studio)
    stub = studio.dead_letters()
    for who, reason in ((None, "AUTH_REQUIRED"), (studio.metadata(), "PERMISSION_DENIED")):
        for call in (
            stub.ListDeadLetters(pb.ListDeadLettersRequest(), metadata=who),
            stub.GetDeadLetter(pb.GetDeadLetterRequest(job_id=made.job_id), metadata=who),
            stub.RequeueJob(pb.RequeueJobRequest(request_id="r", job_id=made.job_id), metadata=who),
            stub.DropJob(pb.DropJobRequest(job_id=made.job_id), metadata=who),
        ):
            assert await refused(call) == reason
    assert (await studio.job(made.job_id)).dead_time is not None
