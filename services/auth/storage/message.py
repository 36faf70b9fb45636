"""Named queries of the messages that Auth sends, which are its delivery log too."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.message import State
from services.auth.domain.notification import Kind
from services.auth.domain.target import Channel
from services.auth.storage.tables import messages


@dataclass(frozen=True)
class StoredMessage:
    """A message as it stands; what it says is sealed."""

    message_id: str
    user_id: str | None
    channel: Channel
    kind: Kind
    sealed_content: str = field(repr=False)
    expire_time: datetime
    state: State = State.PENDING
    attempt: int = 0
    reason: str = ""


async def add(tx: AsyncConnection, message: StoredMessage, *, at: datetime) -> None:
    """Write a message that is to be sent."""
    await tx.execute(
        insert(messages).values(
            message_id=message.message_id,
            user_id=message.user_id,
            channel=message.channel.value,
            kind=message.kind.value,
            sealed_content=message.sealed_content,
            expire_time=message.expire_time,
            create_time=at,
            update_time=at,
        )
    )


async def get(tx: AsyncConnection, message_id: str, *, locked: bool = False) -> StoredMessage | None:
    """Return a message, None when there is none; locked, whoever sends it waits for the one before."""
    statement = select(messages).where(messages.c.message_id == message_id)
    row = (await tx.execute(statement.with_for_update() if locked else statement)).first()
    if row is None:
        return None
    return StoredMessage(
        row.message_id,
        row.user_id,
        Channel(row.channel),
        Kind(row.kind),
        row.sealed_content,
        row.expire_time,
        State(row.state),
        row.attempt,
        row.reason,
    )


async def begin(tx: AsyncConnection, message_id: str, *, at: datetime) -> None:
    """Note that the message is about to be handed to its carrier."""
    statement = update(messages).where(messages.c.message_id == message_id)
    await tx.execute(statement.values(state=State.SENDING.value, attempt=messages.c.attempt + 1, update_time=at))


async def wait(tx: AsyncConnection, message_id: str, *, cause: str, at: datetime) -> None:
    """Note that a carrier surely did not take the message, which may be handed to it again."""
    statement = update(messages).where(messages.c.message_id == message_id)
    await tx.execute(statement.values(state=State.PENDING.value, cause=cause, update_time=at))


async def sent(tx: AsyncConnection, message_id: str, *, carrier_id: str, at: datetime) -> None:
    """Note that the carrier took the message; what it said is forgotten."""
    statement = update(messages).where(messages.c.message_id == message_id)
    await tx.execute(
        statement.values(state=State.SENT.value, sealed_content="", carrier_id=carrier_id, cause="", update_time=at)
    )


async def failed(tx: AsyncConnection, message_id: str, *, reason: str, cause: str, at: datetime) -> None:
    """Note that the message will not be sent, and why; what it said is forgotten."""
    statement = update(messages).where(messages.c.message_id == message_id)
    await tx.execute(
        statement.values(state=State.FAILED.value, sealed_content="", reason=reason, cause=cause, update_time=at)
    )


async def purge(tx: AsyncConnection, *, before: datetime) -> int:
    """Remove the messages made before then; return how many."""
    return (await tx.execute(delete(messages).where(messages.c.create_time < before))).rowcount
