"""The webhook service of the contract."""

from typing import Any

from cadenza.composer.v1 import webhook_service_pb2 as pb
from cadenza.composer.v1.webhook_service_pb2_grpc import WebhookServiceServicer
from services.composer.domain.webhook import Delivery, DeliveryState, EventKind, PauseReason, Webhook
from services.composer.rpc.messages import timestamp
from services.composer.usecases.webhook import Webhooks
from services.kit.rpc.call import current_call
from services.kit.rpc.identity import current_user

_KIND = "WEBHOOK_EVENT_KIND_"


def _kinds(numbers: Any) -> list[EventKind]:
    """Return the kinds that the numbers stand for; the unspecified one stands for none."""
    names = (pb.WebhookEventKind.Name(number) for number in numbers if number)
    return [EventKind(name.removeprefix(_KIND).lower()) for name in names]


def _kind(kind: EventKind) -> pb.WebhookEventKind.ValueType:
    return pb.WebhookEventKind.Value(_KIND + kind.value.upper())


def _webhook(webhook: Webhook) -> pb.Webhook:
    reason = webhook.pause_reason
    word = "UNSPECIFIED" if reason is PauseReason.NONE else reason.value.upper()
    return pb.Webhook(
        webhook_id=webhook.webhook_id,
        url=webhook.url,
        event_kinds=[_kind(each) for each in webhook.event_kinds],
        description=webhook.description,
        paused=reason is not PauseReason.NONE,
        pause_reason=pb.Webhook.PauseReason.Value(f"PAUSE_REASON_{word}"),
        failing_since_time=timestamp(webhook.failing_since_time),
        old_secret_expire_time=timestamp(webhook.old_secret_expire_time),
        create_time=timestamp(webhook.create_time),
        update_time=timestamp(webhook.update_time),
    )


def _delivery(delivery: Delivery) -> pb.WebhookDelivery:
    pending = delivery.state is DeliveryState.PENDING
    return pb.WebhookDelivery(
        delivery_id=delivery.delivery_id,
        webhook_id=delivery.webhook_id,
        event_id=delivery.event_id,
        event_kind=_kind(delivery.event_kind),
        job_id=delivery.job_id,
        state=pb.WebhookDelivery.State.Value(f"STATE_{delivery.state.value.upper()}"),
        attempts=delivery.attempts,
        status_code=delivery.status_code,
        error=delivery.error,
        latency_ms=delivery.latency_ms,
        next_attempt_time=timestamp(delivery.run_after) if pending else None,
        create_time=timestamp(delivery.create_time),
        finish_time=timestamp(delivery.finish_time),
        replay_of=delivery.replay_of,
    )


class WebhookRpc(WebhookServiceServicer):
    """Answers the calls of cadenza.composer.v1.WebhookService."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(self, request: pb.CreateWebhookRequest, context: Any) -> pb.CreateWebhookResponse:
        """Make a webhook."""
        webhook, secret = await self._webhooks.create(
            current_user().user_id,
            url=request.url,
            kinds=_kinds(request.event_kinds),
            description=request.description,
            key=current_call().idempotency,
        )
        return pb.CreateWebhookResponse(webhook=_webhook(webhook), secret=secret)

    async def GetWebhook(self, request: pb.GetWebhookRequest, context: Any) -> pb.GetWebhookResponse:
        """Return one of the caller's webhooks."""
        webhook = await self._webhooks.get(current_user().user_id, request.webhook_id)
        return pb.GetWebhookResponse(webhook=_webhook(webhook))

    async def ListWebhooks(self, request: pb.ListWebhooksRequest, context: Any) -> pb.ListWebhooksResponse:
        """Return a page of the caller's webhooks."""
        found, token = await self._webhooks.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListWebhooksResponse(webhooks=[_webhook(each) for each in found], next_page_token=token)

    async def UpdateWebhook(self, request: pb.UpdateWebhookRequest, context: Any) -> pb.UpdateWebhookResponse:
        """Change a webhook."""
        webhook = await self._webhooks.update(
            current_user().user_id,
            request.webhook_id,
            url=request.url if request.HasField("url") else None,
            kinds=_kinds(request.event_kinds),
            description=request.description if request.HasField("description") else None,
            paused=request.paused if request.HasField("paused") else None,
        )
        return pb.UpdateWebhookResponse(webhook=_webhook(webhook))

    async def DeleteWebhook(self, request: pb.DeleteWebhookRequest, context: Any) -> pb.DeleteWebhookResponse:
        """Remove a webhook."""
        await self._webhooks.delete(current_user().user_id, request.webhook_id)
        return pb.DeleteWebhookResponse()

    async def RotateWebhookSecret(
        self, request: pb.RotateWebhookSecretRequest, context: Any
    ) -> pb.RotateWebhookSecretResponse:
        """Give a webhook a new secret."""
        webhook, secret = await self._webhooks.rotate(
            current_user().user_id, request.webhook_id, current_call().idempotency
        )
        return pb.RotateWebhookSecretResponse(webhook=_webhook(webhook), secret=secret)

    async def TestWebhook(self, request: pb.TestWebhookRequest, context: Any) -> pb.TestWebhookResponse:
        """Send a test event."""
        delivery = await self._webhooks.test(current_user().user_id, request.webhook_id, current_call().idempotency)
        return pb.TestWebhookResponse(delivery=_delivery(delivery))

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: Any
    ) -> pb.ListWebhookDeliveriesResponse:
        """Return a page of what was sent to a webhook."""
        found, token = await self._webhooks.deliveries(
            current_user().user_id, request.webhook_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListWebhookDeliveriesResponse(deliveries=[_delivery(each) for each in found], next_page_token=token)

    async def ReplayWebhookDelivery(
        self, request: pb.ReplayWebhookDeliveryRequest, context: Any
    ) -> pb.ReplayWebhookDeliveryResponse:
        """Send an event again."""
        delivery = await self._webhooks.replay(
            current_user().user_id, request.webhook_id, request.delivery_id, current_call().idempotency
        )
        return pb.ReplayWebhookDeliveryResponse(delivery=_delivery(delivery))
