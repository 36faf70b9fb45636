"""What the machinery of jobs asks of its store, operation by operation; it contains no statement itself.

`postgres` keeps these promises with rows and locks. Another store that keeps them, in memory for instance, runs the
same queue, runner, sweeper, outbox and watchers.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from services.kit.crash import AnyAct
from services.kit.jobs.forecast import Ran
from services.kit.jobs.job import Attempt, Job, JobEvent, Note, PlacedOrder
from services.kit.jobs.states import State

Tx: TypeAlias = Any
"""An open transaction of the store: whatever its operations take, for PostgreSQL a connection."""


class Transactions(Protocol):
    """Where transactions come from."""

    def transaction(self, act: AnyAct | None = None, /) -> AbstractAsyncContextManager[Tx]:
        """Return a transaction that commits at the end, as the act named; an exception leaves nothing behind."""
        ...


@dataclass(frozen=True)
class Message:
    """One message that a dispatcher holds until its lease ends; `attempt` is the fence."""

    outbox_id: str
    topic: str
    payload: dict[str, Any]
    attempt: int


@dataclass(frozen=True)
class Due:
    """What tells a waiting job from others and places it in the order; the token tells its pointers apart."""

    kind: str
    turn_time: datetime
    job_id: str
    lease_token: int


class OutboxStore(Protocol):
    """Messages that must arrive because a transaction was committed."""

    async def put(self, tx: Tx, topic: str, payload: dict[str, Any], *, key: str | None = None) -> None:
        """Write a message that is due once the transaction commits; a second one with topic and key is dropped."""
        ...

    async def claim(
        self, tx: Tx, topics: Collection[str], *, at: datetime, until: datetime, most: int
    ) -> list[Message]:
        """Return messages due at `at`, the oldest first, out of the sight of other dispatchers until `until`."""
        ...

    async def deliver(self, tx: Tx, message: Message, at: datetime) -> bool:
        """Mark the message as done; return whether it was this claim that did it."""
        ...

    async def postpone(self, tx: Tx, message: Message, *, until: datetime, error: str) -> None:
        """Make a failed message due at `until`, unless another dispatcher has it now."""
        ...

    async def purge(self, tx: Tx, before: datetime) -> int:
        """Return how many messages done before that time were removed."""
        ...


class TurnStore(Protocol):
    """The order of the waiting jobs, and what it takes to say when one will start."""

    async def next_due(self, tx: Tx, kinds: Collection[str], at: datetime) -> Job | None:
        """Return the job whose turn it is among the queued ones due at `at`, locked; jobs locked by others are passed.

        The order is that of `turn_time`, then of the id.
        """
        ...

    async def running_counts(self, tx: Tx, kinds: Collection[str]) -> dict[str, int]:
        """Return how many jobs of each kind run; who asks for one of the kinds too waits until `tx` ends."""
        ...

    async def due(self, tx: Tx, kinds: Collection[str], at: datetime, *, after: Due | None, most: int) -> list[Due]:
        """Return queued jobs due at `at` in the order of their turns, from behind `after`."""
        ...

    async def due_count(self, tx: Tx, kinds: Collection[str], at: datetime, before: Due | None) -> dict[str, int]:
        """Return how many queued jobs of each kind are due at `at`, all of them or those whose turn is before."""
        ...

    async def newest_runs(self, tx: Tx, kinds: Collection[str], most: int) -> list[Ran]:
        """Return the jobs that were completed last by their first attempt, at most `most` of each kind."""
        ...

    async def running_since(self, tx: Tx, kinds: Collection[str], most: int) -> list[tuple[str, datetime]]:
        """Return kind and time of the first start of the running jobs, at most `most`."""
        ...


class JobStore(Protocol):
    """The jobs of one service with their logs and finished steps."""

    @property
    def service(self) -> str:
        """Name of the service that owns the jobs."""
        ...

    @property
    def outbox(self) -> OutboxStore:
        """The messages that commit together with the jobs."""
        ...

    @property
    def turns(self) -> TurnStore:
        """The same jobs as far as they wait."""
        ...

    async def add(self, tx: Tx, values: Mapping[str, Any], note: Note) -> Job:
        """Return the new job, whose log holds its first event."""
        ...

    async def find(self, tx: Tx, job_id: str, *, lock: bool = False) -> Job | None:
        """Return the job or None; with `lock` nobody else changes it until the transaction ends."""
        ...

    async def change(
        self, tx: Tx, job_id: str, at: datetime, *, note: Note | None, token: int | None, values: Mapping[str, Any]
    ) -> Job | None:
        """Return the job with the new values, and with one more event in its log if there is a note.

        With a token the job must be running under that lease; otherwise nothing is changed and None comes back.
        """
        ...

    async def remove(self, tx: Tx, job_id: str) -> None:
        """Remove the job with its log and steps."""
        ...

    async def page(
        self,
        tx: Tx,
        user_id: str,
        *,
        states: Collection[State],
        kind: str,
        subject_id: str,
        before: str,
        most: int,
    ) -> list[Job]:
        """Return a user's jobs with ids below `before`, the newest first; what is empty does not narrow."""
        ...

    async def active_count(self, tx: Tx, user_id: str, kind: str) -> int:
        """Return how many jobs are not finished; what is empty does not narrow."""
        ...

    async def events(self, tx: Tx, job_id: str, after: int, most: int) -> tuple[JobEvent, ...]:
        """Return the next events of the log in order, at most `most` of them."""
        ...

    async def purge_events(self, tx: Tx, before: datetime, most: int) -> int:
        """Return of how many jobs that ended before the time all lines of the log but the last were removed."""
        ...

    async def stray_ids(self, tx: Tx, at: datetime, most: int) -> list[str]:
        """Return ids of unfinished jobs whose lease or deadline has run out at `at`."""
        ...

    async def lock_stray(self, tx: Tx, job_id: str, at: datetime) -> Job | None:
        """Return the job, locked, or None if another one holds it or it has not strayed at `at` any more."""
        ...

    async def claim_pending(self, tx: Tx, *, at: datetime, ask_again: datetime, most: int) -> list[Job]:
        """Return pending jobs that somebody should ask about at `at`; the next ask is due at `ask_again`."""
        ...

    async def steps(self, tx: Tx, job_id: str) -> dict[str, dict[str, Any]]:
        """Return the results of the finished steps by name."""
        ...

    async def add_step(
        self, tx: Tx, job: Job, name: str, result: dict[str, Any], *, start_time: datetime, finish_time: datetime
    ) -> None:
        """Keep the result of a finished step; one that is there already stays."""
        ...

    async def open_attempt(self, tx: Tx, job: Job, at: datetime) -> None:
        """Write down that the worker of the job's present lease has begun."""
        ...

    async def close_attempt(
        self, tx: Tx, job_id: str, lease_token: int, *, at: datetime, outcome: str, reason: str = "", message: str = ""
    ) -> None:
        """Write down how the attempt under that lease ended, unless it is written already."""
        ...

    async def attempts(self, tx: Tx, job_id: str) -> list[Attempt]:
        """Return every attempt at the job, the first one first."""
        ...

    async def put_order(self, tx: Tx, job_id: str, name: str, *, request_id: str, at: datetime) -> PlacedOrder:
        """Return the job's order of that name: the one that is there already, or a new one without an order id."""
        ...

    async def accept_order(self, tx: Tx, job_id: str, name: str, *, order_id: str, at: datetime) -> None:
        """Keep the vendor's id of the order."""
        ...

    async def dead_letters(self, tx: Tx, kind: str, before: str, most: int) -> list[Job]:
        """Return dead letters with ids below `before`, the newest first; what is empty does not narrow."""
        ...

    async def reopen_log(self, tx: Tx, job_id: str) -> None:
        """Make the last event of the log an ordinary one, because more will follow."""
        ...
