"""Domain errors to gRPC statuses and back.

One of the two tables in the whole system lives here: reason to gRPC code. The other, reason to
HTTP status, lives in the gateway.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from services.kit.errors import DomainError, FieldViolation, RemoteError, Unavailable
from services.kit.rpc.call import Around, Call

_log = logging.getLogger(__name__)

DOMAIN: Final = "cadenza"
DETAILS_KEY: Final = "grpc-status-details-bin"
TRACE_KEY: Final = "x-trace-id"

Code = grpc.StatusCode

CODES: Final[Mapping[str, grpc.StatusCode]] = {
    "UNKNOWN_ERROR": Code.INTERNAL,
    "PARAM_INVALID": Code.INVALID_ARGUMENT,
    "NOT_FOUND": Code.NOT_FOUND,
    "SERVICE_UNAVAILABLE": Code.UNAVAILABLE,
    "METHOD_NOT_ALLOWED": Code.UNIMPLEMENTED,
    "CONFLICT": Code.ABORTED,
    "IDEMPOTENCY_KEY_REUSED": Code.ALREADY_EXISTS,
    "BUSINESS_RULE": Code.FAILED_PRECONDITION,
    "TIMEOUT": Code.DEADLINE_EXCEEDED,
    "BODY_TOO_LARGE": Code.RESOURCE_EXHAUSTED,
    "MEDIA_TYPE_UNSUPPORTED": Code.INVALID_ARGUMENT,
    "NOT_ACCEPTABLE": Code.INVALID_ARGUMENT,
    "CANCELLED": Code.CANCELLED,
    "RATE_LIMITED": Code.RESOURCE_EXHAUSTED,
    "AUTH_REQUIRED": Code.UNAUTHENTICATED,
    "AUTH_EXPIRED": Code.UNAUTHENTICATED,
    "AUTH_PROVIDER_ERROR": Code.UNAUTHENTICATED,
    "PERMISSION_DENIED": Code.PERMISSION_DENIED,
    "ACCOUNT_DISABLED": Code.PERMISSION_DENIED,
    "ACCOUNT_LOCKED": Code.PERMISSION_DENIED,
    "CODE_INVALID": Code.INVALID_ARGUMENT,
    "CODE_EXPIRED": Code.INVALID_ARGUMENT,
    "CREDENTIALS_INVALID": Code.UNAUTHENTICATED,
    "IDENTITY_IN_USE": Code.ALREADY_EXISTS,
    "PASSWORD_WEAK": Code.INVALID_ARGUMENT,
    "MESSAGE_NOT_SENT": Code.UNAVAILABLE,
    "TARGET_REFUSED": Code.INVALID_ARGUMENT,
    "LAST_IDENTITY": Code.FAILED_PRECONDITION,
    "UPLOAD_TOO_LARGE": Code.INVALID_ARGUMENT,
    "UPLOAD_FORMAT_INVALID": Code.INVALID_ARGUMENT,
    "UPLOAD_DURATION_INVALID": Code.INVALID_ARGUMENT,
    "UPLOAD_INCOMPLETE": Code.INVALID_ARGUMENT,
    "UPLOAD_URL_EXPIRED": Code.FAILED_PRECONDITION,
    "ASSET_NOT_READY": Code.FAILED_PRECONDITION,
    "ASSET_IN_USE": Code.FAILED_PRECONDITION,
    "UPLOAD_OFFSET_WRONG": Code.ABORTED,
    "UPLOAD_LOCKED": Code.ABORTED,
    "UPLOAD_CHECKSUM_WRONG": Code.INVALID_ARGUMENT,
    "TAKE_SILENT": Code.INVALID_ARGUMENT,
    "TAKE_NOISE": Code.INVALID_ARGUMENT,
    "TAKE_SPEECH": Code.INVALID_ARGUMENT,
    "TAKE_NO_MELODY": Code.INVALID_ARGUMENT,
    "TAKE_CLIPPED": Code.INVALID_ARGUMENT,
    "TAKE_TWO_VOICES": Code.INVALID_ARGUMENT,
    "TAKE_FAR": Code.INVALID_ARGUMENT,
    "TAKE_TOO_SHORT": Code.INVALID_ARGUMENT,
    "TAKE_TOO_LONG": Code.INVALID_ARGUMENT,
    "GENERATE_BUSY": Code.RESOURCE_EXHAUSTED,
    "GENERATE_PROVIDER_ERROR": Code.UNAVAILABLE,
    "INSUFFICIENT_CREDITS": Code.FAILED_PRECONDITION,
    "QUOTA_EXCEEDED": Code.RESOURCE_EXHAUSTED,
    "CONTENT_REJECTED": Code.FAILED_PRECONDITION,
    "JOB_NOT_CANCELLABLE": Code.FAILED_PRECONDITION,
    "JOB_DEADLINE_EXCEEDED": Code.FAILED_PRECONDITION,
    "JOB_LEASE_LOST": Code.ABORTED,
    "JOB_WORKER_LOST": Code.UNAVAILABLE,
    "JOB_QUARANTINED": Code.FAILED_PRECONDITION,
    "JOB_ATTEMPTS_EXHAUSTED": Code.UNAVAILABLE,
    "JOB_NOT_DEAD": Code.FAILED_PRECONDITION,
    "HOLD_CLOSED": Code.FAILED_PRECONDITION,
    "LYRICS_UNAVAILABLE": Code.UNAVAILABLE,
    "CONTENT_IN_REVIEW": Code.FAILED_PRECONDITION,
    "LYRICS_REFUSED": Code.FAILED_PRECONDITION,
    "EVENTS_GONE": Code.OUT_OF_RANGE,
    "WEBHOOK_LIMIT_REACHED": Code.FAILED_PRECONDITION,
    "WEBHOOK_URL_REFUSED": Code.INVALID_ARGUMENT,
    "WEBHOOK_PAUSED": Code.FAILED_PRECONDITION,
    "WEBHOOK_DELIVERY_PENDING": Code.FAILED_PRECONDITION,
    "CREDITS_HELD": Code.FAILED_PRECONDITION,
    "WALLET_FROZEN": Code.FAILED_PRECONDITION,
    "PRICE_CHANGED": Code.FAILED_PRECONDITION,
    "SHARE_NOT_FOUND": Code.NOT_FOUND,
    "SHARE_REVOKED": Code.FAILED_PRECONDITION,
    "SHARE_NOT_ALLOWED": Code.FAILED_PRECONDITION,
    "SHARE_EXPIRED": Code.FAILED_PRECONDITION,
    "SHARE_PASSWORD_REQUIRED": Code.PERMISSION_DENIED,
    "SHARE_PASSWORD_WRONG": Code.PERMISSION_DENIED,
}

# What a bare code means when the other side was not one of ours, or was gRPC itself.
_REASONS: Final[Mapping[grpc.StatusCode, str]] = {
    Code.CANCELLED: "CANCELLED",
    Code.INVALID_ARGUMENT: "PARAM_INVALID",
    Code.DEADLINE_EXCEEDED: "TIMEOUT",
    Code.NOT_FOUND: "NOT_FOUND",
    Code.ALREADY_EXISTS: "CONFLICT",
    Code.PERMISSION_DENIED: "PERMISSION_DENIED",
    Code.RESOURCE_EXHAUSTED: "RATE_LIMITED",
    Code.FAILED_PRECONDITION: "BUSINESS_RULE",
    Code.ABORTED: "CONFLICT",
    Code.UNAVAILABLE: "SERVICE_UNAVAILABLE",
    Code.UNAUTHENTICATED: "AUTH_REQUIRED",
}

# When what is out of reach may be back, where the error does not say.
_RETRY_AFTER_S: Final = "2"

# Ends that come of time and of clients going away, and say nothing worth a line.
_ORDINARY: Final = frozenset({Code.CANCELLED, Code.DEADLINE_EXCEEDED})

# Named and not imported, so that a process without a database does not load its driver.
_LOST_CONNECTION: Final[Mapping[str, str]] = {
    "sqlalchemy.exc.InterfaceError": "database",
    "sqlalchemy.exc.OperationalError": "database",
    "sqlalchemy.exc.TimeoutError": "database",
    "asyncpg.exceptions.PostgresConnectionError": "database",
    "asyncpg.exceptions.CannotConnectNowError": "database",
    "asyncpg.exceptions.AdminShutdownError": "database",
    "asyncpg.exceptions.CrashShutdownError": "database",
    "asyncpg.exceptions.TooManyConnectionsError": "database",
    "asyncpg.exceptions._base.InterfaceError": "database",
    "asyncpg.exceptions._base.InternalClientError": "database",
    "redis.exceptions.ConnectionError": "redis",
    "redis.exceptions.TimeoutError": "redis",
}


def to_status(error: DomainError) -> Status:
    """Return the rich status of an error: ErrorInfo always, BadRequest when fields are named.

    RetryInfo tells when to come back, if the error does or is one of those that pass by themselves.
    """
    code = CODES.get(error.reason, Code.INTERNAL)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status = Status(code=code.value[0], message=error.message or error.reason)
    status.details.add().Pack(info)
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations:
            bad.field_violations.add(field=violation.field, description=violation.description, reason=violation.rule)
        status.details.add().Pack(bad)
    after_s = error.metadata.get("retry_after_s", "" if code is not Code.UNAVAILABLE else _RETRY_AFTER_S)
    if after_s.isdecimal():
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromSeconds(int(after_s))
        status.details.add().Pack(retry)
    return status


def from_rpc(error: grpc.aio.AioRpcError) -> RemoteError:
    """Return what another service answered as an error of our own, with its reason and fields.

    What gRPC says of its own failures names addresses of the mesh; it stays in the log, for this error may travel on.
    """
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return from_status(Status.FromString(value), error.code())
    code = error.code()
    if code not in _ORDINARY:
        _log.warning("a call failed without a word of the service: %s, %s", code.name, error.details())
    return RemoteError(_REASONS.get(code, "UNKNOWN_ERROR"), f"the service answered {code.name}")


def from_status(status: Status, code: grpc.StatusCode) -> RemoteError:
    """Return the error a rich status describes; `code` decides when it carries no ErrorInfo."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    reason = info.reason if info.domain == DOMAIN else _REASONS.get(code, "UNKNOWN_ERROR")
    error = RemoteError(reason, status.message)
    error.metadata = dict(info.metadata)
    error.violations = tuple(FieldViolation(each.field, each.reason, each.description) for each in bad.field_violations)
    return error


