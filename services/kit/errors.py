"""The errors every part of a service may raise, without any knowledge of transport.

Domain code raises them, `kit.rpc.errors` turns them into gRPC statuses, the gateway turns
those into HTTP. Standard library only, because the domain must stay pure.
"""

from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True)
class FieldViolation:
    """One field of a request that broke one rule."""

    field: str
    rule: str
    description: str


class DomainError(Exception):
    """An outcome the caller may see: a public reason, a message, and plain facts as metadata.

    `reason` is a symbol of `cadenza.error.v1.Reason` without its `REASON_` prefix. The message
    is for developers; what people read comes from the message catalogue, keyed by the reason.
    """

    reason: ClassVar[str] = "UNKNOWN_ERROR"

    def __init__(self, message: str = "", /, **metadata: str | int) -> None:
        """Keep the message and the metadata, every value as text because ErrorInfo holds text."""
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = {name: str(value) for name, value in metadata.items()}
        self.violations: tuple[FieldViolation, ...] = ()

    def __repr__(self) -> str:
        """Return the reason with the message, for logs and for what a row keeps of a failure."""
        return f"{type(self).__name__}({self.reason}: {self.message})"


class ParamInvalid(DomainError):
    """The request itself is wrong, whatever the state of the system."""

    reason = "PARAM_INVALID"

    @classmethod
    def of(cls, field: str, description: str, rule: str = "") -> Self:
        """Return the error for one field; `field` is the path in the request message."""
        return cls.all_of((FieldViolation(field, rule, description),))

    @classmethod
    def all_of(cls, violations: tuple[FieldViolation, ...]) -> Self:
        """Return the error for several fields; the first of them also stands in the metadata."""
        first = violations[0]
        error = cls(f"{first.field}: {first.description}", field=first.field)
        error.violations = violations
        return error


class NotFound(DomainError):
    """The thing does not exist, or the caller may not know that it does."""

    reason = "NOT_FOUND"


class Conflict(DomainError):
    """The state changed under the caller, or the thing exists already."""

    reason = "CONFLICT"


class BusinessRule(DomainError):
    """The request is well formed and a rule of the product forbids it."""

    reason = "BUSINESS_RULE"


class Unavailable(DomainError):
    """Something needed is out of reach; the same call may succeed later."""

    reason = "SERVICE_UNAVAILABLE"


class Expired(DomainError):
    """The time given for the call is used up."""

    reason = "TIMEOUT"


class BodyTooLarge(DomainError):
    """More bytes came than the limit allows."""

    reason = "BODY_TOO_LARGE"


class RateLimited(DomainError):
    """The caller asked too often; metadata `retry_after_s` says when to come back."""

    reason = "RATE_LIMITED"


class IdempotencyKeyReused(DomainError):
    """The same request id came again with other content."""

    reason = "IDEMPOTENCY_KEY_REUSED"


class Unauthenticated(DomainError):
    """There is no token, or it is not one that Cadenza issued."""

    reason = "AUTH_REQUIRED"


class AuthExpired(DomainError):
    """The token was good once: it has run out or was revoked."""

    reason = "AUTH_EXPIRED"


class PermissionDenied(DomainError):
    """The caller is known and may not do this."""

    reason = "PERMISSION_DENIED"


class RemoteError(DomainError):
    """The answer of another service, carrying whichever reason that service gave."""

    def __init__(self, reason: str, message: str = "", /, **metadata: str | int) -> None:
        """Keep the reason on the instance, since it is known only when the answer arrives."""
        super().__init__(message, **metadata)
        self.reason = reason  # type: ignore[misc]  # the one error whose reason is not its class's
