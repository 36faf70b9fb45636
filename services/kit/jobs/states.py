"""Where a job can stand and what can happen to it, as one table and nothing else.

Every writer of a job asks `transition`, so no statement invents a state of its own.
Standard library and `kit.errors` only, because domains import it.
"""

from enum import StrEnum

from services.kit.errors import Conflict


class State(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether the job has ended; only an administrator can set a failed one going again."""
        return self in _FINISHED


class Event(StrEnum):
    """What happens to a job."""

    ENQUEUE = "enqueue"
    START = "start"
    REQUEUE = "requeue"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    REVIVE = "revive"


class IllegalTransition(Conflict):
    """The event cannot happen in the state the job is in."""


_FINISHED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

_TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.PENDING, Event.ENQUEUE): State.QUEUED,
    (State.PENDING, Event.FAIL): State.FAILED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.QUEUED, Event.START): State.RUNNING,
    (State.QUEUED, Event.FAIL): State.FAILED,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    # Given back, tried again later, or found with an expired lease.
    (State.RUNNING, Event.REQUEUE): State.QUEUED,
    (State.RUNNING, Event.COMPLETE): State.COMPLETED,
    (State.RUNNING, Event.FAIL): State.FAILED,
    (State.RUNNING, Event.CANCEL): State.CANCELLED,
    # An administrator puts a dead letter back; its price has to be held anew before it is queued.
    (State.FAILED, Event.REVIVE): State.PENDING,
}


def transition(state: State, event: Event) -> State:
    """Return the state after the event; raises IllegalTransition when it cannot happen there."""
    after = _TRANSITIONS.get((state, event))
    if after is None:
        message = f"a job that is {state} cannot {event}"
        raise IllegalTransition(message, state=state.value, event=event.value)
    return after
