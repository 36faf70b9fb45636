"""The statements on attempts and on orders to vendors; see `store.JobStore` for what each operation promises."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_keep
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.jobs.job import Attempt, Job, PlacedOrder, attempt_of, order_of, plain_text
from services.kit.jobs.table import JobTables


@dataclass(frozen=True)
class PostgresAttempts:
    """What was tried and what was ordered for the jobs of one service."""

    service: str
    tables: JobTables

    async def open_attempt(self, tx: AsyncConnection, job: Job, at: datetime) -> None:
        """Write down that the worker of the job's present lease has begun."""
        await tx.execute(
            insert(self.tables.attempts).values(
                job_id=job.job_id,
                lease_token=job.lease_token,
                attempt=job.attempt,
                worker=job.lease_owner,
                start_time=at,
            )
        )

    async def close_attempt(
        self,
        tx: AsyncConnection,
        job_id: str,
        lease_token: int,
        *,
        at: datetime,
        outcome: str,
        reason: str = "",
        message: str = "",
    ) -> None:
        """Write down how the attempt under that lease ended, unless it is written already."""
        table = self.tables.attempts
        statement = update(table).where(
            table.c.job_id == job_id, table.c.lease_token == lease_token, table.c.end_time.is_(None)
        )
        await tx.execute(
            statement.values(end_time=at, outcome=outcome, error_reason=reason, error_message=plain_text(message))
        )

    async def attempts(self, tx: AsyncConnection, job_id: str) -> list[Attempt]:
        """Return every attempt at the job, the first one first."""
        table = self.tables.attempts
        query = select(table).where(table.c.job_id == job_id).order_by(table.c.lease_token)
        return [attempt_of(row) for row in (await tx.execute(query)).mappings()]

    async def put_order(
        self, tx: AsyncConnection, job_id: str, name: str, *, request_id: str, at: datetime
    ) -> PlacedOrder:
        """Return the job's order of that name: the one that is there already, or a new one without an order id."""
        table = self.tables.orders
        row = {"job_id": job_id, "name": name, "request_id": request_id, "create_time": at}
        await tx.execute(insert_or_keep(table).values(**row).on_conflict_do_nothing(index_elements=["job_id", "name"]))
        query = select(table).where(table.c.job_id == job_id, table.c.name == name)
        return order_of((await tx.execute(query)).mappings().one())

    async def accept_order(self, tx: AsyncConnection, job_id: str, name: str, *, order_id: str, at: datetime) -> None:
        """Keep the vendor's id of the order."""
        table = self.tables.orders
        statement = update(table).where(table.c.job_id == job_id, table.c.name == name)
        await tx.execute(statement.values(order_id=order_id, accept_time=at))
