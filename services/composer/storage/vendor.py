"""Queries for orders to vendors; every one takes the open transaction first."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.composer.domain.vendor import TaskState, VendorTask
from services.composer.storage.tables import vendor_tasks

_FIELDS = tuple(each.name for each in fields(VendorTask))


def _task(row: Mapping[Any, Any]) -> VendorTask:
    values = {name: row[name] for name in _FIELDS}
    return VendorTask(**{**values, "state": TaskState(values["state"])})


async def of_job(tx: AsyncConnection, job_id: str) -> list[VendorTask]:
    """Return the orders of a job, the first one first."""
    query = select(vendor_tasks).where(vendor_tasks.c.job_id == job_id).order_by(vendor_tasks.c.vendor_task_id)
    return [_task(row) for row in (await tx.execute(query)).mappings()]


async def put(tx: AsyncConnection, task: VendorTask) -> None:
    """Write a new order; one that is there already stays as it is."""
    values = {name: getattr(task, name) for name in _FIELDS} | {"state": task.state.value}
    await tx.execute(insert(vendor_tasks).values(**values).on_conflict_do_nothing())


async def change(tx: AsyncConnection, vendor_task_id: str, **values: Any) -> None:
    """Set columns of one order."""
    await tx.execute(update(vendor_tasks).where(vendor_tasks.c.vendor_task_id == vendor_task_id).values(**values))
