"""Which refusals a route can meet, read from its contract, and each of them as the envelope that tells it.

What follows from access, body, ids, streams and idempotency is derived; what else a method may say stands in its
comment or in that of a field by its name, as `PRICE_CHANGED`. Statuses are those of `gateway.envelope`.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from cadenza.options.v1 import options_pb2
from gateway.envelope import CODES, STATUSES
from gateway.messages import MESSAGES
from gateway.routes import Binding
from gateway.rules import rules_of
from gateway.shapes import shape_of

# Any route may meet these: of time, of rate, of what the client takes, and of what is down.
_ALWAYS: Final = (
    "PARAM_INVALID",
    "NOT_ACCEPTABLE",
    "RATE_LIMITED",
    "UNKNOWN_ERROR",
    "SERVICE_UNAVAILABLE",
    "TIMEOUT",
)
_PERSON: Final = ("AUTH_REQUIRED", "AUTH_EXPIRED")
_BODY: Final = ("BODY_TOO_LARGE", "MEDIA_TYPE_UNSUPPORTED")
_FILE: Final = ("UPLOAD_TOO_LARGE", "UPLOAD_FORMAT_INVALID", "UPLOAD_INCOMPLETE")
_ONCE: Final = ("CONFLICT", "IDEMPOTENCY_KEY_REUSED")
_NAMED: Final = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")
_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"

Json = dict[str, Any]


def refusals_of(binding: Binding, comments: Mapping[str, str]) -> dict[int, list[str]]:
    """Return the reasons that the route may give by the HTTP status they have, both in the order of the statuses."""
    found: dict[int, list[str]] = defaultdict(list)
    for reason in CODES:
        if reason in _reasons(binding, comments):
            found[STATUSES[reason]].append(reason)
    return dict(sorted(found.items()))


def refusal(reason: str) -> Json:
    """Return the envelope of a refusal as an English client reads it."""
    return {
        "code": CODES[reason],
        "message": MESSAGES[reason].told("en", {}),
        "error": reason,
        "details": {"description": reason.replace("_", " ").lower(), "fields": [], "metadata": {}},
        "trace_id": _TRACE,
    }


def _reasons(binding: Binding, comments: Mapping[str, str]) -> set[str]:
    method, request = binding.method, shape_of(binding.method.request_type)
    found = {*_ALWAYS, *_named(binding, comments)}
    if method.access != options_pb2.ACCESS_PUBLIC:
        found |= {*_PERSON}
    if method.access == options_pb2.ACCESS_ADMIN:
        found |= {"PERMISSION_DENIED"}
    if binding.body:
        found |= {*_BODY}
    if method.client_streaming:
        found |= {*_FILE}
    if method.has_request_id:
        found |= {*_ONCE}
    if any(rules_of(field).string.uuid for field in request.fields):
        found |= {"NOT_FOUND"}
    return found


def _named(binding: Binding, comments: Mapping[str, str]) -> set[str]:
    """Return the reasons that the comments of the method and of its request speak of."""
    method, request = binding.method, shape_of(binding.method.request_type)
    places = (
        f"{method.service}.{method.name}",
        request.full_name,
        *(field.full_name for field in request.fields),
    )
    return {word for place in places for word in _NAMED.findall(comments.get(place, "")) if word in CODES}
