"""Messages to people: promised in the transaction of what they speak of, sent after it.

A code is handed to its carrier at most once: the row says that it is about to be before it is, and a code found in
that state later is given up, because another one costs nothing but a minute. A letter is repeated until it is taken,
under one Message-ID, so that a mailbox that got it twice can show it once.
"""

import json
import logging
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.code import Purpose
from services.auth.domain.errors import MessageNotSent
from services.auth.domain.message import (
    LETTER_ATTEMPTS,
    MOST_ATTEMPTS,
    Letter,
    State,
    account_letter,
    code_letter,
    may_send,
)
from services.auth.domain.notification import Kind
from services.auth.domain.target import Channel, Target
from services.auth.providers import CodeSender, Mail, MailSender, NotCarried
from services.auth.storage import message as storage
from services.auth.storage.message import StoredMessage
from services.auth.storage.tables import outbox
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.jobs.postgres_outbox import PostgresOutbox
from services.kit.sealing import Sealer

_log = logging.getLogger(__name__)

MESSAGE: Final = "message"
_LETTER_LIFE = timedelta(days=2)
_KEPT = timedelta(days=90)


class _LeftUndone(Exception):
    """The carrier did not take the message; the outbox is to offer it again later."""


class Messages:
    """All messages."""

    def __init__(
        self, db: Database, sealer: Sealer, clock: Clock, *, sms: CodeSender | None, mail: MailSender | None
    ) -> None:
        """Keep the collaborators; a channel without its carrier is off."""
        self._db = db
        self._sealer = sealer
        self._clock = clock
        self._sms = sms
        self._mail = mail
        self._outbox = PostgresOutbox(outbox)

    def carries(self, channel: Channel) -> bool:
        """Return whether messages of a channel can be sent at all."""
        return (self._sms if channel is Channel.SMS else self._mail) is not None

    async def promise_code(
        self, tx: AsyncConnection, target: Target, code: str, *, message_id: str, purpose: Purpose, life: timedelta,
        english: bool,
    ) -> None:  # fmt: skip
        """Write down that a code is to be sent."""
        content = {
            "to": target.address,
            "code": code,
            "purpose": purpose.value,
            "minutes": int(life.total_seconds() // 60),
            "english": english,
        }
        message = StoredMessage(
            message_id, None, target.channel, Kind.CODE, self._sealed(message_id, content), self._clock() + life
        )
        await self._promise(tx, message)

    async def promise_letter(
        self, tx: AsyncConnection, kind: Kind, mailbox: str, *, message_id: str, user_id: str, facts: dict[str, str],
        english: bool,
    ) -> None:  # fmt: skip
        """Write down that a letter about an account is to be sent, if letters are sent at all."""
        if self._mail is None:
            return
        content = {"to": mailbox, "facts": facts, "english": english}
        message = StoredMessage(
            message_id, user_id, Channel.EMAIL, kind, self._sealed(message_id, content), self._clock() + _LETTER_LIFE
        )
        await self._promise(tx, message)

    async def state_of_code(self, message_id: str) -> tuple[State, str] | None:
        """Return how far a code has come and the reason it failed for; None when there is none."""
        async with self._db.transaction() as tx:
            found = await storage.get(tx, message_id)
        return None if found is None or found.kind is not Kind.CODE else (found.state, found.reason)

    async def send(self, payload: dict[str, Any]) -> None:
        """Send one promised message; raises while it is to be offered again, as outbox handlers do."""
        message = await self._begin(payload["message_id"])
        if message is None:
            return
        content = json.loads(self._sealer.open(message.sealed_content, _place(message.message_id)))
        try:
            carrier_id = await self._hand_over(message, content)
        except NotCarried as failure:
            await self._not_carried(message, failure)
            return
        async with self._db.transaction() as tx:
            await storage.sent(tx, message.message_id, carrier_id=carrier_id[:200], at=self._clock())

    async def purge(self) -> int:
        """Return how many messages of more than 90 days ago were removed."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, before=self._clock() - _KEPT)

    async def _promise(self, tx: AsyncConnection, message: StoredMessage) -> None:
        await storage.add(tx, message, at=self._clock())
        await self._outbox.put(tx, MESSAGE, {"message_id": message.message_id}, key=message.message_id)

    async def _begin(self, message_id: str) -> StoredMessage | None:
        """Return a message that may be handed over now, noted as such; None when there is nothing to do."""
        at = self._clock()
        async with self._db.transaction() as tx:
            message = await storage.get(tx, message_id, locked=True)
            if message is None or message.state in {State.SENT, State.FAILED}:
                return None
            if not may_send(message.kind, message.state) or at >= message.expire_time:
                cause = "expired" if at >= message.expire_time else "unknown_outcome"
                await storage.failed(tx, message_id, reason=MessageNotSent.reason, cause=cause, at=at)
                return None
            await storage.begin(tx, message_id, at=at)
        return message

    async def _hand_over(self, message: StoredMessage, content: dict[str, Any]) -> str:
        if message.channel is Channel.SMS:
            if self._sms is None:
                raise _off("sms")
            return await self._sms.send(content["to"], content["code"], message_id=message.message_id)
        if self._mail is None:
            raise _off("email")
        letter = _letter(message.kind, content)
        return await self._mail.send(Mail(message.message_id, content["to"], letter.subject, letter.text))

    async def _not_carried(self, message: StoredMessage, failure: NotCarried) -> None:
        """Note the failure; raises when the message is to be offered again."""
        most = MOST_ATTEMPTS.get(message.kind, LETTER_ATTEMPTS)
        # A letter may come twice, so a lost answer is a reason to offer it again.
        again = (
            failure.again or (not failure.certain and message.kind is not Kind.CODE)
        ) and message.attempt + 1 < most
        error, at = failure.error, self._clock()
        cause = error.metadata.get("cause", "")[:100]
        _log.warning("a message was not sent: %s, %s", error.reason, cause)
        async with self._db.transaction() as tx:
            if again:
                await storage.wait(tx, message.message_id, cause=cause, at=at)
            else:
                await storage.failed(tx, message.message_id, reason=error.reason, cause=cause, at=at)
        if again:
            raise _LeftUndone(cause)

    def _sealed(self, message_id: str, content: dict[str, Any]) -> str:
        return self._sealer.seal(json.dumps(content).encode(), _place(message_id))


def _letter(kind: Kind, content: dict[str, Any]) -> Letter:
    if kind is Kind.CODE:
        return code_letter(content["code"], Purpose(content["purpose"]), content["minutes"], english=content["english"])
    return account_letter(kind, content["facts"], english=content["english"])


def _off(channel: str) -> NotCarried:
    error = MessageNotSent("no carrier is configured for this channel", channel=channel, cause="not_configured")
    return NotCarried(error, certain=True, again=False)


def _place(message_id: str) -> str:
    return f"auth.messages:{message_id}"
