"""What is written down of orders to vendors; each method works in the transaction of the attempt that holds the job."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from services.composer.domain.vendor import Remedy, TaskState, VendorTask
from services.composer.storage import vendor as storage
from services.kit.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from services.kit.clock import Clock
    from services.kit.db.engine import Database

_LONGEST_CODE = 64


class VendorOrders:
    """The orders of every job of this service."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self.clock = clock

    async def of_job(self, job_id: str) -> list[VendorTask]:
        """Return the orders of a job, the first one first."""
        async with self._db.transaction() as tx:
            return await storage.of_job(tx, job_id)

    def new(self, job_id: str, vendor: str, labels: str, *, paid: bool, lease_token: int) -> VendorTask:
        """Return an order that nobody has heard of yet."""
        return VendorTask(
            vendor_task_id=new_id(),
            job_id=job_id,
            vendor=vendor,
            labels=labels,
            paid=paid,
            state=TaskState.ASKED,
            task_id="",
            code="",
            remedy="",
            offer=[],
            songs={},
            lease_token=lease_token,
            create_time=self.clock(),
            accept_time=None,
            finish_time=None,
        )

    async def ask(self, tx: AsyncConnection, task: VendorTask) -> None:
        """Write down that the vendor is about to be asked."""
        await storage.put(tx, task)

    async def accept(
        self, tx: AsyncConnection, task: VendorTask, task_id: str, offer: Sequence[dict[str, Any]]
    ) -> VendorTask:
        """Return the order with the vendor's own id, and with what it handed over at once."""
        values: dict[str, Any] = {"task_id": task_id, "offer": list(offer), "accept_time": self.clock()}
        await storage.change(tx, task.vendor_task_id, state=TaskState.ACCEPTED.value, **values)
        return replace(task, state=TaskState.ACCEPTED, **values)

    async def close(
        self,
        tx: AsyncConnection,
        task: VendorTask,
        state: TaskState,
        *,
        code: str = "",
        remedy: Remedy | None = None,
        songs: dict[str, Any] | None = None,
    ) -> VendorTask:
        """Return the order as it ended."""
        values: dict[str, Any] = {
            "code": code[:_LONGEST_CODE],
            "remedy": "" if remedy is None else remedy.value,
            "songs": songs or {},
            "finish_time": self.clock(),
        }
        await storage.change(tx, task.vendor_task_id, state=state.value, **values)
        return replace(task, state=state, **values)
