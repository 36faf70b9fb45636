"""What reaches a receiver: a real server that takes, refuses, hangs, lies or is not there."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc.aio
import pytest
from sqlalchemy import delete, func, select

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1 import webhook_service_pb2 as pb
from gateway.codec import Codec
from services.composer.domain.errors import ProviderFailed
from services.composer.jobs.webhook import Deliverer
from services.composer.providers.webhook_receiver import HttpReceivers
from services.composer.rpc.messages import job_message
from services.composer.storage.tables import webhook_deliveries, webhooks
from services.composer.usecases.webhook_delivery import AT_ONCE, Deliveries, job_values
from services.kit.clock import now
from services.kit.ending import end
from services.kit.rpc.errors import from_rpc
from services.kit.sealing import Sealer
from tests.composer.receiver import Receiver, is_genuine, receiving
from tests.composer.studio import ENCRYPTION_KEY, Studio, until
from tests.conftest import SettableClock

_DEAD = "http://127.0.0.1:9/hook"


@dataclass
class Post:
    """A sender that a test runs by hand, on a clock of its own, and somebody who owns webhooks."""

    studio: Studio
    deliverer: Deliverer
    deliveries: Deliveries
    clock: SettableClock

    async def hook(self, url: str, **values: Any) -> tuple[str, str]:
        """Return the id and the secret of a new webhook."""
        request = pb.CreateWebhookRequest(url=url, **values)
        made = await self.studio.webhooks().CreateWebhook(request, metadata=self.studio.metadata())
        return made.webhook.webhook_id, made.secret

    async def test(self, webhook_id: str, request_id: str = "") -> pb.WebhookDelivery:
        """Return the delivery of a test event."""
        request = pb.TestWebhookRequest(webhook_id=webhook_id, request_id=request_id)
        return (await self.studio.webhooks().TestWebhook(request, metadata=self.studio.metadata())).delivery

    async def get(self, webhook_id: str) -> pb.Webhook:
        """Return the webhook."""
        request = pb.GetWebhookRequest(webhook_id=webhook_id)
        return (await self.studio.webhooks().GetWebhook(request, metadata=self.studio.metadata())).webhook

    async def log(self, webhook_id: str) -> list[pb.WebhookDelivery]:
        """Return the webhook's deliveries, the oldest first."""
        request = pb.ListWebhookDeliveriesRequest(webhook_id=webhook_id, page_size=100)
        answer = await self.studio.webhooks().ListWebhookDeliveries(request, metadata=self.studio.metadata())
        return list(answer.deliveries)[::-1]

    async def drain(self, seconds: float = 0.0) -> None:
        """Let time pass and send what is due then."""
        # The rows are written by the service's own clock.
        self.clock.advance(seconds)
        await self.deliverer.drain()


@pytest.fixture
async def post(studio: Studio, clock: SettableClock) -> AsyncIterator[Post]:
    """Yield a sender with nothing to send."""
    async with studio.db.transaction() as tx:
        await tx.execute(delete(webhooks))
    receivers = HttpReceivers(loopback_allowed=True, total_s=2.0)
    # Rows are written at the real time, so a clock that is ahead finds them due.
    clock.advance(60)
    deliveries = Deliveries(
        db=studio.db,
        receivers=receivers,
        sealer=Sealer.from_hex(ENCRYPTION_KEY),
        clock=clock,
        kept=timedelta(days=30),
    )
    yield Post(studio, Deliverer(deliveries), deliveries, clock)
    await receivers.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Yield a running receiver."""
    async with receiving() as made:
        yield made


async def test_a_song_is_told_of(post: Post, receiver: Receiver) -> None:
    """A song's start and end arrive signed, once each, with the job as the JSON API shows it."""
    hook, secret = await post.hook(receiver.url)
    made = await post.studio.create()
    await post.studio.finish(made.job_id)
    await post.drain()

    assert sorted(each.event["kind"] for each in receiver.came) == ["completed", "started"]
    for each in receiver.came:
        assert is_genuine(secret, each.headers["Cadenza-Signature"], each.body, post.clock().timestamp())
        assert each.headers["Cadenza-Event"] == each.event["event_id"]
        assert each.event["data"]["job"]["job_id"] == made.job_id
    ended = next(each for each in receiver.came if each.event["kind"] == "completed")
    request = job_pb.GetJobRequest(job_id=made.job_id)
    job = (await post.studio.jobs().GetJob(request, metadata=post.studio.metadata())).job
    shown = Codec().encode(job)
    told = ended.event["data"]["job"]
    assert told == {name: shown[name] for name in told}
    log = await post.log(hook)
    assert [each.state for each in log] == [pb.WebhookDelivery.STATE_DELIVERED] * 2
    assert [(each.attempts, each.status_code, each.error, each.job_id) for each in log] == [
        (1, 204, "", made.job_id)
    ] * 2


