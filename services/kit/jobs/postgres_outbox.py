"""The outbox in PostgreSQL; see `store.OutboxStore` for what each operation promises."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.ids import new_id
from services.kit.jobs.job import plain_text
from services.kit.jobs.store import Message

# Due whatever the reader's clock says, and before every message that has failed already.
_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PostgresOutbox:
    """The messages of one table."""

    table: Table

    async def put(self, tx: AsyncConnection, topic: str, payload: dict[str, Any], *, key: str | None = None) -> None:
        """Write a message that is due once the transaction commits; a second one with topic and key is dropped."""
        values = {
            "outbox_id": new_id(),
            "topic": topic,
            "key": key,
            "payload": payload,
            "run_after": _AT_ONCE,
            "create_time": func.now(),
        }
        await tx.execute(insert(self.table).values(**values).on_conflict_do_nothing())

    async def claim(
        self, tx: AsyncConnection, topics: Collection[str], *, at: datetime, until: datetime, most: int
    ) -> list[Message]:
        """Return messages that are due, held for this dispatcher until their lease ends."""
        table = self.table
        due = (
            select(table.c.outbox_id)
            .where(table.c.done_time.is_(None), table.c.run_after <= at, table.c.topic.in_(topics))
            .order_by(table.c.run_after, table.c.outbox_id)
            .limit(most)
            .with_for_update(skip_locked=True)
            # Evaluated once; a plain subquery may be run again and lock more than the limit.
            .cte("due")
        )
        statement = (
            update(table)
            .where(table.c.outbox_id == due.c.outbox_id)
            .values(attempt=table.c.attempt + 1, run_after=until)
            .returning(table.c.outbox_id, table.c.topic, table.c.payload, table.c.attempt)
        )
        return [Message(*row) for row in await tx.execute(statement)]

    async def deliver(self, tx: AsyncConnection, message: Message, at: datetime) -> bool:
        """Mark the message as done; return whether it was this claim that did it."""
        return await self._under(tx, message, done_time=at, last_error="") == 1

    async def postpone(self, tx: AsyncConnection, message: Message, *, until: datetime, error: str) -> None:
        """Make a failed message due at `until`, unless another dispatcher has it now."""
        await self._under(tx, message, run_after=until, last_error=plain_text(error))

    async def purge(self, tx: AsyncConnection, before: datetime) -> int:
        """Return how many messages done before that time were removed."""
        return (await tx.execute(delete(self.table).where(self.table.c.done_time < before))).rowcount

    async def _under(self, tx: AsyncConnection, message: Message, **values: Any) -> int:
        """Return how many rows took the values: one, or none when the claim was lost."""
        table = self.table
        statement = update(table).where(
            table.c.outbox_id == message.outbox_id,
            table.c.attempt == message.attempt,
            table.c.done_time.is_(None),
        )
        return (await tx.execute(statement.values(**values))).rowcount
