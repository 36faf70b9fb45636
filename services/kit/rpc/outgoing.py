"""What a call made while answering another one takes along.

The trace id joins the log lines of all services, the deadline keeps a callee from working for
somebody who has already hung up. The person's token is not passed on by itself: whoever acts
on behalf of a person says so with `on_behalf`.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from services.kit import tracing
from services.kit.rpc.call import Call, call_or_none

Metadata = tuple[tuple[str, str | bytes], ...]

_PASSED_ON: Final = ("x-platform", "accept-language", "x-device-id")


def outgoing_metadata(given: Iterable[Any] | None) -> Metadata:
    """Return the metadata of a call to make: what was given and what the current call hands on."""
    entries: Metadata = tuple([(key, value) for key, value in given or ()])
    call, place = call_or_none(), tracing.here()
    if call is None and place is None:
        return entries
    named = {key for key, _ in entries}
    if call is not None:
        passed = [("x-trace-id", call.trace_id)]
        passed += [(key, call.metadata[key]) for key in _PASSED_ON if key in call.metadata]
        if call.client_ip:
            passed.append(("x-client-ip", call.client_ip))
    else:
        assert place is not None
        passed = [("x-trace-id", place.trace_id)]
        if place.platform:
            passed.append(("x-platform", place.platform))
    if place is not None and place.span_id and tracing.recording():
        passed.append(("traceparent", tracing.traceparent(place)))
    return (*entries, *(entry for entry in passed if entry[0] not in named))


def outgoing_timeout(given: float | None) -> float | None:
    """Return the seconds a call to make may take: never longer than the current call has left."""
    call = call_or_none()
    if call is None or call.deadline is None:
        return given
    left = max(call.deadline - asyncio.get_running_loop().time(), 0.0)
    return left if given is None else min(given, left)


def on_behalf(call: Call | None = None) -> Metadata:
    """Return the metadata that makes a call in the name of the current call's person."""
    current = call or call_or_none()
    token = current.metadata.get("authorization", "") if current else ""
    return (("authorization", token),) if token else ()
