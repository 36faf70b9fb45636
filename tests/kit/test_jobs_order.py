"""What is ordered from a vendor is bought once, wherever the worker dies."""

import asyncio
from dataclasses import dataclass, field

import pytest

from services.kit.jobs.errors import LeaseLost
from services.kit.jobs.runner import JobRun
from services.kit.jobs.states import State
from tests.conftest import SettableClock
from tests.kit.tiny_service import TinyService, on_end, store


class Died(Exception):
    """The worker is gone at this point."""


@dataclass
class Vendor:
    """A vendor that counts what was bought and knows each order by its client's request id."""

    dies: str = ""
    bought: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def find(self, request_id: str) -> str:
        """Return the order of the request id, or nothing."""
        self.asked.append(request_id)
        return f"order of {request_id}" if request_id in self.bought else ""

    async def submit(self, request_id: str) -> str:
        """Sell, and lose the connection before or after that if so told."""
        if self.dies == "before":
            self.dies = ""
            raise Died
        self.bought.append(request_id)
        if self.dies == "after":
            self.dies = ""
            raise Died
        return f"order of {request_id}"

    async def handle(self, run: JobRun) -> None:
        """Order one thing, wait for it, and finish."""
        order_id = await run.order("song", self.find, self.submit)
        dies, self.dies = self.dies, ""
        if dies == "waiting":
            raise Died
        async with run.finish({"order_id": order_id}):
            pass


@pytest.mark.parametrize(("dies", "asked"), [("", 0), ("before", 1), ("after", 1), ("waiting", 0)])
async def test_nothing_is_bought_twice(tiny: TinyService, clock: SettableClock, dies: str, asked: int) -> None:
    """Wherever an attempt breaks off, the vendor has sold once and the next attempt goes on with that order."""
    vendor = Vendor(dies)
    job = await tiny.submit()
    await tiny.runner(vendor.handle).run(job.job_id)
    clock.advance(10)
    await tiny.runner(vendor.handle).run(job.job_id)
    done = await tiny.job(job.job_id)
    assert (done.state, done.attempt) == (State.COMPLETED, 2 if dies else 1)
    assert len(vendor.bought) == 1
    assert len(vendor.asked) == asked
    assert done.result == {"order_id": f"order of {vendor.bought[0]}"}


async def test_a_worker_without_its_lease_orders_nothing(tiny: TinyService, clock: SettableClock) -> None:
    """A worker that slept through its lease is refused before it speaks to the vendor."""
    vendor = Vendor()
    begun, awake = asyncio.Event(), asyncio.Event()

    async def sleeps(run: JobRun) -> None:
        begun.set()
        await awake.wait()
        with pytest.raises(LeaseLost):
            await vendor.handle(run)

    job = await tiny.submit()
    first = asyncio.create_task(tiny.runner(sleeps, heartbeat_s=1000).run(job.job_id))
    await begun.wait()
    clock.advance(7)
    await tiny.runner(vendor.handle).run(job.job_id)
    sold = list(vendor.bought)
    awake.set()
    await first
    assert vendor.bought == sold
    assert len(sold) == 1


async def test_a_worker_without_its_lease_leaves_no_intention(tiny: TinyService, clock: SettableClock) -> None:
    """Who lost the lease before anybody ordered is refused before the vendor hears of it, and its wish is not kept."""
    vendor = Vendor()
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    late = JobRun(job, tiny.queue, tiny.db, on_end)
    clock.advance(7)
    await tiny.runner(vendor.handle)._acquire(job.job_id)
    with pytest.raises(LeaseLost):
        await late.order("song", vendor.find, vendor.submit)
    assert (vendor.bought, vendor.asked) == ([], [])
    async with tiny.db.transaction() as tx:
        order = await store.put_order(tx, job.job_id, "song", request_id=job.job_id, at=clock())
    assert order.request_id == job.job_id


async def test_a_lease_lost_at_the_vendor_keeps_the_answer_out(tiny: TinyService, clock: SettableClock) -> None:
    """Who loses the lease while the vendor sells writes nothing down, and the next attempt finds that order."""
    vendor = Vendor()
    await tiny.submit()
    job = await tiny.runner().take(tiny.queue_name)
    assert job is not None
    late = JobRun(job, tiny.queue, tiny.db, on_end)

    async def submit(request_id: str) -> str:
        clock.advance(7)
        await tiny.runner()._acquire(job.job_id)
        return await vendor.submit(request_id)

    with pytest.raises(LeaseLost):
        await late.order("song", vendor.find, submit)
    async with tiny.db.transaction() as tx:
        order = await store.put_order(tx, job.job_id, "song", request_id=job.job_id, at=clock())
    assert (order.order_id, [order.request_id]) == ("", vendor.bought)
    clock.advance(7)
    await tiny.runner(vendor.handle).run(job.job_id)
    assert (await tiny.job(job.job_id)).state is State.COMPLETED
    assert len(vendor.bought) == 1
