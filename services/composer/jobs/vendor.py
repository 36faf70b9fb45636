"""Has a song made by the first vendor of a list that can, may and will, and goes on with another one where it may.

Everything happens inside of one attempt at one job: what was ordered is written down before the vendor hears of it, so
that whoever takes the job over knows which orders to follow and which money may be spent. The rule of whom may be
asked is `domain.vendor.may_ask`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.composer.domain.errors import ProviderFailed
from services.composer.domain.vendor import (
    ENGINE,
    Limits,
    Remedy,
    TaskState,
    Wanted,
    able,
    delivered,
    is_late,
    may_ask,
    milestone,
    since,
)
from services.composer.jobs.vendor_song import Taking, offered, plain_offer
from services.composer.providers import DirectVendor, Stopped, TaskVendor, VendorRefused
from services.kit import crash, tracing
from services.kit.breaker import Breaker
from services.kit.crash import VendorAct
from services.kit.errors import DomainError, Expired, Unavailable
from services.kit.jobs.errors import JobFailed
from services.kit.jobs.run import Stop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from services.composer.domain.vendor import VendorTask
    from services.composer.providers import Appraiser, Vendor, VendorOrder, VendorSong
    from services.composer.usecases.vendor import VendorOrders
    from services.kit.jobs.run import JobRun

_log = logging.getLogger(__name__)

LABELS = "AB"
_ABANDON_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How vendors are dealt with; `again_s` is the pause before a file is fetched once more."""

    poll_s: float = 2.0
    again_s: float = 1.0
    twice: bool = False
    limits: Limits = field(default_factory=Limits)


class VendorLine:
    """The makers of songs in the order in which they are asked, and how well each of them does just now."""

    def __init__(
        self,
        *,
        names: Sequence[str],
        vendors: Mapping[str, Vendor],
        orders: VendorOrders,
        appraiser: Appraiser,
        manner: Manner | None = None,
    ) -> None:
        """Ask the makers in the order of *names*; one of them may be our own engine."""
        self.names = tuple(names)
        self.vendors = dict(vendors)
        self.orders = orders
        self.appraiser = appraiser
        self.manner = manner or Manner()
        self.breakers = {name: Breaker() for name in self.vendors}

    def able(self, wanted: Wanted) -> list[str]:
        """Return the vendors that can make what is wanted, in the order in which they are asked."""
        vendors = self.vendors
        return [name for name in self.names if name in vendors and able(vendors[name].capability, wanted)]

    async def close(self) -> None:
        """Close every connection."""
        for vendor in self.vendors.values():
            await vendor.close()


