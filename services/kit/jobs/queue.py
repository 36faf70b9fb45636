"""What a service does with jobs: make, queue, cancel, read them, inside its own transactions.

The row is the truth and commits together with what it is about. Redis is told afterwards; what
it misses the sweeper repeats.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import RedisError

from services.kit import crash, tracing
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.ids import new_id
from services.kit.jobs.errors import EventsGone, JobActive, JobNotCancellable
from services.kit.jobs.job import Job, JobEvent, Note, plain_text
from services.kit.jobs.line import Line
from services.kit.jobs.policy import Policy
from services.kit.jobs.reads import SharedReads
from services.kit.jobs.rows import Rows
from services.kit.jobs.signals import Signals
from services.kit.jobs.states import Event, State
from services.kit.jobs.store import JobStore, Tx
from services.kit.jobs.turns import Level, Turns

_log = logging.getLogger(__name__)

# How long a job may stay pending before the sweeper asks its service about it.
PENDING_S = 10.0

EndHook = Callable[[Tx, Job], Awaitable[None]]


async def nothing_more(_tx: Tx, _job: Job) -> None:
    """Leave it at the job's own row and event."""


class JobQueue:
    """The jobs of one service.

    `on_end` writes what belongs to the end of a job (the outbox row that settles or releases, the
    domain row) in the transaction that ends it, also when `cancel` or `fail` ends it here. `on_start`
    does so in the transaction in which a worker takes the job for the first time.
    """

    def __init__(
        self,
        store: JobStore,
        policies: Mapping[str, Policy],
        signals: Signals,
        clock: Clock,
        *,
        on_end: EndHook = nothing_more,
        on_start: EndHook = nothing_more,
        turns: Turns | None = None,
    ) -> None:
        """Keep the collaborators; nothing connects yet."""
        self.turns = turns or Turns()
        self.line = Line(store.service, store.turns, policies, clock)
        self.service = store.service
        self.store = store
        self.policies = dict(policies)
        self.clock = clock
        self.on_end = on_end
        self.on_start = on_start
        self.rows = Rows(store)
        self.signals = signals
        self.reads = SharedReads()

    async def create(
        self,
        tx: Tx,
        *,
        kind: str,
        user_id: str,
        subject_id: str,
        params: dict[str, Any],
        job_id: str | None = None,
        trace_id: str = "",
        platform: str = "",
        level: Level = Level.FREE,
    ) -> Job:
        """Return a new pending job with the first event of its log, its turn fixed by its owner's level and jobs."""
        policy = self.policies[kind]
        job_id = job_id or new_id()
        unfinished = await self.active_count(tx, user_id) if user_id else 0
        at = self.clock()
        values = {
            "job_id": job_id,
            "kind": kind,
            "user_id": user_id or None,
            "subject_id": subject_id or None,
            "state": State.PENDING.value,
            "params": params,
            "max_attempts": policy.max_attempts,
            "run_after": at + timedelta(seconds=PENDING_S),
            "level": level.value,
            "turn_time": self.turns.turn_time(at, level, unfinished),
            "deadline_time": at + timedelta(seconds=policy.waiting_s),
            "trace_id": trace_id,
            "platform": platform,
            "create_time": at,
            "update_time": at,
        }
        about = {"cadenza.job_id": job_id, "cadenza.job_kind": kind}
        with tracing.span(f"create job {kind}", kind="producer", span_id=tracing.span_of_job(job_id), attributes=about):
            return await self.rows.insert(tx, values, Note("created"))

    async def enqueue(self, tx: Tx, job_id: str, *, delay_s: float = 0.0) -> Job:
        """Return the job, now queued to start after the delay; call `push` after the commit."""
        job = await self.rows.lock(tx, job_id)
        at = self.clock()
        due = at + timedelta(seconds=delay_s)
        return await self.rows.move(
            tx,
            job,
            Event.ENQUEUE,
            at,
            note=Note("queued"),
            run_after=due,
            deadline_time=job.deadline_time + timedelta(seconds=delay_s),
        )

    async def push(self, job: Job) -> None:
        """Tell workers, watchers and the one that is to stop of a committed change of the job; never raises."""
        if job.state is State.QUEUED and job.run_after <= self.clock():
            # First of all, because the job waits for it, and readers of the log do not.
            try:
                with crash.around(Act.JOB_PUBLISH):
                    await self.signals.push(job, self.policies[job.kind].queue)
            except (RedisError, OSError) as error:
                _log.warning("job %s waits for the sweeper, redis failed: %r", job.job_id, error)
        await self.signals.wake(job.job_id)
        if job.cancel_requested and job.state is State.RUNNING:
            await self.signals.wake(stop_topic(job.job_id))

    async def cancel(self, tx: Tx, job_id: str, *, message: str = "cancelled by its owner") -> Job:
        """Return the job: cancelled if it was waiting, asked to stop if it is running.

        Call `push` after the commit so that watchers hear of it. Raises JobNotCancellable when it
        is finished, JobNotFound.
        """
        job = await self.rows.lock(tx, job_id)
        if job.state.finished:
            text = "the job is finished"
            raise JobNotCancellable(text, job_id=job_id, state=job.state.value)
        at = self.clock()
        if job.state is not State.RUNNING:
            return await self.end(tx, job, Event.CANCEL, note=Note(message), cancel_requested=True)
        if job.cancel_requested:
            return job
        note = Note("cancel requested")
        return await self.rows.change(tx, job_id, at, note=note, cancel_requested=True)

    async def fail(
        self,
        tx: Tx,
        job_id: str,
        reason: str,
        message: str = "",
        **metadata: str | int,
    ) -> Job:
        """Return the job, now failed with a public reason; raises IllegalTransition when finished."""
        job = await self.rows.lock(tx, job_id)
        return await self.end(tx, job, Event.FAIL, note=Note(message), **failure(reason, message, metadata))

    async def end(
        self,
        tx: Tx,
        job: Job,
        event: Event,
        *,
        note: Note,
        on_end: EndHook | None = None,
        token: int | None = None,
        **values: Any,
    ) -> Job:
        """Return the job after its last event, with everything that `on_end` adds.

        The row must be locked in this transaction or fenced by a token.
        """
        ended = await self.rows.move(tx, job, event, self.clock(), note=note, token=token, **values)
        await (on_end or self.on_end)(tx, ended)
        return ended

    async def requeue(self, tx: Tx, job: Job, note: Note, *, pause_s: float = 0.0, **values: Any) -> Job:
        """Return a running job to the queue, due after the pause, its turn as before; the row must be locked."""
        at = self.clock()
        due = at + timedelta(seconds=pause_s)
        return await self.rows.move(tx, job, Event.REQUEUE, at, note=note, run_after=due, **values)

    async def get(self, tx: Tx, job_id: str) -> Job:
        """Return the job; raises JobNotFound."""
        return await self.rows.read(tx, job_id)

    async def list(
        self,
        tx: Tx,
        user_id: str,
        *,
        states: Sequence[State] = (),
        kind: str = "",
        subject_id: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> tuple[tuple[Job, ...], str]:
        """Return one page of a user's jobs, newest first, and the token of the next page or ''."""
        size = clamp_page_size(page_size)
        before = decode_id(page_token)
        found = await self.store.page(
            tx, user_id, states=states, kind=kind, subject_id=subject_id, before=before, most=size + 1
        )
        more = encode_token(found[size - 1].job_id) if len(found) > size else ""
        return tuple(found[:size]), more

    async def events(self, tx: Tx, job_id: str, after: int = 0, *, most: int = 200) -> tuple[JobEvent, ...]:
        """Return the events of the log behind `after`, in order, at most `most`.

        Raises EventsGone when the log does not go on right behind that number any more; 0 means whatever there is.
        """
        events = await self.rows.events(tx, job_id, after, most)
        if after and events and events[0].sequence != after + 1:
            first = events[0].sequence
            raise EventsGone("the log begins later now", job_id=job_id, first_sequence=first)
        return events

    async def active_count(self, tx: Tx, user_id: str = "", *, kind: str = "") -> int:
        """Return how many jobs are not finished: of one user, or of all when `user_id` is empty."""
        return await self.store.active_count(tx, user_id, kind)

    async def delete(self, tx: Tx, job_id: str) -> None:
        """Remove a finished job with its log; raises JobActive when it is not, JobNotFound."""
        job = await self.rows.lock(tx, job_id)
        if not job.state.finished:
            message = "the job is not finished; cancel it first"
            raise JobActive(message, job_id=job_id, state=job.state.value)
        await self.store.remove(tx, job_id)

    def close(self) -> None:
        """Close what the signals have open."""
        self.signals.close()


def stop_topic(job_id: str) -> str:
    """Return what the worker of a job listens to: a wake there says that its owner has cancelled it."""
    return f"{job_id}:stop"


def failure(reason: str, message: str, metadata: Mapping[str, str | int]) -> dict[str, Any]:
    """Return the columns that say why a job failed."""
    return {
        "error_reason": reason,
        "error_message": plain_text(message),
        "error_metadata": {name: plain_text(str(value)) for name, value in metadata.items()},
    }
