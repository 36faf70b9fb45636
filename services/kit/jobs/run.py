"""One attempt at a job, as its handler sees it: steps, progress, the end.

Every write goes through the fencing token. A handler that lost its lease, was cancelled or runs
in a process that is about to stop learns it at its next call here, at the latest.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from enum import Enum
from typing import Any

from services.kit import tracing
from services.kit.crash import Act, AnyAct
from services.kit.db.outage import is_outage, through_outage
from services.kit.ids import new_id
from services.kit.jobs.errors import JobCancelled, LeaseLost
from services.kit.jobs.job import Job, Note, PlacedOrder
from services.kit.jobs.places import Place
from services.kit.jobs.queue import EndHook, JobQueue
from services.kit.jobs.states import Event
from services.kit.jobs.store import Transactions, Tx

_log = logging.getLogger(__name__)

_BETWEEN_PROGRESS_S = 0.25
# How long a step's result waits for a database that is being restarted.
_OUTAGE_S = 60.0


class Stop(Enum):
    """Why an attempt should end before its handler is done."""

    CANCELLED = "its owner cancelled the job"
    LOST = "another worker has the job"
    SHUTDOWN = "this process is stopping"
    DEADLINE = "the time for this kind of job is used up"


class JobRun:
    """One attempt at one job under one lease."""

    def __init__(
        self, job: Job, queue: JobQueue, db: Transactions, on_end: EndHook, place: Place | None = None
    ) -> None:
        self.job = job
        self.params: Mapping[str, Any] = job.params
        self.lease_token = job.lease_token
        self.finished = False
        self.stopping = asyncio.Event()
        self.stop_reason: Stop | None = None
        self.lost = False
        self._finishing = False
        self._queue = queue
        self._db = db
        self._on_end = on_end
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._done: dict[str, dict[str, Any]] = {}
        self._range = (job.progress_percent, job.progress_percent)
        self._step_percent = 0
        self._next_note_at = 0.0
        self._report_task: asyncio.Task[None] | None = None

    async def load_steps(self) -> None:
        """Fetch the results of the steps that earlier attempts finished; under its first lease a job has none."""
        if self.lease_token == 1:
            return
        async with self._db.transaction() as tx:
            self._done = await self._queue.store.steps(tx, self.job.job_id)

    def stop(self, reason: Stop) -> None:
        """Ask the handler to end; the first reason stays. Safe to call from any thread."""
        if self.stop_reason is None:
            # At once for a handler that computes and looks at `cancelled`; the loop may be busy with it.
            self.stop_reason = reason
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.stopping.set)

    def lose(self) -> None:
        """Take note that the job is not running under this lease any more. Safe to call from any thread.

        That is so when another worker has it, which ends the handler, and also when this run has just completed it and
        has not heard of the commit yet. While it is finishing, the row decides, and `finish` tells which it was.
        """
        # `finish` writes the three in the opposite order, so one of both sees what the other did.
        self.lost = True
        if not self._finishing and not self.finished:
            self.stop(Stop.LOST)

    def cancelled(self) -> bool:
        """Return whether the work is in vain; safe to ask from any thread."""
        return self.stop_reason is not None

    async def step(
        self, name: str, weight_percent: tuple[int, int], work: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Return the step's result: that of an earlier attempt, or of `work` once it is stored.

        The result must be a JSON object; what comes back has been through JSON in both cases.
        `weight_percent` is the part of the whole job's progress that the step covers. Raises
        JobCancelled and LeaseLost.
        """
        self._check()
        if name in self._done:
            return self._done[name]
        self._range = weight_percent
        await self._write(lambda tx: self._note(tx, 0, "started", step=name), Act.STEP_BEGIN)
        start_time = self._queue.clock()
        with tracing.span(f"step {name}"):
            result: dict[str, Any] = json.loads(json.dumps(await work(), allow_nan=False))
        self._check()

        async def store(tx: Tx) -> None:
            await self._note(tx, 100, "finished", step=name)
            # A commit whose answer got lost is repeated and finds its own row.
            await self._queue.store.add_step(
                tx, self.job, name, result, start_time=start_time, finish_time=self._queue.clock()
            )

        await self._write(store, Act.STEP_FINISH)
        self._done[name] = result
        return result

    async def order(
        self, name: str, find: Callable[[str], Awaitable[str]], submit: Callable[[str], Awaitable[str]]
    ) -> str:
        """Return the vendor's id of what was ordered under this name, ordered now or by an earlier attempt.

        The request id is written down under the lease before the vendor hears of it. `submit` sends it along and
        returns the vendor's order id; `find` asks the vendor for the order of a request id and returns "" when there
        is none. It is asked first whenever an earlier attempt may have got as far as the vendor, so a crash between
        its acceptance and our record buys nothing twice. Raises JobCancelled, LeaseLost and what the two raise.
        """
        self._check()
        store, job_id = self._queue.store, self.job.job_id
        wish = new_id()
        placed: PlacedOrder | None = None

        async def intend(tx: Tx) -> None:
            nonlocal placed
            await self._fence(tx)
            placed = await store.put_order(tx, job_id, name, request_id=wish, at=self._queue.clock())

        await self._write(intend, None)
        assert placed is not None
        if placed.order_id:
            return placed.order_id
        order_id = "" if placed.request_id == wish else await find(placed.request_id)
        if not order_id:
            self._check()
            order_id = await submit(placed.request_id)

        async def accept(tx: Tx) -> None:
            await self._fence(tx)
            await store.accept_order(tx, job_id, name, order_id=order_id, at=self._queue.clock())

        await self._write(accept, None)
        return order_id

    async def record(self, work: Callable[[Tx], Awaitable[None]], act: AnyAct | None = None) -> None:
        """Run the work in a transaction that commits only while this attempt holds the job; raises LeaseLost.

        The work is repeated when the database goes away meanwhile, so what it does twice must be done once.
        """

        async def fenced(tx: Tx) -> None:
            await self._fence(tx)
            await work(tx)

        await self._write(fenced, act)

    def aside(self) -> AbstractAsyncContextManager[None]:
        """Return a context in which the job only waits for somebody else, and another may have its place meanwhile."""
        return nullcontext() if self._place is None else self._place.aside()

    async def _fence(self, tx: Tx) -> None:
        """Raise LeaseLost unless this attempt still holds the job; nobody takes it before the transaction ends."""
        await self._queue.rows.change(tx, self.job.job_id, self._queue.clock(), note=None, token=self.lease_token)

    async def progress(self, step_percent: int, message: str = "") -> None:
        """Write how far the current step is; at most a few times a second, never going back.

        Does nothing while the database is away. Raises JobCancelled and LeaseLost.
        """
        self._check()
        percent = max(0, min(100, step_percent))
        now = self._loop.time()
        if percent <= self._step_percent or now < self._next_note_at:
            return
        self._next_note_at = now + _BETWEEN_PROGRESS_S
        await self.tell((message,), percent)

    async def tell(self, messages: Sequence[str], step_percent: int) -> bool:
        """Write lines of the log at once, and return whether they stand there; how many is for the caller to bound.

        They do not while the database is away. Raises JobCancelled and LeaseLost.
        """
        self._check()
        percent = max(self._step_percent, min(100, step_percent))
        try:
            async with self._writing, self._db.transaction() as tx:
                for message in messages:
                    await self._note(tx, percent, message, step=self.job.step)
        except Exception as error:
            if not is_outage(error):
                raise
            _log.warning("progress of job %s not written: %r", self.job.job_id, error)
            return False
        await self._queue.signals.wake(self.job.job_id)
        return True

    def report(self, step_percent: int, message: str = "") -> None:
        """Do what `progress` does from any thread, without waiting and without raising."""
        # The loop may be gone when the process is stopping and a thread still computes.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take_report, step_percent, message)

    @asynccontextmanager
    async def finish(self, result: dict[str, Any]) -> AsyncIterator[Tx]:
        """Yield the transaction that completes the job; what the caller writes in it commits with it.

        Raises LeaseLost, and JobCancelled when the cancellation came first.
        """
        self._check()
        self._finishing = True
        try:
            async with self._writing, self._db.transaction(Act.JOB_FINISH) as tx:
                at = self._queue.clock()
                note = Note("completed", 100)
                values: dict[str, Any] = {"result": result, "progress_percent": 100, "token": self.lease_token}
                # Under the token, so the change itself finds out whether the lease is still ours.
                ended = await self._queue.rows.move(tx, self.job, Event.COMPLETE, at, note=note, **values)
                if ended.cancel_requested:
                    raise JobCancelled
                await self._queue.store.close_attempt(tx, ended.job_id, self.lease_token, at=at, outcome="completed")
                yield tx
                await self._on_end(tx, ended)
            self.finished = True
        finally:
            self._finishing = False
            if self.lost and not self.finished:
                self.stop(Stop.LOST)
        self.job = ended
        await self._queue.signals.wake(ended.job_id)

    async def close(self) -> None:
        """End what `report` may have left running."""
        if self._report_task is not None:
            self._report_task.cancel()
            await asyncio.wait({self._report_task})

    def _check(self) -> None:
        """Raise what the attempt should end with, if it should end."""
        if self.stop_reason is Stop.LOST:
            raise LeaseLost("another worker has the job", job_id=self.job.job_id)
        if self.stop_reason is not None:
            raise JobCancelled(self.stop_reason.value)

    async def _write(self, work: Callable[[Tx], Awaitable[None]], act: AnyAct | None) -> None:
        """Run the work in a transaction, waiting for a database that is away, and wake the watchers."""

        async def once() -> None:
            async with self._db.transaction(act) as tx:
                await work(tx)

        async with self._writing:
            await through_outage(once, limit_s=_OUTAGE_S)
        await self._queue.signals.wake(self.job.job_id)

    async def _note(self, tx: Tx, step_percent: int, message: str, *, step: str) -> None:
        """Write the progress of a step and its event under the fence."""
        low, high = self._range
        whole = max(self.job.progress_percent, low + (high - low) * step_percent // 100)
        note = Note(message, step_percent)
        self.job = await self._queue.rows.change(
            tx,
            self.job.job_id,
            self._queue.clock(),
            note=note,
            token=self.lease_token,
            step=step,
            progress_percent=whole,
        )
        self._step_percent = step_percent

    def _take_report(self, step_percent: int, message: str) -> None:
        """Start writing a report unless one is being written; runs in the loop's thread."""
        if self.cancelled() or (self._report_task is not None and not self._report_task.done()):
            return
        self._report_task = asyncio.create_task(self._write_report(step_percent, message))

    async def _write_report(self, step_percent: int, message: str) -> None:
        # The handler's own next call raises the same, where it can be acted upon.
        with contextlib.suppress(JobCancelled, LeaseLost):
            await self.progress(step_percent, message)