class VendorAttempt:
    """One attempt at one job's song."""

    def __init__(self, line: VendorLine, run: JobRun, order: VendorOrder, taking: Taking) -> None:
        """Have *order* made; *taking* fetches, checks and keeps what comes."""
        self._line = line
        self._run = run
        self._order = order
        self._taking = taking
        self._tasks: dict[str, VendorTask] = {}
        self._said: list[str] = []

    async def make(self, play: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return what is kept of the variants, of a vendor's or of those that *play* has made by our own engine.

        Raises JobFailed when the person has to wish for something else, ProviderFailed when nobody gave a song, and
        Stopped.
        """
        try:
            return await self._make(play)
        except (Stopped, asyncio.CancelledError):
            if self._run.stop_reason in {Stop.CANCELLED, Stop.DEADLINE}:
                with suppress(DomainError, TimeoutError):
                    async with asyncio.timeout(_ABANDON_S):
                        await self._abandon()
            raise

    async def _make(self, play: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        await self._take_over()
        wanted = Wanted(has_tune=bool(self._order.take), lyrics=self._order.lyrics, duration_s=self._order.duration_s)
        can = self._line.able(wanted)
        for name in self._line.names:
            got = self._got()
            if len(got) == len(LABELS):
                break
            if name == ENGINE:
                # One song of a vendor is a song; one more by somebody else would be another one.
                if not got:
                    return await play()
            elif name in can and self._may(name, got):
                await self._try(name, self._missing(got))
        got = self._got()
        if not got or (len(got) < len(LABELS) and self._worth_another_attempt(can, got)):
            # The message is for administrators; facts beside it would be shown to the person.
            raise ProviderFailed(f"no maker gave a song: {', '.join(self._said) or 'nobody may be asked'}"[:300])
        return got

    def _got(self) -> dict[str, Any]:
        return delivered(self._tasks.values())

    def _missing(self, got: Mapping[str, Any]) -> str:
        return "".join(label for label in LABELS if label not in got)

    def _may(self, name: str, got: Mapping[str, Any]) -> bool:
        """Return whether this vendor may be sent an order for what is missing."""
        tasks = self._tasks.values()
        if got and all(task.vendor != name for task in tasks if task.state is TaskState.DELIVERED):
            return False
        paid = self._line.vendors[name].capability.paid
        return may_ask(name, self._missing(got), paid=paid, tasks=tasks, twice=self._line.manner.twice)

    def _worth_another_attempt(self, can: Sequence[str], got: Mapping[str, Any]) -> bool:
        job = self._run.job
        return job.failures < job.max_attempts and any(self._may(name, got) for name in can)

    async def _take_over(self) -> None:
        """Look at what earlier attempts have ordered, and follow the orders that vendors work on."""
        if self._run.lease_token == 1:
            return
        job = self._run.job
        found = since(job.start_time, await self._line.orders.of_job(job.job_id))
        self._tasks = {task.vendor_task_id: task for task in found}
        for task in list(self._tasks.values()):
            if task.state is TaskState.ASKED:
                await self._close(task, TaskState.LOST, VendorRefused("unanswered", Remedy.LATER))
            elif task.state is TaskState.ACCEPTED and task.vendor not in self._line.vendors:
                await self._close(task, TaskState.LOST, VendorRefused("left_the_list", Remedy.LATER))
            elif task.state is TaskState.ACCEPTED:
                with suppress(VendorRefused):
                    await self._guarded(task.vendor, self._follow(task))

    async def _try(self, name: str, missing: str) -> None:
        """Send the vendor one order for all that is missing, or one for each; what it refuses is only noted."""
        breaker = self._line.breakers[name]
        if not breaker.admit():
            self._said.append(f"{name} left alone")
            return
        each = [missing] if self._line.vendors[name].capability.songs > 1 else list(missing)
        work = [self._guarded(name, self._one(name, labels)) for labels in each]
        ended = await asyncio.gather(*work, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, VendorRefused):
                raise error
        told = [error for error in ended if isinstance(error, VendorRefused)]
        if not self._got() and any(error.remedy is Remedy.USER for error in told):
            raise JobFailed("CONTENT_REJECTED", "the vendor makes no song of this", vendor=name)

    async def _guarded(self, name: str, work: Awaitable[None]) -> None:
        """Do the work, and let the vendor's breaker and the log know how it went; raises as the work does."""
        breaker, vendor = self._line.breakers[name], self._line.vendors[name]
        try:
            with tracing.generation("generate_music", provider=name, model=vendor.model) as told:
                await work
                told.answered(model=vendor.model, cost_usd=vendor.capability.cost_usd or None)
        except VendorRefused as error:
            self._said.append(f"{name} {error.code}")
            level = logging.ERROR if error.remedy is Remedy.OPERATOR else logging.WARNING
            _log.log(level, "vendor %s gave no song: %s, what helps is: %s", name, error.code, error.remedy.value)
            if error.remedy in {Remedy.LATER, Remedy.OPERATOR}:
                breaker.fail()
            else:
                breaker.succeed()
            raise
        except BaseException:
            breaker.give_back()
            raise
        breaker.succeed()

    async def _one(self, name: str, labels: str) -> None:
        """Send one order and see it through."""
        run, orders, vendor = self._run, self._line.orders, self._line.vendors[name]
        self._check()
        paid = vendor.capability.paid
        task = orders.new(run.job.job_id, name, labels, paid=paid, lease_token=run.lease_token)
        self._tasks[task.vendor_task_id] = task
        await run.record(lambda tx: orders.ask(tx, task), VendorAct.VENDOR_ASK)
        try:
            async with run.aside():
                crash.before(VendorAct.VENDOR_SUBMIT)
                task_id, songs = await self._send(vendor)
                crash.after(VendorAct.VENDOR_SUBMIT)
        except VendorRefused as error:
            await self._close(task, TaskState.LOST if error.maybe_taken else TaskState.REFUSED, error)
            raise
        accepted = await self._accept(task, task_id, songs)
        self._run.report(milestone(0), f"{name} has the order")
        await self._follow(accepted, songs)

    async def _send(self, vendor: Vendor) -> tuple[str, tuple[VendorSong, ...]]:
        """Return the vendor's id of the order, and the songs if they are its answer."""
        if isinstance(vendor, TaskVendor):
            return await vendor.submit(self._order), ()
        assert isinstance(vendor, DirectVendor)
        self._run.report(milestone(0), f"{vendor.name} has the order")
        songs = await self._unless_stopped(vendor.sing(self._order))
        return songs[0].reference if songs else "", songs

    async def _unless_stopped(self, work: Awaitable[tuple[VendorSong, ...]]) -> tuple[VendorSong, ...]:
        """Return what the work returns; ends it and raises Stopped once the run is to end."""
        doing, stopping = asyncio.ensure_future(work), asyncio.create_task(self._run.stopping.wait())
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not doing.done():
                raise Stopped
            return doing.result()
        finally:
            doing.cancel()
            stopping.cancel()
            await asyncio.gather(doing, stopping, return_exceptions=True)

    async def _accept(self, task: VendorTask, task_id: str, songs: Sequence[VendorSong]) -> VendorTask:
        """Return the order with what the vendor answered, written down."""
        found: list[VendorTask] = []

        async def write(tx: Any) -> None:
            found[:] = [await self._line.orders.accept(tx, task, task_id, plain_offer(songs))]

        await self._run.record(write, VendorAct.VENDOR_ACCEPT)
        self._tasks[task.vendor_task_id] = found[0]
        return found[0]

    async def _follow(self, task: VendorTask, songs: Sequence[VendorSong] = ()) -> None:
        """Wait for an order that its vendor has taken, and keep what comes; raises VendorRefused when nothing does."""
        vendor = self._line.vendors[task.vendor]
        songs = songs or offered(task.offer)
        if not (songs or isinstance(vendor, TaskVendor)):
            # It has handed over bytes, and they went with the worker.
            error = VendorRefused("unanswered", Remedy.LATER, maybe_taken=True)
            await self._close(task, TaskState.LOST, error)
            raise error
        if not songs:
            assert isinstance(vendor, TaskVendor)
            async with self._run.aside():
                songs = await self._wait_for(vendor, task)
        crash.before(VendorAct.VENDOR_FETCH)
        kept, flaws = await self._taking.take(vendor, task, songs)
        crash.after(VendorAct.VENDOR_FETCH)
        if kept:
            await self._close(task, TaskState.DELIVERED, None, kept)
            return
        error = VendorRefused(f"flawed: {', '.join(flaws)}", Remedy.LATER, maybe_taken=True)
        await self._close(task, TaskState.LOST, error)
        raise error

    async def _wait_for(self, vendor: TaskVendor, task: VendorTask) -> tuple[VendorSong, ...]:
        """Return the songs once the vendor has them; a vendor that says nothing for too long has lost the order."""
        manner = self._line.manner
        while True:
            self._check()
            try:
                standing = await vendor.poll(task.task_id)
            except VendorRefused as error:
                await self._close(task, TaskState.FAILED, error)
                raise
            except (Unavailable, Expired) as error:
                _log.info("vendor %s cannot be asked: %s", vendor.name, error.message)
            else:
                if standing.songs:
                    return standing.songs
                self._run.report(milestone(standing.percent), f"{vendor.name} works on it")
            # After the question: an order may have waited longer for us than we for the vendor.
            if is_late(task, self._line.orders.clock(), manner.limits):
                late = VendorRefused("late", Remedy.LATER, maybe_taken=True)
                await self._close(task, TaskState.LOST, late)
                raise late
            await self._pause(manner.poll_s)

    async def _close(
        self, task: VendorTask, state: TaskState, error: VendorRefused | None, songs: dict[str, Any] | None = None
    ) -> None:
        """Write down how an order ended."""
        code, remedy = ("", None) if error is None else (error.code, error.remedy)
        found: list[VendorTask] = []

        async def write(tx: Any) -> None:
            found[:] = [await self._line.orders.close(tx, task, state, code=code, remedy=remedy, songs=songs)]

        await self._run.record(write, VendorAct.VENDOR_KEEP)
        self._tasks[task.vendor_task_id] = found[0]

    async def _abandon(self) -> None:
        """Tell vendors and the books that nobody waits any more."""
        for task in list(self._tasks.values()):
            if task.state in {TaskState.ASKED, TaskState.ACCEPTED}:
                vendor = self._line.vendors.get(task.vendor)
                if isinstance(vendor, TaskVendor) and task.task_id:
                    await vendor.cancel(task.task_id)
                await self._close(task, TaskState.STOPPED, None)

    def _check(self) -> None:
        if self._run.cancelled():
            raise Stopped

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than the run is to go on."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._run.stopping.wait()
