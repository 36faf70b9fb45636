"""From a job's change to its webhooks: written with the change, signed, sent, and sent again until it is taken.

Deliveries are rows of their own queue. A sender holds one under a lease; one that dies leaves it due again, so that a
receiver hears of everything at least once. At no time is more than a few of one webhook's deliveries under way,
however many senders there are: a slow receiver holds up only itself.
"""

import json
import logging
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from cadenza.error.v1.reason_pb2 import Reason
from services.composer.domain import webhook as rules
from services.composer.domain.webhook import Claim, Delivery, DeliveryState, EventKind
from services.composer.providers import Receivers
from services.composer.storage import webhook as webhook_storage
from services.composer.storage import webhook_delivery as storage
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.job import Job
from services.kit.jobs.queue import EndHook
from services.kit.jobs.states import State
from services.kit.sealing import CannotOpen, Sealer

_log = logging.getLogger(__name__)

MOST_WAITING: Final = 10_000
"""How many deliveries of one webhook may wait; what comes beyond is written as given up."""

AT_ONCE: Final = 2
"""How many deliveries of one webhook are under way at any time."""

# Longer than a receiver has to answer, by more than writing the outcome takes.
_LEASE: Final = timedelta(seconds=30)

_KINDS: Final = {
    State.RUNNING: EventKind.STARTED,
    State.COMPLETED: EventKind.COMPLETED,
    State.FAILED: EventKind.FAILED,
    State.CANCELLED: EventKind.CANCELLED,
}


def announcing(clock: Clock) -> EndHook:
    """Return what writes a job's new state for its owner's webhooks, in the transaction of the change."""

    async def announce(tx: AsyncConnection, job: Job) -> None:
        kind = _KINDS.get(job.state)
        if kind is None or not job.user_id:
            return
        hooks = await webhook_storage.listening(tx, job.user_id, kind)
        if not hooks:
            return
        at, event_id = clock(), new_id()
        body = event_body(event_id, kind, at, {"job": job_values(job)})
        for webhook_id in hooks:
            delivery = new_delivery(webhook_id, event_id, kind, body, at=at, job_id=job.job_id)
            written = await storage.put(tx, delivery, most_waiting=MOST_WAITING)
            if written.state is not DeliveryState.PENDING:
                _log.warning("webhook %s is full", webhook_id)

    return announce


def new_delivery(
    webhook_id: str,
    event_id: str,
    kind: EventKind,
    body: str,
    *,
    at: datetime,
    job_id: str = "",
    replay_of: str = "",
    request_id: str = "",
) -> Delivery:
    """Return a delivery that is due at once."""
    return Delivery(
        delivery_id=new_id(),
        webhook_id=webhook_id,
        event_id=event_id,
        event_kind=kind,
        job_id=job_id,
        body=body,
        state=DeliveryState.PENDING,
        attempts=0,
        status_code=0,
        error="",
        latency_ms=0,
        run_after=at,
        replay_of=replay_of,
        request_id=request_id,
        create_time=at,
        finish_time=None,
    )


def event_body(event_id: str, kind: EventKind, at: datetime, data: Mapping[str, Any]) -> str:
    """Return the JSON text that is sent, in the spelling of the JSON API."""
    whole = {"event_id": event_id, "kind": kind.value, "create_time": _time(at), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def job_values(job: Job) -> dict[str, Any]:
    """Return the job as the JSON API shows it, without what only an asker can use (estimates)."""
    error = None
    if job.state is State.FAILED:
        name = f"REASON_{job.error_reason}"
        known = job.error_reason if name in Reason.keys() else "UNKNOWN_ERROR"  # noqa: SIM118  # an enum, not a mapping
        error = {
            "code": int(Reason.Value(f"REASON_{known}")),
            "reason": known,
            "message": job.error_message,
            "metadata": job.error_metadata,
        }
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "state": job.state.value,
        "step": job.step,
        "progress_percent": job.progress_percent,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "subject_id": job.subject_id,
        "error": error,
        "sequence": job.last_sequence,
        "create_time": _time(job.create_time),
        "start_time": _time(job.start_time),
        "finish_time": _time(job.finish_time),
    }


def _time(moment: datetime | None) -> str | None:
    """Return the moment as the JSON API spells it: RFC 3339 with Z and 0, 3 or 6 digits."""
    if moment is None:
        return None
    micros = moment.microsecond
    digits = "seconds" if not micros else "microseconds" if micros % 1000 else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=digits).replace("+00:00", "Z")


class Deliveries:
    """Sends what is due."""

    def __init__(
        self, *, db: Database, receivers: Receivers, sealer: Sealer | None, clock: Clock, kept: timedelta
    ) -> None:
        """Keep the collaborators; without a sealer nothing is sent. The log goes back as long as *kept*."""
        self._db = db
        self._receivers = receivers
        self._sealer = sealer
        self._clock = clock
        self._kept = kept

    async def claim(self, most: int) -> Sequence[Claim]:
        """Return up to *most* deliveries that are due, held for this sender until their lease ends."""
        if self._sealer is None:
            return ()
        at = self._clock()
        async with self._db.transaction() as tx:
            if not await storage.is_due(tx, at):
                return ()
            return await storage.claim(tx, at, until=at + _LEASE, at_once=AT_ONCE, most=most)

    async def send(self, claim: Claim) -> bool:
        """Return whether the receiver took it; the outcome is written unless somebody else holds the delivery now."""
        try:
            keys = self._keys(claim)
        except CannotOpen:
            _log.exception("the secret of webhook %s does not open", claim.webhook_id)
            outcome = rules.Outcome.unanswered("the secret of the webhook cannot be opened; rotate it", 0)
        else:
            body = claim.body.encode()
            stamp = int(self._clock().timestamp())
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "Cadenza-Webhooks/1",
                "Cadenza-Event": claim.event_id,
                "Cadenza-Delivery": claim.delivery_id,
                "Cadenza-Signature": rules.signature(keys, stamp, body),
            }
            outcome = await self._receivers.post(claim.url, body, headers)
        async with self._db.transaction() as tx:
            at = self._clock()
            there, since = await storage.failing_since(tx, claim.webhook_id)
            if not there:
                return False
            verdict = rules.judge(outcome, attempts=claim.attempts, failing_since=since, at=at, chance=random.random())
            written = await storage.record(tx, claim, outcome, verdict, at=at)
        if written and verdict.pause_reason:
            _log.warning("webhook %s is paused: %s", claim.webhook_id, verdict.pause_reason)
        return written and outcome.taken

    async def purge(self) -> int:
        """Return how many old deliveries were removed from the log, a batch at a time."""
        removed = 0
        while True:
            async with self._db.transaction() as tx:
                batch = await storage.purge(tx, self._clock() - self._kept)
            removed += batch
            if not batch:
                return removed

    def _keys(self, claim: Claim) -> list[str]:
        """Return the secrets that sign now, the newest first; raises CannotOpen."""
        assert self._sealer is not None
        sealed = [claim.secret_sealed]
        if claim.old_secret_expire_time is not None and self._clock() < claim.old_secret_expire_time:
            sealed.append(claim.old_secret_sealed)
        return [self._sealer.open(each, secret_place(claim.webhook_id)).decode() for each in sealed]


def secret_place(webhook_id: str) -> str:
    """Return the place that a webhook's secrets are bound to."""
    return f"composer.webhooks:{webhook_id}"
