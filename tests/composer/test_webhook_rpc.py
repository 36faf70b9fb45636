"""The webhook service as an owner sees it, and as others do not."""

from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import webhook_service_pb2 as pb
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.kit.sealing import Sealer
from tests.composer.studio import ENCRYPTION_KEY, Studio

URL = "http://127.0.0.1:9/hook"


async def create(studio: Studio, **values: Any) -> pb.CreateWebhookResponse:
    """Return what CreateWebhook answers the person."""
    request = pb.CreateWebhookRequest(**{"url": URL, **values})
    return await studio.webhooks().CreateWebhook(request, metadata=studio.metadata())


async def reason_of(call: Any) -> str:
    """Return why the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return from_rpc(refused.value).reason


async def test_the_life_of_a_webhook(studio: Studio) -> None:
    """It is made with a secret that no later answer shows, read, listed, changed, paused, let go on and deleted."""
    hooks, me = studio.webhooks(), studio.metadata()
    made = await create(studio, description="mine", event_kinds=[pb.WEBHOOK_EVENT_KIND_FAILED])
    assert made.secret.startswith("whsec_")
    webhook_id = made.webhook.webhook_id
    got = (await hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id), metadata=me)).webhook
    assert got == made.webhook
    assert (got.url, got.description, list(got.event_kinds), got.paused) == (
        URL,
        "mine",
        [pb.WEBHOOK_EVENT_KIND_FAILED],
        False,
    )
    second = (await create(studio)).webhook
    assert len(second.event_kinds) == 4
    first_page = await hooks.ListWebhooks(pb.ListWebhooksRequest(page_size=1), metadata=me)
    next_page = await hooks.ListWebhooks(pb.ListWebhooksRequest(page_token=first_page.next_page_token), metadata=me)
    assert [*first_page.webhooks, *next_page.webhooks] == [second, got]
    assert not next_page.next_page_token
    request = pb.UpdateWebhookRequest(webhook_id=webhook_id, paused=True, url="http://localhost:9/x")
    changed = (await hooks.UpdateWebhook(request, metadata=me)).webhook
    assert (changed.paused, changed.pause_reason, changed.url, changed.description) == (
        True,
        pb.Webhook.PAUSE_REASON_OWNER,
        "http://localhost:9/x",
        "mine",
    )
    assert await reason_of(hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id), metadata=me)) == (
        "WEBHOOK_PAUSED"
    )
    again = await hooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook_id, paused=False), metadata=me)
    assert not again.webhook.paused
    for _ in range(2):
        await hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook_id), metadata=me)
    assert await reason_of(hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id), metadata=me)) == "NOT_FOUND"


async def test_a_repeated_creation(studio: Studio) -> None:
    """A repeat is answered alike and makes nothing; another wish under the same id is refused; a rotation hides."""
    first = await create(studio, request_id="one")
    assert await create(studio, request_id="one") == first
    assert await reason_of(create(studio, request_id="one", description="other")) == "IDEMPOTENCY_KEY_REUSED"
    hooks, me = studio.webhooks(), studio.metadata()
    assert len((await hooks.ListWebhooks(pb.ListWebhooksRequest(), metadata=me)).webhooks) == 1
    request = pb.RotateWebhookSecretRequest(request_id="turn", webhook_id=first.webhook.webhook_id)
    rotated = await hooks.RotateWebhookSecret(request, metadata=me)
    assert rotated.secret not in {"", first.secret}
    assert rotated.webhook.HasField("old_secret_expire_time")
    assert await hooks.RotateWebhookSecret(request, metadata=me) == rotated
    assert not (await create(studio, request_id="one")).secret


async def test_the_limit(studio: Studio) -> None:
    """A sixth webhook is refused with the limit, and fits once another one is gone."""
    made = [await create(studio) for _ in range(5)]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create(studio)
    error = from_rpc(refused.value)
    assert (error.reason, error.metadata["limit"]) == ("WEBHOOK_LIMIT_REACHED", "5")
    gone = pb.DeleteWebhookRequest(webhook_id=made[0].webhook.webhook_id)
    await studio.webhooks().DeleteWebhook(gone, metadata=studio.metadata())
    assert (await create(studio)).secret


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://example.com/x",
        "https://user:word@example.com/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00:ec2::254]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://[64:ff9b::a00:1]/x",
        "https://100.100.100.200/x",
        "http://[::1%25lo]/x",
        "http://0.0.0.0/x",
        "https://",
        "nothing",
        "https://name.invalid/x",
    ],
)
async def test_addresses_that_are_refused(studio: Studio, url: str) -> None:
    """Whatever does not lead to the public Internet by https is refused, when made and when changed."""
    assert await reason_of(create(studio, url=url)) == "WEBHOOK_URL_REFUSED"
    mine = (await create(studio)).webhook.webhook_id
    request = pb.UpdateWebhookRequest(webhook_id=mine, url=url)
    call = studio.webhooks().UpdateWebhook(request, metadata=studio.metadata())
    assert await reason_of(call) == "WEBHOOK_URL_REFUSED"


async def test_a_kind_that_cannot_be_subscribed_to(studio: Studio) -> None:
    """The test kind is refused with its field, and so is a number that no kind has."""
    for kind in (pb.WEBHOOK_EVENT_KIND_TEST, 77):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await create(studio, event_kinds=[kind])
        error = from_rpc(refused.value)
        assert error.reason == "PARAM_INVALID"
        assert error.violations[0].field.startswith("event_kinds")


async def test_secrets_rest_sealed(studio: Studio) -> None:
    """The table holds the secret only sealed, and bound to its webhook."""
    made = await create(studio)
    async with studio.db.transaction() as tx:
        rows = await tx.exec_driver_sql("SELECT * FROM composer.webhooks")
        row = next(each for each in rows.mappings() if str(each["webhook_id"]) == made.webhook.webhook_id)
    assert made.secret not in str(dict(row))
    sealer = Sealer.from_hex(ENCRYPTION_KEY)
    place = f"composer.webhooks:{made.webhook.webhook_id}"
    assert sealer.open(row["secret_sealed"], place).decode() == made.secret


async def test_other_peoples_webhooks_are_not_there(studio: Studio) -> None:
    """Every method answers NOT_FOUND for another person's webhook as for none, and deleting it changes nothing."""
    hooks = studio.webhooks()
    made = (await create(studio)).webhook
    owner = studio.user_id
    sent = await hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=made.webhook_id), metadata=studio.metadata())
    await studio.new_user()
    me = studio.metadata()
    for webhook_id in (made.webhook_id, new_id()):
        replay = pb.ReplayWebhookDeliveryRequest(webhook_id=webhook_id, delivery_id=sent.delivery.delivery_id)
        for call in (
            hooks.GetWebhook(pb.GetWebhookRequest(webhook_id=webhook_id), metadata=me),
            hooks.UpdateWebhook(pb.UpdateWebhookRequest(webhook_id=webhook_id, paused=True), metadata=me),
            hooks.RotateWebhookSecret(pb.RotateWebhookSecretRequest(webhook_id=webhook_id), metadata=me),
            hooks.TestWebhook(pb.TestWebhookRequest(webhook_id=webhook_id), metadata=me),
            hooks.ListWebhookDeliveries(pb.ListWebhookDeliveriesRequest(webhook_id=webhook_id), metadata=me),
            hooks.ReplayWebhookDelivery(replay, metadata=me),
        ):
            assert await reason_of(call) == "NOT_FOUND"
        await hooks.DeleteWebhook(pb.DeleteWebhookRequest(webhook_id=webhook_id), metadata=me)
    assert not (await hooks.ListWebhooks(pb.ListWebhooksRequest(), metadata=me)).webhooks
    mine = await create(studio)
    stolen = pb.ReplayWebhookDeliveryRequest(webhook_id=mine.webhook.webhook_id, delivery_id=sent.delivery.delivery_id)
    assert await reason_of(hooks.ReplayWebhookDelivery(stolen, metadata=me)) == "NOT_FOUND"
    still = pb.GetWebhookRequest(webhook_id=made.webhook_id)
    assert (await hooks.GetWebhook(still, metadata=studio.metadata(owner))).webhook == made
