"""Webhooks: who is told of what, how a request is signed, when it is tried again and when no more."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.kit.errors import ParamInvalid

OLD_SECRET_LIVES: Final = timedelta(hours=24)
"""How long the secret before the present one signs too."""

MOST_ATTEMPTS: Final = 10
"""How often a delivery is tried; with the pauses below, within about sixteen hours."""

FAILING_PAUSES: Final = timedelta(hours=24)
"""A webhook that has taken nothing for so long is paused."""

_FIRST_PAUSE_S: Final = 10.0
_GROWTH: Final = 3.0
_LONGEST_PAUSE_S: Final = 6 * 3600.0
_SPREAD: Final = 0.2
_SECRET_BYTES: Final = 32
_LONGEST_ERROR: Final = 200
_GONE: Final = 410
_TAKEN: Final = range(200, 300)
_REDIRECT: Final = range(300, 400)


class EventKind(StrEnum):
    """What a webhook can be told of."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TEST = "test"


class PauseReason(StrEnum):
    """Why nothing is sent to a webhook; the empty word means that it is not paused."""

    NONE = ""
    OWNER = "owner"
    FAILING = "failing"
    GONE = "gone"


class DeliveryState(StrEnum):
    """How a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where and of what somebody wants to be told; its secrets are sealed."""

    webhook_id: str
    user_id: str
    url: str
    event_kinds: tuple[EventKind, ...]
    description: str
    pause_reason: PauseReason
    failing_since_time: datetime | None
    secret_sealed: str
    old_secret_sealed: str
    old_secret_expire_time: datetime | None
    request_id: str
    request_hash: str
    rotate_request_id: str
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook; `body` is what is sent and signed, the same at every attempt."""

    delivery_id: str
    webhook_id: str
    event_id: str
    event_kind: EventKind
    job_id: str
    body: str
    state: DeliveryState
    attempts: int
    status_code: int
    error: str
    latency_ms: int
    run_after: datetime
    replay_of: str
    request_id: str
    create_time: datetime
    finish_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A delivery that this sender holds until its lease ends, and where it goes; `attempts` is the fence."""

    delivery_id: str
    webhook_id: str
    event_id: str
    body: str
    attempts: int
    url: str
    secret_sealed: str
    old_secret_sealed: str
    old_secret_expire_time: datetime | None


@dataclass(frozen=True)
class Outcome:
    """How one attempt went; without an answer the status is 0 and the error says why."""

    status_code: int
    error: str
    latency_ms: int

    @classmethod
    def answered(cls, status_code: int, latency_ms: int) -> "Outcome":
        """Return the outcome of an attempt that got this status."""
        error = "" if status_code in _TAKEN else f"answered {status_code}"
        if status_code in _REDIRECT:
            error += "; redirects are not followed"
        return cls(status_code, error, latency_ms)

    @classmethod
    def unanswered(cls, error: str, latency_ms: int) -> "Outcome":
        """Return the outcome of an attempt that got no answer."""
        return cls(0, error[:_LONGEST_ERROR], latency_ms)

    @property
    def taken(self) -> bool:
        """Whether the receiver has the event now."""
        return self.status_code in _TAKEN


@dataclass(frozen=True)
class Verdict:
    """What becomes of a delivery and of its webhook after an attempt."""

    state: DeliveryState
    run_after: datetime
    failing_since_time: datetime | None
    pause_reason: PauseReason


def pause_s(attempts: int, chance: float) -> float:
    """Return the seconds until the next try: 10 s, three times as many each time, at most six hours.

    `chance` from 0 to 1 spreads them by a fifth either way, so that what failed together does not return together.
    """
    pause = min(_FIRST_PAUSE_S * _GROWTH ** max(attempts - 1, 0), _LONGEST_PAUSE_S)
    return pause * (1 + _SPREAD * (2 * chance - 1))


def judge(outcome: Outcome, *, attempts: int, failing_since: datetime | None, at: datetime, chance: float) -> Verdict:
    """Return what follows from the outcome of the attempt with this number."""
    if outcome.taken:
        return Verdict(DeliveryState.DELIVERED, at, None, PauseReason.NONE)
    since = failing_since or at
    pause = PauseReason.NONE
    if outcome.status_code == _GONE:
        pause = PauseReason.GONE
    elif at - since >= FAILING_PAUSES:
        pause = PauseReason.FAILING
    if attempts >= MOST_ATTEMPTS or pause is PauseReason.GONE:
        return Verdict(DeliveryState.FAILED, at, since, pause)
    return Verdict(DeliveryState.PENDING, at + timedelta(seconds=pause_s(attempts, chance)), since, pause)


def wanted(kinds: Sequence[EventKind]) -> tuple[EventKind, ...]:
    """Return the kinds to tell of, each once: all but the test when none is named; raises ParamInvalid for the test."""
    if EventKind.TEST in kinds:
        raise ParamInvalid.of("event_kinds", "a test is sent when it is asked for and needs no subscription")
    return tuple(kind for kind in EventKind if kind in kinds or (not kinds and kind is not EventKind.TEST))


def new_secret() -> str:
    """Return a new secret, 256 random bits in text."""
    return f"whsec_{secrets.token_urlsafe(_SECRET_BYTES)}"


def signature(keys: Sequence[str], timestamp_s: int, body: bytes) -> str:
    """Return the value of `Cadenza-Signature`: the time, and the HMAC-SHA256 of `<time>.<body>` under each secret."""
    signed = b"%d.%s" % (timestamp_s, body)
    made = (hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys)
    return ",".join([f"t={timestamp_s}", *(f"v1={each}" for each in made)])