async def test_failure_and_cancellation_are_told_of(post: Post, receiver: Receiver) -> None:
    """A job that is given up tells its reason, a cancelled one its state; what was not asked for is not sent."""
    await post.hook(receiver.url, event_kinds=[pb.WEBHOOK_EVENT_KIND_FAILED, pb.WEBHOOK_EVENT_KIND_CANCELLED])
    post.studio.band.always["listen"] = ProviderFailed("broken")
    failed = await post.studio.create()
    job = await post.studio.finish(failed.job_id)
    waiting = await post.studio.create()
    await post.studio.jobs().CancelJob(job_pb.CancelJobRequest(job_id=waiting.job_id), metadata=post.studio.metadata())
    await post.drain()
    told = {each.event["kind"]: each.event["data"]["job"] for each in receiver.came}
    assert set(told) == {"failed", "cancelled"}
    assert told["failed"]["error"] == Codec().encode(job_message(job))["error"]
    assert told["failed"]["error"]["reason"] == "GENERATE_PROVIDER_ERROR"
    assert (told["cancelled"]["job_id"], told["cancelled"]["state"]) == (waiting.job_id, "cancelled")
    assert job_values(job)["error"] == told["failed"]["error"]


async def test_nobody_else_is_told(post: Post, receiver: Receiver) -> None:
    """A person's job reaches no webhook of another person."""
    await post.hook(receiver.url)
    await post.studio.new_user()
    made = await post.studio.create()
    await post.studio.finish(made.job_id)
    await post.drain()
    assert receiver.came == []


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (500, 500, "answered 500"),
        ("redirect", 307, "redirects are not followed"),
        ("cut", 0, "broke"),
        ("hang", 0, "no answer within"),
    ],
)
async def test_a_receiver_that_does_not_take_it(
    post: Post, receiver: Receiver, answer: int | str, status: int, words: str
) -> None:
    """The attempt is logged with its status, nothing else is called, and the same delivery comes again later."""
    receiver.answer = answer
    hook, _ = await post.hook(receiver.url)
    sent = await post.test(hook)
    await post.drain()
    (line,) = await post.log(hook)
    assert (line.state, line.attempts, line.status_code) == (pb.WebhookDelivery.STATE_PENDING, 1, status)
    assert words in line.error
    assert line.HasField("next_attempt_time")
    assert (await post.get(hook)).HasField("failing_since_time")
    await post.drain()
    assert len(receiver.came) == 1
    receiver.answer = 204
    receiver.released.set()
    await post.drain(60)
    assert [each.delivery_id for each in receiver.came] == [sent.delivery_id] * 2
    assert receiver.came[0].body == receiver.came[1].body
    assert receiver.elsewhere == []
    (line,) = await post.log(hook)
    assert (line.state, line.attempts, line.error) == (pb.WebhookDelivery.STATE_DELIVERED, 2, "")
    assert not (await post.get(hook)).HasField("failing_since_time")


async def test_an_endless_answer(post: Post, receiver: Receiver) -> None:
    """The status counts; the body is not read, however long it goes on."""
    receiver.answer = "endless"
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    async with asyncio.timeout(20):
        await post.drain()
    (line,) = await post.log(hook)
    assert line.state == pb.WebhookDelivery.STATE_DELIVERED
    await until(lambda: receiver.under_way == 0)


