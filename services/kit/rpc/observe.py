"""One log line and one measurement per call, under the trace id that the client also gets."""

import asyncio
import logging
import time
from functools import cache
from types import TracebackType
from typing import Any

import grpc

from services.kit import log, telemetry, tracing
from services.kit.rpc.call import Around, Call
from services.kit.rpc.errors import TRACE_KEY
from services.kit.rpc.method import Method

_log = logging.getLogger("services.kit.rpc")

# The server is at fault for these; everything else is the caller's business.
_FAULTS = frozenset({grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS})


class Observe(Around):
    """Concern: the call is logged, counted and timed, whatever way it ends."""

    __slots__ = ("_context", "_span", "_started")

    async def __aenter__(self) -> None:
        self._started = time.perf_counter()
        self._context = log.context(trace_id=self.call.trace_id, platform=self.call.platform)
        self._context.__enter__()
        self._span = _span_of(self.call) if tracing.recording() else None
        if self._span is not None:
            self._span.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        call = self.call
        if error is None:
            # An error carries its trace id itself, see kit.rpc.errors.refuse.
            kept = call.context.trailing_metadata() or ()
            call.context.set_trailing_metadata((*kept, (TRACE_KEY, call.trace_id)))
        cancelled = isinstance(error, asyncio.CancelledError)
        code = grpc.StatusCode.CANCELLED if cancelled else _code_of(call)
        _record(call, code, time.perf_counter() - self._started)
        if self._span is not None:
            self._span.set("rpc.grpc.status_code", code.value[0])
            self._span.set("user.id", call.identity.user_id if call.identity else None)
            if code is not grpc.StatusCode.OK:
                self._span.fail(code.name)
            self._span.__exit__(None, None, None)
        self._context.__exit__(kind, error, trace)


def _span_of(call: Call) -> tracing.Span:
    """Return the span of the call, behind the one that its caller names."""
    parent = tracing.parent_span(call.metadata.get("traceparent", ""), call.trace_id)
    method = call.method
    return tracing.span(
        method.path.lstrip("/"),
        kind="server",
        place=tracing.Place(call.trace_id, parent, call.platform),
        attributes={"rpc.system": "grpc", "rpc.service": method.service, "rpc.method": method.name},
    )


def _code_of(call: Call) -> grpc.StatusCode:
    """Return the status set so far; grpc.aio keeps the plain number until the call is over."""
    code = call.context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return _BY_NUMBER.get(code or 0, grpc.StatusCode.UNKNOWN)


_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}


# Finding a metric by its labels costs more than counting does; methods and codes are few.
@cache
def _seconds(method: Method) -> Any:
    return telemetry.RPC_SECONDS.labels(method.service, method.name)


@cache
def _calls(method: Method, code: grpc.StatusCode) -> Any:
    return telemetry.RPC_CALLS.labels(method.service, method.name, code.name)


def _record(call: Call, code: grpc.StatusCode, seconds: float) -> None:
    method = call.method
    _seconds(method).observe(seconds)
    _calls(method, code).inc()
    level = logging.ERROR if code in _FAULTS else logging.INFO
    if not _log.isEnabledFor(level):
        return
    fields = {
        "method": method.path,
        "code": code.name,
        "ms": round(seconds * 1000, 2),
        "user_id": call.identity.user_id if call.identity else "",
        "peer": call.peer or "",
    }
    _log.log(level, "rpc", extra=fields)
