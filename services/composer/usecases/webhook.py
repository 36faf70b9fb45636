"""Webhooks as their owner handles them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain import webhook as rules
from services.composer.domain.errors import (
    WebhookDeliveryPending,
    WebhookLimitReached,
    WebhookNotFound,
    WebhookPaused,
)
from services.composer.domain.webhook import Delivery, DeliveryState, EventKind, PauseReason, Webhook
from services.composer.providers import Receivers
from services.composer.storage import webhook as storage
from services.composer.storage import webhook_delivery as delivery_storage
from services.composer.usecases.webhook_delivery import MOST_WAITING, event_body, new_delivery, secret_place
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import IdempotencyKeyReused, Unavailable
from services.kit.ids import new_id
from services.kit.rpc.call import IdempotencyKey
from services.kit.sealing import CannotOpen, Sealer


class Webhooks:
    """Everything an owner can do with webhooks."""

    def __init__(
        self,
        *,
        db: Database,
        receivers: Receivers,
        sealer: Sealer | None,
        clock: Clock,
        per_user: int,
        kick: Callable[[], None],
    ) -> None:
        """Keep the collaborators; without a sealer no webhook can be made. `kick` lets what is due be sent at once."""
        self._db = db
        self._receivers = receivers
        self._sealer = sealer
        self._clock = clock
        self._per_user = per_user
        self._kick = kick

    async def create(
        self, user_id: str, *, url: str, kinds: Sequence[EventKind], description: str, key: IdempotencyKey | None
    ) -> tuple[Webhook, str]:
        """Return the new webhook and its secret; a repeat gets the same, without the secret once that was rotated.

        Raises WebhookUrlRefused, WebhookLimitReached, ParamInvalid and IdempotencyKeyReused.
        """
        sealer = self._sealing()
        wanted = rules.wanted(kinds)
        await self._receivers.check(url)
        webhook_id, secret, at = new_id(), rules.new_secret(), self._clock()
        webhook = Webhook(
            webhook_id=webhook_id,
            user_id=user_id,
            url=url,
            event_kinds=wanted,
            description=description,
            pause_reason=PauseReason.NONE,
            failing_since_time=None,
            secret_sealed=sealer.seal(secret.encode(), secret_place(webhook_id)),
            old_secret_sealed="",
            old_secret_expire_time=None,
            request_id=key.key if key else "",
            request_hash=key.request_hash if key else "",
            rotate_request_id="",
            create_time=at,
            update_time=at,
        )
        async with self._db.transaction() as tx:
            await storage.lock_user(tx, user_id)
            known = await storage.find_by_request(tx, user_id, key.key) if key else None
            if known is None:
                if await storage.count(tx, user_id) >= self._per_user:
                    raise WebhookLimitReached("too many webhooks", limit=self._per_user)
                await storage.add(tx, webhook)
                return webhook, secret
        if key and known.request_hash != key.request_hash:
            raise IdempotencyKeyReused("this request id made another webhook", request_id=key.key)
        return known, "" if known.old_secret_sealed else self._secret(known)

    async def get(self, user_id: str, webhook_id: str) -> Webhook:
        """Return the user's webhook; raises WebhookNotFound."""
        async with self._db.transaction() as tx:
            return await _found(tx, user_id, webhook_id)

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[Sequence[Webhook], str]:
        """Return one page of the user's webhooks, newest first, and the token of the next page or an empty one."""
        size = clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, user_id, before=decode_id(page_token), size=size + 1)
        return found[:size], encode_token(found[size - 1].webhook_id) if len(found) > size else ""

    async def update(
        self,
        user_id: str,
        webhook_id: str,
        *,
        url: str | None,
        kinds: Sequence[EventKind],
        description: str | None,
        paused: bool | None,
    ) -> Webhook:
        """Return the changed webhook; None and no kinds leave a value as it is. Raises like `create`."""
        await self.get(user_id, webhook_id)
        values: dict[str, Any] = {"update_time": self._clock()}
        if url is not None:
            await self._receivers.check(url)
            values["url"] = url
        if kinds:
            values["event_kinds"] = [each.value for each in rules.wanted(kinds)]
        if description is not None:
            values["description"] = description
        if paused is not None:
            values["pause_reason"] = PauseReason.OWNER.value if paused else PauseReason.NONE.value
        if paused is False:
            values["failing_since_time"] = None
        async with self._db.transaction() as tx:
            await _found(tx, user_id, webhook_id)
            changed = await storage.change(tx, webhook_id, **values)
        self._kick()
        if changed is None:
            raise _missing(webhook_id)
        return changed

    async def delete(self, user_id: str, webhook_id: str) -> None:
        """Remove the user's webhook with its deliveries; one that is not there is as good as removed."""
        async with self._db.transaction() as tx:
            await storage.remove(tx, user_id, webhook_id)

    async def rotate(self, user_id: str, webhook_id: str, key: IdempotencyKey | None) -> tuple[Webhook, str]:
        """Return the webhook with a new secret, and the secret; the old one signs too for another day.

        Raises WebhookNotFound.
        """
        sealer = self._sealing()
        secret, at = rules.new_secret(), self._clock()
        async with self._db.transaction() as tx:
            webhook = await _found(tx, user_id, webhook_id, lock=True)
            if key and webhook.rotate_request_id == key.key:
                return webhook, self._secret(webhook)
            rotated = replace(
                webhook,
                secret_sealed=sealer.seal(secret.encode(), secret_place(webhook_id)),
                old_secret_sealed=webhook.secret_sealed,
                old_secret_expire_time=at + rules.OLD_SECRET_LIVES,
                rotate_request_id=key.key if key else "",
                update_time=at,
            )
            await storage.change(
                tx,
                webhook_id,
                secret_sealed=rotated.secret_sealed,
                old_secret_sealed=rotated.old_secret_sealed,
                old_secret_expire_time=rotated.old_secret_expire_time,
                rotate_request_id=rotated.rotate_request_id,
                update_time=at,
            )
        return rotated, secret

    async def test(self, user_id: str, webhook_id: str, key: IdempotencyKey | None) -> Delivery:
        """Return the delivery of a test event; raises WebhookNotFound and WebhookPaused."""
        at, event_id = self._clock(), new_id()
        body = event_body(event_id, EventKind.TEST, at, {})
        fresh = new_delivery(webhook_id, event_id, EventKind.TEST, body, at=at, request_id=key.key if key else "")
        return await self._put(user_id, fresh, key)

    async def deliveries(
        self, user_id: str, webhook_id: str, *, page_size: int, page_token: str
    ) -> tuple[Sequence[Delivery], str]:
        """Return one page of what was sent, newest first, and the token of the next page; raises WebhookNotFound."""
        before, size = decode_id(page_token), clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            await _found(tx, user_id, webhook_id)
            found = await delivery_storage.page(tx, webhook_id, before=before, size=size + 1)
        return found[:size], encode_token(found[size - 1].delivery_id) if len(found) > size else ""

    async def replay(self, user_id: str, webhook_id: str, delivery_id: str, key: IdempotencyKey | None) -> Delivery:
        """Return a new delivery of the same event.

        Raises WebhookNotFound, WebhookPaused, WebhookDeliveryPending while the first one has not ended, and
        IdempotencyKeyReused when the request id sent something else.
        """
        async with self._db.transaction() as tx:
            await _found(tx, user_id, webhook_id)
            first = await delivery_storage.find(tx, webhook_id, delivery_id)
        if first is None:
            raise WebhookNotFound("no such delivery", kind="webhook_delivery", id=delivery_id)
        if first.state is DeliveryState.PENDING:
            raise WebhookDeliveryPending("the delivery is still being tried", delivery_id=delivery_id)
        again = new_delivery(
            webhook_id,
            first.event_id,
            first.event_kind,
            first.body,
            at=self._clock(),
            job_id=first.job_id,
            replay_of=first.delivery_id,
            request_id=key.key if key else "",
        )
        return await self._put(user_id, again, key)

    async def _put(self, user_id: str, delivery: Delivery, key: IdempotencyKey | None) -> Delivery:
        """Return the delivery, written once for the key, and let it be sent."""
        async with self._db.transaction() as tx:
            webhook = await _found(tx, user_id, delivery.webhook_id, lock=True)
            if key:
                known = await delivery_storage.find_by_request(tx, delivery.webhook_id, key.key)
                if known and (known.event_kind, known.replay_of) != (delivery.event_kind, delivery.replay_of):
                    raise IdempotencyKeyReused("this request id sent another event", request_id=key.key)
                if known:
                    return known
            if webhook.pause_reason:
                raise WebhookPaused("the webhook is paused", pause_reason=webhook.pause_reason.value)
            written = await delivery_storage.put(tx, delivery, most_waiting=MOST_WAITING)
        self._kick()
        return written

    def _sealing(self) -> Sealer:
        if self._sealer is None:
            raise Unavailable("webhooks need ENCRYPTION_KEY", dependency="encryption_key")
        return self._sealer

    def _secret(self, webhook: Webhook) -> str:
        """Return the webhook's secret; raises Unavailable when the configured keys do not open it."""
        try:
            return self._sealing().open(webhook.secret_sealed, secret_place(webhook.webhook_id)).decode()
        except CannotOpen as error:
            raise Unavailable(
                "the secret was sealed under another ENCRYPTION_KEY", dependency="encryption_key"
            ) from error


async def _found(tx: AsyncConnection, user_id: str, webhook_id: str, *, lock: bool = False) -> Webhook:
    webhook = await storage.find(tx, user_id, webhook_id, lock=lock)
    if webhook is None:
        raise _missing(webhook_id)
    return webhook


def _missing(webhook_id: str) -> WebhookNotFound:
    return WebhookNotFound("no such webhook", kind="webhook", id=webhook_id)