async def test_giving_up(post: Post) -> None:
    """A receiver that is never there is tried ten times, then the delivery is given up, and a replay is a new one."""
    hook, _ = await post.hook(_DEAD)
    first = await post.test(hook)
    # With the widest spread the last attempt is after 19 hours; half an hour at a time adds at most five.
    for _ in range(47):
        await post.drain(1800)
    (line,) = await post.log(hook)
    assert (line.state, line.attempts, line.status_code) == (pb.WebhookDelivery.STATE_FAILED, 10, 0)
    assert line.error == "the connection was refused"
    assert line.HasField("finish_time")
    assert not line.HasField("next_attempt_time")
    hooks, me = post.studio.webhooks(), post.studio.metadata()
    request = pb.ReplayWebhookDeliveryRequest(request_id="r", webhook_id=hook, delivery_id=first.delivery_id)
    again = (await hooks.ReplayWebhookDelivery(request, metadata=me)).delivery
    assert (again.event_id, again.replay_of) == (first.event_id, first.delivery_id)
    assert again.delivery_id != first.delivery_id
    assert (await hooks.ReplayWebhookDelivery(request, metadata=me)).delivery.delivery_id == again.delivery_id
    request.request_id = "other"
    request.delivery_id = again.delivery_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await hooks.ReplayWebhookDelivery(request, metadata=me)
    assert from_rpc(refused.value).reason == "WEBHOOK_DELIVERY_PENDING"


async def test_a_webhook_that_fails_for_a_day_is_paused(post: Post, receiver: Receiver) -> None:
    """It shows since when it fails and why it is paused, gets nothing new, and goes on when its owner says so."""
    receiver.answer = 503
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    await post.drain()
    await post.test(hook)
    await post.drain(24 * 3600)
    shown = await post.get(hook)
    assert (shown.paused, shown.pause_reason) == (True, pb.Webhook.PAUSE_REASON_FAILING)
    assert shown.HasField("failing_since_time")
    before = len(receiver.came)
    made = await post.studio.create()
    await post.studio.finish(made.job_id)
    await post.drain(24 * 3600)
    assert len(receiver.came) == before
    receiver.answer = 204
    request = pb.UpdateWebhookRequest(webhook_id=hook, paused=False)
    await post.studio.webhooks().UpdateWebhook(request, metadata=post.studio.metadata())
    await post.drain()
    assert {each.state for each in await post.log(hook)} == {pb.WebhookDelivery.STATE_DELIVERED}
    assert {each.event["kind"] for each in receiver.came} == {"test"}


async def test_gone(post: Post, receiver: Receiver) -> None:
    """410 pauses the webhook and ends the delivery at once."""
    receiver.answer = 410
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    await post.drain()
    assert (await post.get(hook)).pause_reason == pb.Webhook.PAUSE_REASON_GONE
    assert [each.state for each in await post.log(hook)] == [pb.WebhookDelivery.STATE_FAILED]


async def test_a_slow_receiver_holds_up_only_itself(post: Post, receiver: Receiver) -> None:
    """While one receiver hangs with many events waiting, it has two requests at a time, and another gets all of its."""
    async with receiving() as slow:
        slow.answer = "hang"
        slow_hook, _ = await post.hook(slow.url)
        fast_hook, _ = await post.hook(receiver.url)
        for _ in range(6):
            await post.test(slow_hook)
        for _ in range(6):
            await post.test(fast_hook)
        deliverer = Deliverer(post.deliveries, slots=4)
        task = asyncio.create_task(deliverer.run())
        await until(lambda: len(receiver.came) == 6)
        assert slow.under_way == AT_ONCE
        slow.answer = 204
        slow.released.set()
        await until(lambda: len({each.delivery_id for each in slow.came}) == 6)
        assert slow.most_under_way == AT_ONCE
        await end([task])


async def test_two_secrets_after_a_rotation(post: Post, receiver: Receiver) -> None:
    """For a day both secrets sign, after it the new one alone; a changed body convinces under neither."""
    hook, old = await post.hook(receiver.url)
    request = pb.RotateWebhookSecretRequest(webhook_id=hook)
    new = (await post.studio.webhooks().RotateWebhookSecret(request, metadata=post.studio.metadata())).secret
    for seconds, both in ((0, True), (25 * 3600, False)):
        await post.test(hook)
        await post.drain(seconds)
        came = receiver.came[-1]
        header, at = came.headers["Cadenza-Signature"], post.clock().timestamp()
        assert is_genuine(new, header, came.body, at)
        assert is_genuine(old, header, came.body, at) is both
        assert not is_genuine(new, header, came.body + b" ", at)


async def test_a_repeated_test_event(post: Post, receiver: Receiver) -> None:
    """The same request id sends one event."""
    hook, _ = await post.hook(receiver.url)
    first = await post.test(hook, "once")
    assert (await post.test(hook, "once")).delivery_id == first.delivery_id
    await post.drain()
    assert [each.event["kind"] for each in receiver.came] == ["test"]


