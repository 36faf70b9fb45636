"""Attempts, orders and dead letters in memory, as `store.JobStore` wants them."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.kit.jobs.job import Attempt, Job, PlacedOrder, plain_text
from tests.simulate.database import Table, Transaction


@dataclass(frozen=True, kw_only=True)
class MemoryAttempts:
    """What was tried and what was ordered for the jobs of one service."""

    jobs: Table = field(default_factory=lambda: Table("jobs"))
    log: Table = field(default_factory=lambda: Table("job_events"))
    tried: Table = field(default_factory=lambda: Table("job_attempts"))
    ordered: Table = field(default_factory=lambda: Table("job_orders"))

    async def open_attempt(self, tx: Transaction, job: Job, at: datetime) -> None:
        """Write down that the worker of the job's present lease has begun."""
        await tx.trip()
        attempt = Attempt(
            job_id=job.job_id,
            lease_token=job.lease_token,
            attempt=job.attempt,
            worker=job.lease_owner,
            start_time=at,
            end_time=None,
            outcome="",
            error_reason="",
            error_message="",
        )
        await tx.insert(self.tried, (job.job_id, job.lease_token), attempt)

    async def close_attempt(
        self,
        tx: Transaction,
        job_id: str,
        lease_token: int,
        *,
        at: datetime,
        outcome: str,
        reason: str = "",
        message: str = "",
    ) -> None:
        """Write down how the attempt under that lease ended, unless it is written already."""
        await tx.trip()
        attempt: Attempt | None = await tx.lock(self.tried, (job_id, lease_token))
        if attempt is not None and attempt.end_time is None:
            values: dict[str, Any] = {"end_time": at, "outcome": outcome, "error_reason": reason}
            tx.write(self.tried, (job_id, lease_token), replace(attempt, error_message=plain_text(message), **values))

    async def attempts(self, tx: Transaction, job_id: str) -> list[Attempt]:
        """Return every attempt at the job, the first one first."""
        await tx.trip()
        mine = [attempt for _, attempt in tx.scan(self.tried) if attempt.job_id == job_id]
        return sorted(mine, key=lambda attempt: attempt.lease_token)

    async def put_order(self, tx: Transaction, job_id: str, name: str, *, request_id: str, at: datetime) -> PlacedOrder:
        """Return the job's order of that name: the one that is there already, or a new one without an order id."""
        await tx.trip()
        del at
        if await tx.claim(self.ordered, (job_id, name)):
            order = PlacedOrder(job_id=job_id, name=name, request_id=request_id, order_id="")
            tx.write(self.ordered, (job_id, name), order)
        found: PlacedOrder = tx.get(self.ordered, (job_id, name))
        return found

    async def accept_order(self, tx: Transaction, job_id: str, name: str, *, order_id: str, at: datetime) -> None:
        """Keep the vendor's id of the order."""
        await tx.trip()
        del at
        order: PlacedOrder | None = await tx.lock(self.ordered, (job_id, name))
        if order is not None:
            tx.write(self.ordered, (job_id, name), replace(order, order_id=order_id))

    async def dead_letters(self, tx: Transaction, kind: str, before: str, most: int) -> list[Job]:
        """Return dead letters with ids below `before`, the newest first; what is empty does not narrow."""
        await tx.trip()
        dead = [job for _, job in tx.scan(self.jobs) if job.dead_time is not None]
        found = [job for job in dead if kind in {"", job.kind} and (not before or job.job_id < before)]
        return sorted(found, key=lambda job: job.job_id, reverse=True)[:most]

    async def reopen_log(self, tx: Transaction, job_id: str) -> None:
        """Make the last event of the log an ordinary one, because more will follow."""
        await tx.trip()
        for key, event in list(tx.scan(self.log)):
            if event.job_id == job_id and event.final:
                await tx.lock(self.log, key)
                tx.write(self.log, key, replace(event, final=False))
