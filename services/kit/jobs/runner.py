"""Takes a job under a lease, runs its handler, and writes how it ended.

Exactly one worker holds a job's newest fencing token. The holder extends its lease while the
handler works; whoever lost it is stopped and can write nothing more.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

from services.kit import crash, tracing
from services.kit.crash import Act
from services.kit.db.outage import through_outage
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.jobs import verdict
from services.kit.jobs.errors import JobCancelled, JobFailed, JobNotFound, LeaseLost
from services.kit.jobs.heart import Heart, LoopHeart, Rhythm
from services.kit.jobs.job import Job, Note
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.places import Place
from services.kit.jobs.queue import EndHook, JobQueue, stop_topic
from services.kit.jobs.run import JobRun, Stop
from services.kit.jobs.states import Event, State
from services.kit.jobs.store import Transactions, Tx

__all__ = ["EndHook", "Handler", "JobCancelled", "JobFailed", "JobRun", "LeaseLost", "Runner"]

_log = logging.getLogger(__name__)

Handler = Callable[[JobRun], Awaitable[None]]

# Two machines' clocks may differ by this much without a due job looking early.
_CLOCKS_AGREE = timedelta(seconds=1)
# A handler that looks at `cancelled()` gets this long to stop by itself.
_CANCEL_GRACE_S = 0.3
_UNWIND_S = 0.5
_ACQUIRE_OUTAGE_S = 20.0
_SETTLE_OUTAGE_S = 60.0


class Runner:
    """Runs jobs of one service in this process, any number at once."""

    def __init__(
        self,
        queue: JobQueue,
        db: Transactions,
        handlers: Mapping[str, Handler],
        on_end: EndHook | None = None,
        dispatcher: Dispatcher | None = None,
        *,
        heart: Heart | None = None,
        lease_s: float = 3.5,
        heartbeat_s: float = 0.7,
    ) -> None:
        """Keep the collaborators; without a `heart` the leases are kept in the event loop of the work.

        A job of a killed worker waits for the rest of its lease, one sweep and one push: under five seconds together.
        """
        self.queue = queue
        self.db = db
        self.on_end = on_end or queue.on_end
        self.dispatcher = dispatcher
        self._handlers = dict(handlers)
        self._heart = heart or LoopHeart(db)
        self._rhythm = Rhythm(timedelta(seconds=lease_s), heartbeat_s)
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"
        self._runs: dict[str, JobRun] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    async def run(self, job_id: str) -> None:
        """Run the job to the end of one attempt; does nothing if it is not there to be taken.

        Raises only what the database raises when it stays away before the job was taken.
        """
        if self._stopping:
            return
        job = await through_outage(lambda: self._acquire(job_id), limit_s=_ACQUIRE_OUTAGE_S)
        if job is not None:
            await self.perform(job)

    async def take(self, queue_name: str) -> Job | None:
        """Return the job of the queue whose turn it is, under a new lease; None when there is nothing to do.

        Give it to `perform` at once. Raises what the database raises when it is away.
        """
        async with self.db.transaction() as tx:
            kinds = await self.queue.line.open_kinds(tx, self._handlers.keys() & self.queue.line.kinds(queue_name))
            if self._stopping or not kinds:
                return None
            job = await self.queue.store.turns.next_due(tx, kinds, self.queue.clock())
            taken = None if job is None else await self._start(tx, job)
            if taken is not None:
                crash.before(Act.JOB_LEASE)
        if taken is not None:
            crash.after(Act.JOB_LEASE)
        return taken

    def listening(self) -> AbstractAsyncContextManager[asyncio.Event]:
        """Return a context in which the process stays subscribed, so that no job has to connect to hear its cancel."""
        return self.queue.signals.listen(self._owner)

    async def holds_back(self, queue_name: str) -> bool:
        """Return whether a job of the queue is due whose kind has all it may have; raises as `take`."""
        line = self.queue.line
        if not line.limits(queue_name):
            return False
        async with self.db.transaction() as tx:
            return await line.holds_back(tx, self._handlers.keys() & line.kinds(queue_name))

    async def perform(self, job: Job, place: Place | None = None) -> None:
        """Run a job that this runner has taken to the end of one attempt; it may leave its place while it waits."""
        job_id = job.job_id
        # The handler need not wait for the news that it begins.
        telling = asyncio.create_task(self.queue.signals.wake(job_id))
        run = JobRun(job, self.queue, self.db, self.on_end, place)
        if self._stopping:
            run.stop(Stop.SHUTDOWN)
        self._runs[job_id] = run
        self._idle.clear()
        try:
            await self._traced(run)
        finally:
            await asyncio.wait({telling})
            # The job may have come back and be in its next attempt here already.
            if self._runs.get(job_id) is run:
                del self._runs[job_id]
            if not self._runs:
                self._idle.set()
            if self.dispatcher is not None:
                self.dispatcher.kick()

    async def stop(self, within_s: float = 2.0) -> None:
        """Take no more jobs and give the running ones back; returns when that is written or time is up."""
        self._stopping = True
        for run in self._runs.values():
            run.stop(Stop.SHUTDOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._idle.wait()

    async def _acquire(self, job_id: str) -> Job | None:
        """Return the job under a new lease, or None when it is not to be had."""
        rows = self.queue.rows
        async with self.db.transaction(Act.JOB_LEASE) as tx:
            try:
                job = await rows.lock(tx, job_id)
            except JobNotFound:
                return None
            at = self.queue.clock()
            if job.kind not in self._handlers:
                return None
            if job.state is State.RUNNING and job.lease_expire_time is not None and job.lease_expire_time < at:
                job = await verdict.lost(self.queue, tx, job, self.on_end)
            if job.state is not State.QUEUED or job.run_after > at + _CLOCKS_AGREE:
                return None
            return await self._start(tx, job)

    async def _start(self, tx: Tx, job: Job) -> Job | None:
        """Return the locked job under a new lease, or None when it may not be tried again."""
        if job.cancel_requested:
            return None
        at = self.queue.clock()
        deadline = job.deadline_time
        if job.start_time is None:
            deadline = at + timedelta(seconds=self.queue.policies[job.kind].deadline_s)
        started = await self.queue.rows.move(
            tx,
            job,
            Event.START,
            at,
            note=Note(f"attempt {job.attempt + 1}"),
            attempt=job.attempt + 1,
            start_time=job.start_time or at,
            deadline_time=deadline,
            lease_owner=self._owner,
            lease_token=job.lease_token + 1,
            lease_expire_time=at + self._rhythm.lease,
        )
        await self.queue.store.open_attempt(tx, started, at)
        if job.start_time is None:
            await self.queue.on_start(tx, started)
        return started

    async def _traced(self, run: JobRun) -> None:
        """Make the attempt as a part of the trace that the job was asked for in."""
        job = run.job
        about: dict[str, tracing.Value | None] = {
            "cadenza.job_id": job.job_id,
            "cadenza.job_kind": job.kind,
            "cadenza.job_attempt": job.attempt,
            "langfuse.trace.name": job.kind,
            "langfuse.session.id": job.job_id,
        }
        joined = tracing.joined(job.trace_id, job_id=job.job_id, platform=job.platform, user_id=job.user_id)
        with joined, tracing.span(f"job {job.kind}", kind="consumer", attributes=about) as span:
            await self._attempt(run)
            outcome = "finished" if run.finished else run.stop_reason.name.lower() if run.stop_reason else "failed"
            if not run.finished:
                span.fail(outcome)
            # The one line by which a request's trace id is found in the log of the process that did the work.
            facts = {"job_id": job.job_id, "kind": job.kind, "attempt": job.attempt, "outcome": outcome}
            _log.info("attempt", extra=facts)

    async def _attempt(self, run: JobRun) -> None:
        """Run the handler under a heartbeat and write the outcome."""
        beat = self._heart.start(run, self.queue, self._rhythm)
        ear = asyncio.create_task(self._hear_cancel(run), name=f"cancel {run.job.job_id}")
        try:
            error = await self._handle(run)
            if run.finished or run.stop_reason is Stop.LOST or isinstance(error, LeaseLost):
                if error is not None:
                    _log.warning("job %s went on after its end: %r", run.job.job_id, error)
                return
            ended = await through_outage(lambda: self._settle(run, error), limit_s=_SETTLE_OUTAGE_S)
            await self.queue.push(ended)
        except LeaseLost:
            _log.warning("job %s was taken over by another worker", run.job.job_id)
        except Exception:  # noqa: BLE001  # whatever it is, the worker goes on
            # The lease runs out and a sweeper decides instead.
            _log.exception("the outcome of job %s could not be written", run.job.job_id)
        finally:
            beat.cancel()
            ear.cancel()
            await asyncio.wait({ear})
            await run.close()

    async def _handle(self, run: JobRun) -> BaseException | None:
        """Return what the handler raised, or None; ends it early when the run is to stop."""
        work = asyncio.create_task(self._work(run), name=f"job {run.job.job_id}")
        stop = asyncio.create_task(run.stopping.wait())
        left_s = (run.job.deadline_time - self.queue.clock()).total_seconds()
        try:
            await asyncio.wait({work, stop}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                run.stop(Stop.DEADLINE)
                if run.stop_reason is Stop.CANCELLED:
                    await asyncio.wait({work}, timeout=_CANCEL_GRACE_S)
                work.cancel()
                await asyncio.wait({work}, timeout=_UNWIND_S)
        finally:
            stop.cancel()
            work.cancel()
        if not work.done():
            _log.error("job %s does not stop", run.job.job_id)
            return None
        return JobCancelled("interrupted") if work.cancelled() else work.exception()

    async def _work(self, run: JobRun) -> None:
        """Run the handler from where the last attempt got to."""
        await run.load_steps()
        await self._handlers[run.job.kind](run)
        if not run.finished:
            raise RuntimeError(f"the handler of {run.job.kind} returned without finishing the job")

    async def _settle(self, run: JobRun, error: BaseException | None) -> Job:
        """Return the job after its attempt ended without completing it."""
        queue, token = self.queue, run.lease_token
        job_id = run.job.job_id
        async with self.db.transaction(Act.ATTEMPT_END) as tx:
            job = await queue.rows.lock(tx, job_id)
            if job.state is not State.RUNNING or job.lease_token != token:
                raise LeaseLost("the job is not running under this lease", job_id=job_id)
            if job.cancel_requested:
                return await verdict.cancelled(queue, tx, job, self.on_end)
            if run.stop_reason is Stop.SHUTDOWN:
                return await verdict.given_back(queue, tx, job)
            if run.stop_reason is Stop.DEADLINE:
                return await verdict.late(queue, tx, job, self.on_end)
            return await verdict.failed(queue, tx, job, self.on_end, error=error)

    async def _hear_cancel(self, run: JobRun) -> None:
        """Stop the run as soon as its owner's cancellation is told; the heartbeat would find it a little later."""
        with contextlib.suppress(Unavailable):
            async with self.queue.signals.listen(stop_topic(run.job.job_id)) as told:
                await told.wait()
                while not run.cancelled():
                    told.clear()
                    with contextlib.suppress(Exception):
                        async with self.db.transaction() as tx:
                            job = await self.queue.get(tx, run.job.job_id)
                        if job.cancel_requested:
                            run.stop(Stop.CANCELLED)
                            return
                    await told.wait()