async def test_an_address_that_turned_private(post: Post, receiver: Receiver) -> None:
    """An address that has become private since it was accepted is not called, and the log says why."""
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    strict = HttpReceivers(loopback_allowed=False)
    post.deliveries._receivers = strict
    await post.drain()
    await strict.close()
    assert receiver.came == []
    (line,) = await post.log(hook)
    assert (line.status_code, line.attempts) == (0, 1)
    assert "private" in line.error


async def test_a_name_that_leads_inside(receiver: Receiver) -> None:
    """A name is judged by what it resolves to at the moment of connecting."""
    strict = HttpReceivers(loopback_allowed=False)
    port = receiver.url.split(":")[2]
    outcome = await strict.post(f"https://localhost:{port}", b"{}", {})
    await strict.close()
    assert outcome.status_code == 0
    assert "private" in outcome.error
    assert receiver.came == []


async def test_a_killed_sender(post: Post, receiver: Receiver, database_url: str) -> None:
    """A sender killed while its request is under way loses nothing: the same delivery comes again from another one."""
    receiver.answer = "hang"
    hook, _ = await post.hook(receiver.url)
    sent = await post.test(hook)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.composer.webhook_sender", database_url)
    await until(lambda: len(receiver.came) == 1, within_s=60)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    receiver.answer = 204
    receiver.released.set()
    post.clock.at = now()
    await post.drain()
    (line,) = await post.log(hook)
    assert (line.state, line.attempts) == (pb.WebhookDelivery.STATE_PENDING, 1)
    await post.drain(300)
    assert [each.delivery_id for each in receiver.came] == [sent.delivery_id] * 2
    (line,) = await post.log(hook)
    assert (line.state, line.attempts) == (pb.WebhookDelivery.STATE_DELIVERED, 2)


async def test_a_late_outcome_changes_nothing(post: Post, receiver: Receiver) -> None:
    """A sender that slept past its lease cannot write over what another one has written since."""
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    (held,) = await post.deliveries.claim(1)
    await post.drain(300)
    receiver.answer = 500
    assert not await post.deliveries.send(held)
    (line,) = await post.log(hook)
    assert (line.state, line.attempts, line.status_code) == (pb.WebhookDelivery.STATE_DELIVERED, 2, 204)


async def test_a_hook_is_deleted_while_its_event_is_sent(post: Post, receiver: Receiver) -> None:
    """The outcome of a delivery whose webhook is gone is dropped without a fault."""
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    (held,) = await post.deliveries.claim(1)
    await post.studio.webhooks().DeleteWebhook(
        pb.DeleteWebhookRequest(webhook_id=hook), metadata=post.studio.metadata()
    )
    assert not await post.deliveries.send(held)


async def test_a_dead_receiver_delays_no_job(post: Post) -> None:
    """A job with webhooks to dead receivers ends and is settled as fast as its rows are written."""
    for _ in range(5):
        await post.hook(_DEAD)
    made = await post.studio.create()
    assert (await post.studio.finish(made.job_id)).state == "completed"
    assert await post.studio.balance() == (80, 0)
    async with post.studio.db.transaction() as tx:
        waiting = await tx.scalar(select(func.count()).select_from(webhook_deliveries))
    assert waiting == 10


async def test_the_log_ends_somewhere(post: Post, receiver: Receiver) -> None:
    """Deliveries older than the log goes back are removed, younger ones stay."""
    hook, _ = await post.hook(receiver.url)
    await post.test(hook)
    await post.drain()
    assert await post.deliveries.purge() == 0
    post.clock.advance(31 * 86400)
    assert await post.deliveries.purge() == 1
    assert await post.log(hook) == []


async def test_the_queue_has_a_bound(post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while too much is waiting is written as given up, so that it can be seen and replayed."""
    monkeypatch.setattr("services.composer.usecases.webhook.MOST_WAITING", 2)
    hook, _ = await post.hook(receiver.url)
    states = [(await post.test(hook)).state for _ in range(3)]
    assert states == [pb.WebhookDelivery.STATE_PENDING] * 2 + [pb.WebhookDelivery.STATE_FAILED]
    assert (await post.log(hook))[-1].error == "too many deliveries were waiting"
