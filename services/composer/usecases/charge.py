"""The money side of a job: hold before it is queued, settle or release after it has ended.

A crash at any point leaves a row that the sweeper or the outbox takes up again (decision 19): a pending job gets its
hold, an ended one its settlement. Wallet answers repeats alike, so doing it twice is doing it once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cadenza.wallet.v1 import credit_service_pb2 as wallet_pb2
from services.composer.domain.hold import hold_id
from services.composer.storage import subject
from services.kit import crash, tracing
from services.kit.crash import Act
from services.kit.errors import DomainError, RemoteError, Unavailable
from services.kit.jobs.dead import DeadLetters
from services.kit.jobs.errors import JobNotFound
from services.kit.jobs.job import Note
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.queue import EndHook, JobQueue, nothing_more
from services.kit.jobs.states import Event, State
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy.ext.asyncio import AsyncConnection

    from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceAsyncStub
    from services.kit.clock import Clock
    from services.kit.db.engine import Database
    from services.kit.jobs.job import Job
    from services.kit.jobs.outbox import OutboxHandler
    from services.kit.jobs.store import JobStore


SETTLE = "settle"
RELEASE = "release"

_log = logging.getLogger(__name__)

# Refusals after which a job is given up; after anything else the hold may still come to be.
FINAL_REFUSALS = frozenset(
    {
        "INSUFFICIENT_CREDITS",
        "CREDITS_HELD",
        "QUOTA_EXCEEDED",
        "WALLET_FROZEN",
        "PRICE_CHANGED",
        "NOT_FOUND",
        "PARAM_INVALID",
        "PERMISSION_DENIED",
        "IDEMPOTENCY_KEY_REUSED",
    }
)

_SETTLEMENT_GRACE = timedelta(days=3)
"""How long the credits stay held behind the longest life of a job, for Wallet to be away and its message to arrive."""

# Of these Wallet repeats only some for ever: credits, quotas and prices change, so an earlier call of the same job that
# is still on its way may be granted what this one was refused. The release that is left then gives it back.
_FOR_EVER = frozenset({"PARAM_INVALID", "PERMISSION_DENIED", "IDEMPOTENCY_KEY_REUSED"})

_UNKNOWN_HOLD_GRACE = timedelta(seconds=60)
"""How long a release is repeated when Wallet does not know the hold: a call on its way may still make it."""


@dataclass(frozen=True)
class Queued:
    """A job that is paid for and queued."""

    job: Job
    cost_credits: int
    # What its owner had left to spend when the price had been set aside.
    remaining_credits: int


def settlement(store: JobStore, clock: Clock) -> EndHook:
    """Return what a job writes in the transaction that ends it: Wallet's message and the new state of its subject.

    A job that its owner cancels tells which steps were finished, for Wallet's price may say what is owed for them; one
    that failed owes nothing.
    """

    async def on_end(tx: AsyncConnection, job: Job) -> None:
        if _is_free(job):
            await subject.settle_state(tx, job, clock())
            return
        topic = SETTLE if job.state is State.COMPLETED else RELEASE
        message: dict[str, Any] = _message(job, clock())
        if job.state is State.CANCELLED:
            message["finished_steps"] = sorted(await store.steps(tx, job.job_id))
        await store.outbox.put(tx, topic, message, key=hold_id(job.job_id, job.revivals))
        await subject.settle_state(tx, job, clock())

    return on_end


def _is_free(job: Job) -> bool:
    """Say whether nobody pays for the job, so that Wallet never hears of it."""
    return not job.user_id


def _message(job: Job, now: datetime) -> dict[str, str]:
    held = hold_id(job.job_id, job.revivals)
    return {
        "hold_id": held,
        "since": now.isoformat(),
        "why": job.error_reason or job.state.value,
        "trace_id": job.trace_id,
        "job_id": job.job_id,
        "platform": job.platform,
    }


def _joined(payload: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Return a block in the trace of the job that a message is about; older messages do not say."""
    job_id, platform = payload.get("job_id", ""), payload.get("platform", "")
    return tracing.joined(payload.get("trace_id", ""), job_id=job_id, platform=platform)


