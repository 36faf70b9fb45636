"""The one shape of every JSON answer, success or failure, and the table Reason to HTTP status.

Success is `{code: 0, message, data, trace_id}`. Failure is `{code, message, error, details,
trace_id}` with a true HTTP status: `code` is the number and `error` the symbol of the reason,
`message` a sentence for people in their language, and `details` holds for programs
`description` (English, for developers), `fields` (each with `field`, `rule`, `description`) and
`metadata` (the facts that the reason speaks of).
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import grpc.aio
import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler, Middleware

from cadenza.error.v1 import reason_pb2
from gateway.caller import CALLER, Caller
from gateway.messages import MESSAGES
from gateway.upstream import upstream_error
from services.kit.errors import DomainError, Expired, ParamInvalid, RemoteError

_log = logging.getLogger(__name__)

JSON: Final = "application/json"
# The error that an answer tells, for whoever has to tell it in other words.
TOLD: Final = web.ResponseKey("told", DomainError)


CODES: Final[Mapping[str, int]] = {
    name.removeprefix("REASON_"): number for name, number in reason_pb2.Reason.items() if number
}

STATUSES: Final[Mapping[str, int]] = {
    "UNKNOWN_ERROR": 500,
    "PARAM_INVALID": 400,
    "NOT_FOUND": 404,
    "SERVICE_UNAVAILABLE": 503,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "BUSINESS_RULE": 422,
    "TIMEOUT": 504,
    "BODY_TOO_LARGE": 413,
    "MEDIA_TYPE_UNSUPPORTED": 415,
    "NOT_ACCEPTABLE": 406,
    "CANCELLED": 499,
    "RATE_LIMITED": 429,
    "AUTH_REQUIRED": 401,
    "AUTH_EXPIRED": 401,
    "AUTH_PROVIDER_ERROR": 401,
    "PERMISSION_DENIED": 403,
    "ACCOUNT_DISABLED": 403,
    "ACCOUNT_LOCKED": 403,
    "CODE_INVALID": 400,
    "CODE_EXPIRED": 400,
    "CREDENTIALS_INVALID": 401,
    "IDENTITY_IN_USE": 409,
    "PASSWORD_WEAK": 400,
    "MESSAGE_NOT_SENT": 503,
    "TARGET_REFUSED": 422,
    "LAST_IDENTITY": 409,
    "UPLOAD_TOO_LARGE": 413,
    "UPLOAD_FORMAT_INVALID": 415,
    "UPLOAD_DURATION_INVALID": 422,
    "UPLOAD_INCOMPLETE": 422,
    "UPLOAD_URL_EXPIRED": 403,
    "ASSET_NOT_READY": 409,
    "ASSET_IN_USE": 409,
    "UPLOAD_OFFSET_WRONG": 409,
    "UPLOAD_LOCKED": 423,
    # The number that tus 1.0 gives to a checksum that does not match.
    "UPLOAD_CHECKSUM_WRONG": 460,
    "TAKE_SILENT": 422,
    "TAKE_NOISE": 422,
    "TAKE_SPEECH": 422,
    "TAKE_NO_MELODY": 422,
    "TAKE_CLIPPED": 422,
    "TAKE_TWO_VOICES": 422,
    "TAKE_FAR": 422,
    "TAKE_TOO_SHORT": 422,
    "TAKE_TOO_LONG": 422,
    "GENERATE_BUSY": 429,
    "GENERATE_PROVIDER_ERROR": 502,
    "INSUFFICIENT_CREDITS": 402,
    "QUOTA_EXCEEDED": 403,
    "CONTENT_REJECTED": 422,
    "JOB_NOT_CANCELLABLE": 409,
    "JOB_DEADLINE_EXCEEDED": 504,
    "JOB_LEASE_LOST": 409,
    "JOB_WORKER_LOST": 503,
    "JOB_QUARANTINED": 409,
    "JOB_ATTEMPTS_EXHAUSTED": 503,
    "JOB_NOT_DEAD": 409,
    "HOLD_CLOSED": 409,
    "LYRICS_UNAVAILABLE": 503,
    "CONTENT_IN_REVIEW": 422,
    "LYRICS_REFUSED": 422,
    "EVENTS_GONE": 410,
    "WEBHOOK_LIMIT_REACHED": 422,
    "WEBHOOK_URL_REFUSED": 422,
    "WEBHOOK_PAUSED": 409,
    "WEBHOOK_DELIVERY_PENDING": 409,
    "CREDITS_HELD": 402,
    "WALLET_FROZEN": 403,
    "PRICE_CHANGED": 409,
    "SHARE_NOT_FOUND": 404,
    "SHARE_REVOKED": 410,
    "SHARE_NOT_ALLOWED": 422,
    "SHARE_EXPIRED": 410,
    "SHARE_PASSWORD_REQUIRED": 403,
    "SHARE_PASSWORD_WRONG": 403,
}

_FALLBACK: Final = "UNKNOWN_ERROR"
_RETRY_AFTER_S: Final = {423: "1", 429: "5", 503: "2"}
_UNAUTHORIZED: Final = 401
_AWAY: Final = 503
_FIRST_ERROR: Final = 400
_SERVER_ERROR: Final = 500


def success(data: Any, caller: Caller, *, status: int = 200) -> web.Response:
    """Return the answer that carries the JSON values."""
    return web.Response(body=success_body(data, caller), status=status, content_type=JSON)


def success_body(data: Any, caller: Caller) -> bytes:
    """Return the text of the answer that carries the JSON values."""
    return orjson.dumps({"code": 0, "message": "success", "data": data, "trace_id": caller.trace_id})


def failure(error: DomainError, caller: Caller, *, status: int = 0) -> web.Response:
    """Return the answer that tells the error, with the headers its status asks for; `status` replaces the reason's."""
    reason = error.reason if error.reason in STATUSES else _FALLBACK
    status = status or STATUSES[reason]
    if reason == "AUTH_PROVIDER_ERROR" and error.metadata.get("cause") == "unreachable":
        # The person was not refused: the same login may succeed in a moment.
        status = _AWAY
    response = web.Response(body=orjson.dumps(failure_body(error, caller)), status=status, content_type=JSON)
    response[TOLD] = error
    if status == _UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = _challenge(caller)
    if status in _RETRY_AFTER_S:
        response.headers["Retry-After"] = _seconds(error.metadata.get("retry_after_s"), _RETRY_AFTER_S[status])
    if reason == "METHOD_NOT_ALLOWED":
        response.headers["Allow"] = error.metadata.get("allow", "")
    if reason == "MEDIA_TYPE_UNSUPPORTED" and "accepts" in error.metadata:
        response.headers["Accept-Post"] = error.metadata["accepts"]
    return response


