"""What can go wrong with a job, for its readers and for its handler."""

from services.kit.errors import Conflict, DomainError, NotFound


class JobNotFound(NotFound):
    """No job has this id."""


class JobNotCancellable(Conflict):
    """The job is finished."""

    reason = "JOB_NOT_CANCELLABLE"


class EventsGone(DomainError):
    """The log has been shortened since: it has no line right after that number any more; 0 begins again."""

    reason = "EVENTS_GONE"


class JobActive(Conflict):
    """The job is not finished, so its row is still needed."""


class JobNotDead(Conflict):
    """The job is not among the dead letters."""

    reason = "JOB_NOT_DEAD"


class LeaseLost(DomainError):
    """The job belongs to another worker now, or to nobody: this worker may write no more."""

    reason = "JOB_LEASE_LOST"


class JobCancelled(Exception):
    """Raised inside a handler at its next step or progress once its owner has cancelled the job."""


class JobFailed(Exception):
    """Raised by a handler that knows that another attempt would fail the same way."""

    def __init__(self, reason: str, message: str = "", /, **metadata: str | int) -> None:
        """Keep the public reason, a sentence for developers and plain facts as text."""
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.metadata = {name: str(value) for name, value in metadata.items()}