@contextmanager
def calling() -> Iterator[None]:
    """Turn the AioRpcError of a call made inside into the RemoteError it stands for."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


async def refuse(call: Call, error: DomainError) -> NoReturn:
    """End the call with the error; the trace id travels along for the bug report."""
    status = to_status(error)
    await call.context.abort(
        CODES.get(error.reason, Code.INTERNAL),
        status.message,
        ((DETAILS_KEY, status.SerializeToString()), (TRACE_KEY, call.trace_id)),
    )


class Errors(Around):
    """Concern: whatever the inside raises leaves as a status, and nothing unforeseen leaks."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, grpc.aio.AbortError):
            await _answer(self.call, error)


async def _answer(call: Call, error: BaseException) -> None:
    """End the call as the error asks; returns only where the error itself has to go on.

    An exception nobody foresaw becomes INTERNAL without detail: its text may hold data of other
    people. The stack goes to the log under the same trace id.
    """
    if isinstance(error, DomainError):
        await refuse(call, error)
    if isinstance(error, grpc.aio.AioRpcError):
        await refuse(call, from_rpc(error))
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is None or task.cancelling():
            return
        # Something inside was cancelled, not this call. grpc.aio would send no status at all
        # and leave the client waiting for its deadline.
        await refuse(call, RemoteError("CANCELLED", "the work was cancelled"))
    if not isinstance(error, Exception):
        return
    dependency = lost_dependency(error)
    if dependency:
        _log.warning("lost the %s: %s", dependency, error)
        await refuse(call, Unavailable(f"the {dependency} is out of reach", dependency=dependency))
    _log.error("unforeseen error in %s", call.method.path, exc_info=error)
    await refuse(call, DomainError("internal error"))


def lost_dependency(error: BaseException) -> str:
    """Return `database` or `redis` when the error means that it is out of reach, else nothing."""
    # SQLAlchemy wraps what it knows no kind for; the driver's own error is the cause of what it wrapped.
    driver = getattr(getattr(error, "orig", None), "__cause__", None)
    for kind in (type(error), type(driver)):
        for parent in kind.__mro__:
            dependency = _LOST_CONNECTION.get(f"{parent.__module__}.{parent.__qualname__}")
            if dependency:
                return dependency
    if isinstance(error, OSError) and _raised_under(error, "asyncpg"):
        # asyncpg lets the refusal of the very first connection through as it is.
        return "database"
    return ""


def _raised_under(error: BaseException, package: str) -> bool:
    """Return whether the error passed through a module of the package."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == package:
            return True
        trace = trace.tb_next
    return False
