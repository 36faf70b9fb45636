"""A job and its events as values, the way they are read from their rows."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from services.kit.jobs.forecast import Place
from services.kit.jobs.states import State
from services.kit.jobs.turns import Level

_LONGEST_MESSAGE = 500


@dataclass(frozen=True, kw_only=True)
class Job:
    """One background run as its row stands; `user_id` and `subject_id` are empty for system work."""

    job_id: str
    service: str
    kind: str
    user_id: str
    subject_id: str
    state: State
    step: str
    progress_percent: int
    params: dict[str, Any]
    result: dict[str, Any] | None
    error_reason: str
    error_message: str
    error_metadata: dict[str, str]
    attempt: int
    max_attempts: int
    # Attempts that ended with the death of their worker.
    kills: int
    # Set while the job is among the dead letters.
    dead_time: datetime | None
    quarantined: bool
    # How often an administrator has put the job back.
    revivals: int
    revival_request_id: str
    # When the job may start; for a pending one, when somebody should look why it is pending.
    run_after: datetime
    level: Level
    # What waiting jobs are ordered by.
    turn_time: datetime
    deadline_time: datetime
    lease_owner: str
    lease_token: int
    lease_expire_time: datetime | None
    cancel_requested: bool
    last_sequence: int
    trace_id: str
    platform: str
    create_time: datetime
    start_time: datetime | None
    finish_time: datetime | None
    update_time: datetime
    # Not in the row: where a waiting job stands, as far as its reader asked.
    place: Place | None = None

    @property
    def failures(self) -> int:
        """How many attempts have failed, the running one included; the death of a worker is no failure of the job."""
        return self.attempt - self.kills


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try under one lease; `outcome` is empty while it runs, and there is an error if it was bad."""

    job_id: str
    lease_token: int
    attempt: int
    worker: str
    start_time: datetime
    end_time: datetime | None
    outcome: str
    error_reason: str
    error_message: str


@dataclass(frozen=True, kw_only=True)
class PlacedOrder:
    """Something ordered from a vendor for a job; `order_id` is empty until the vendor's answer is known."""

    job_id: str
    name: str
    request_id: str
    order_id: str


@dataclass(frozen=True, kw_only=True)
class JobEvent:
    """One line of a job's log; `sequence` counts from 1 without gaps."""

    job_id: str
    sequence: int
    event_time: datetime
    state: State
    step: str
    step_progress_percent: int
    progress_percent: int
    message: str
    final: bool
    # Not in the log: where the job stands while it still waits.
    place: Place | None = None


@dataclass(frozen=True)
class Note:
    """What a change says in the log."""

    message: str = ""
    step_progress_percent: int = 0


def plain_text(text: str, most: int = _LONGEST_MESSAGE) -> str:
    """Return text that PostgreSQL takes: without NUL and lone surrogates, cut to `most` characters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")[:most]


_JOB_FIELDS = tuple(each.name for each in fields(Job) if each.name not in {"service", "place"})
_ATTEMPT_FIELDS = tuple(each.name for each in fields(Attempt))
_ORDER_FIELDS = tuple(each.name for each in fields(PlacedOrder))
_EVENT_FIELDS = tuple(each.name for each in fields(JobEvent) if each.name != "place")


def job_of(service: str, row: Mapping[Any, Any]) -> Job:
    """Return the job of a whole row of the jobs table."""
    values = {name: row[name] for name in _JOB_FIELDS}
    values["state"] = State(values["state"])
    values["level"] = Level(values["level"])
    values["user_id"] = values["user_id"] or ""
    values["subject_id"] = values["subject_id"] or ""
    return Job(service=service, **values)


def event_of(row: Mapping[Any, Any]) -> JobEvent:
    """Return the event of a whole row of the events table."""
    values = {name: row[name] for name in _EVENT_FIELDS}
    values["state"] = State(values["state"])
    return JobEvent(**values)


def attempt_of(row: Mapping[Any, Any]) -> Attempt:
    """Return the attempt of a whole row of its table."""
    return Attempt(**{name: row[name] for name in _ATTEMPT_FIELDS})


def order_of(row: Mapping[Any, Any]) -> PlacedOrder:
    """Return the order of a whole row of its table."""
    return PlacedOrder(**{name: row[name] for name in _ORDER_FIELDS})