class Charge:
    """Joins jobs and credits."""

    def __init__(
        self,
        *,
        db: Database,
        queue: JobQueue,
        wallet: CreditServiceAsyncStub,
        clock: Clock,
        more: Mapping[str, OutboxHandler] | None = None,
    ) -> None:
        """Keep the collaborators; `more` handles what else the end of a job promises: one dispatcher sends all."""
        self._db = db
        self._queue = queue
        self._wallet = wallet
        self._clock = clock
        handlers = {SETTLE: self._settle, RELEASE: self._release, **(more or {})}
        self.dispatcher = Dispatcher(db, queue.store.outbox, handlers, clock)

    def kick(self) -> None:
        """Let the outbox be looked at now instead of at its next round."""
        self.dispatcher.kick()

    async def hold_and_queue(self, job: Job) -> Queued:
        """Return the new job queued with its price held; what keeps it from that removes job and subject and raises.

        When Wallet does not answer, a release is left in the outbox in case the hold was made all the same.
        """
        try:
            held = await self._hold(job)
        except RemoteError as error:
            await self._undo(job, error)
            raise
        return await self._enqueue(job, held)

    async def go_on(self, job: Job) -> Queued:
        """Return a job that somebody else made queued with its price held; a refused hold removes it and raises.

        One that was put back is not removed but a dead letter again.
        When Wallet does not answer, the job stays pending: its maker or the sweeper may have more luck.
        """
        try:
            held = await self._hold(job)
        except RemoteError as error:
            if error.reason in FINAL_REFUSALS:
                await self._undo(job, error)
            raise
        return await self._enqueue(job, held)

    async def resume(self, job: Job) -> None:
        """Take up a job that has stayed pending because its process died between writing and queueing it."""
        try:
            await self.go_on(job)
        except DomainError as error:
            _log.warning("a pending job could not be charged", extra={"job_id": job.job_id, "reason": error.reason})

    async def _hold(self, job: Job) -> wallet_pb2.HoldResponse:
        """Return what Wallet holds for this round of the job and what that left; the same again for a repeat."""
        if _is_free(job):
            return wallet_pb2.HoldResponse()
        held = hold_id(job.job_id, job.revivals)
        request = wallet_pb2.HoldRequest(request_id=held, user_id=job.user_id, price_kind=job.kind)
        request.price_version = int(job.params.get("price_version", 0))
        request.expire_time.FromDatetime(self._held_until(job))
        with calling(), crash.around(Act.HOLD_CALL):
            return await self._wallet.Hold(request, timeout=5)

    def _held_until(self, job: Job) -> datetime:
        """Return when the hold of a new job may expire: no living job can be that old, nor its last message unsent."""
        policy = self._queue.policies[job.kind]
        life = timedelta(seconds=policy.waiting_s + policy.deadline_s)
        # A job that was taken up late lives from now, not from its making.
        return max(job.create_time, self._clock()) + life + _SETTLEMENT_GRACE

    async def _enqueue(self, job: Job, held: wallet_pb2.HoldResponse) -> Queued:
        """Return the paid job queued, or as it stands when somebody was faster; raises Unavailable when it is gone.

        What was held for a job that has ended meanwhile goes back, as does what was held for an earlier round of it.
        """
        cost, left = held.hold.amount_credits, held.balance.available_credits
        try:
            async with self._db.transaction(Act.JOB_QUEUE) as tx:
                # The job's row before its subject's, as everywhere, or two transactions could wait for each other.
                found = await self._queue.rows.lock(tx, job.job_id)
                if found.revivals != job.revivals or found.state in {State.FAILED, State.CANCELLED}:
                    await self._give_back(tx, job)
                    return Queued(found, cost, left)
                if found.state is State.PENDING:
                    found = await self._queue.enqueue(tx, job.job_id)
                await subject.price(tx, job, cost, left, now=self._clock())
        except JobNotFound as error:
            async with self._db.transaction() as tx:
                await self._give_back(tx, job)
            self.kick()
            raise Unavailable("the job was given up while its price was held", dependency="wallet") from error
        await self._queue.push(found)
        async with self._db.transaction() as tx:
            found = await self._queue.line.placed(tx, found)
        return Queued(found, cost, left)

    async def _give_back(self, tx: AsyncConnection, job: Job) -> None:
        """Leave the release of what was held for this round of the job, unless it is there already."""
        if _is_free(job):
            return
        key = hold_id(job.job_id, job.revivals)
        await self._queue.store.outbox.put(tx, RELEASE, _message(job, self._clock()), key=key)

    async def _undo(self, job: Job, error: RemoteError) -> None:
        """Remove job and subject; when it is unsure whether the hold will be made its release stays in the outbox.

        A job that was put back becomes a dead letter again, for this error. One that is not pending any more has met a
        luckier repeat or its owner's cancellation, and is left alone.
        """
        async with self._db.transaction(Act.JOB_GIVE_UP) as tx:
            try:
                row = await self._queue.rows.lock(tx, job.job_id)
            except JobNotFound:
                return
            if row.state is not State.PENDING or row.revivals != job.revivals:
                return
            if row.revivals:
                letters = DeadLetters(self._queue)
                dead = await letters.refuse(tx, row, error)
                # Whoever asks Wallet for the same round at the same time may have been luckier.
                await settlement(self._queue.store, self._clock)(tx, dead)
                self.kick()
                return
            # Nobody was told of the job, so no webhook is told of its end.
            hook = nothing_more if error.reason in _FOR_EVER else settlement(self._queue.store, self._clock)
            await self._queue.end(tx, row, Event.CANCEL, note=Note("the price could not be held"), on_end=hook)
            await self._queue.delete(tx, job.job_id)
            await subject.remove(tx, job)
        self.kick()

    async def _settle(self, payload: Mapping[str, Any]) -> None:
        try:
            with calling(), crash.around(Act.SETTLE_CALL), _joined(payload):
                await self._wallet.Settle(
                    wallet_pb2.SettleRequest(request_id=f"settle:{payload['hold_id']}", hold_id=payload["hold_id"]),
                    timeout=5,
                )
        except RemoteError as error:
            _require_closed(error, payload)

    async def _release(self, payload: Mapping[str, Any]) -> None:
        try:
            with calling(), crash.around(Act.RELEASE_CALL), _joined(payload):
                await self._wallet.Release(
                    wallet_pb2.ReleaseRequest(
                        request_id=f"release:{payload['hold_id']}",
                        hold_id=payload["hold_id"],
                        description=str(payload["why"])[:200],
                        finished_steps=payload.get("finished_steps", ()),
                    ),
                    timeout=5,
                )
        except RemoteError as error:
            since = datetime.fromisoformat(payload["since"])
            if error.reason == "NOT_FOUND" and self._clock() - since > _UNKNOWN_HOLD_GRACE:
                return
            _require_closed(error, payload)


def _require_closed(error: RemoteError, payload: Mapping[str, Any]) -> None:
    """Return when Wallet says that the hold is closed otherwise, for ever; raise the error when it says anything else.

    The credits went back when the hold expired or was released by hand, and no repeat brings them again: the message
    is done, the loss is the house's, and reconciliation names it.
    """
    if error.reason != "HOLD_CLOSED":
        raise error
    facts = {"hold_id": payload["hold_id"], "hold_state": error.metadata.get("state", "")}
    _log.error("the end of a job found its hold closed", extra=facts)