def failure_body(error: DomainError, caller: Caller) -> dict[str, Any]:
    """Return the error as JSON values."""
    reason = error.reason if error.reason in STATUSES else _FALLBACK
    fields = [{"field": each.field, "rule": each.rule, "description": each.description} for each in error.violations]
    metadata = dict(error.metadata)
    if fields:
        metadata.setdefault("field", fields[0]["field"])
    return {
        "code": CODES[reason],
        "message": MESSAGES[reason].told(caller.locale, metadata),
        "error": reason,
        "details": {"description": error.message, "fields": fields, "metadata": metadata},
        "trace_id": caller.trace_id,
    }


def enveloping() -> Middleware:
    """Return the middleware that turns whatever a handler raises into the one error shape."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as answer:
            if answer.status < _FIRST_ERROR:
                raise
            return _routing_answer(request, answer)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets the one shape
            return failure(told_as(error, request), request[CALLER])

    return middleware


def told_as(error: BaseException, request: web.Request) -> DomainError:
    """Return the error a client may see; what nobody foresaw goes to the log with its stack."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, grpc.aio.AioRpcError):
        return upstream_error(error)
    if isinstance(error, web.RequestPayloadError | BadHttpMessage):
        return ParamInvalid.of("body", "did not arrive whole", "truncated")
    if isinstance(error, TimeoutError):
        return Expired("the time for the request ran out")
    _log.error("unforeseen error in %s %s", request.method, request.path, exc_info=error)
    return DomainError("internal error")


def _routing_answer(request: web.Request, answer: web.HTTPException) -> web.Response:
    """Return what the router refuses as an envelope, and the methods of a path to whoever asks for them."""
    if isinstance(answer, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted({*answer.allowed_methods, "OPTIONS"}))
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": allow})
        return failure(
            RemoteError("METHOD_NOT_ALLOWED", f"{request.method} is not served", allow=allow), request[CALLER]
        )
    reason = next((name for name, status in STATUSES.items() if status == answer.status), "")
    if not reason:
        reason = "UNKNOWN_ERROR" if answer.status >= _SERVER_ERROR else "PARAM_INVALID"
    return failure(RemoteError(reason, answer.reason), request[CALLER])


def _challenge(caller: Caller) -> str:
    """Return the challenge of RFC 6750 section 3: with an error only when a token was sent."""
    return 'Bearer realm="cadenza", error="invalid_token"' if caller.authorization else 'Bearer realm="cadenza"'


def _seconds(given: str | None, otherwise: str) -> str:
    return given if given is not None and given.isdecimal() else otherwise
