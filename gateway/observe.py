"""One log line, two metrics and a trace id for every request.

The outermost middleware: it sees every answer, also of requests that no route serves. Routes
are named by their template and never by the raw path, and queries are never written down,
because signed addresses and event streams carry secrets there.
"""

import logging
import time
from collections.abc import Iterable
from functools import cache
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import Counter, Histogram

from gateway.caller import CALLER, PLATFORMS, Caller, Network, read_caller
from services.kit import log, tracing
from services.kit.rpc.call import DEFAULT_PLATFORM
from services.kit.telemetry import REGISTRY

_log = logging.getLogger("gateway.access")

REQUESTS: Final = Counter(
    "http_requests", "Requests answered by the gateway", ("method", "route", "status_code"), registry=REGISTRY
)
SECONDS: Final = Histogram(
    "http_request_duration_seconds",
    "Time the gateway took to answer",
    ("method", "route"),
    buckets=(0.005, 0.025, 0.1, 0.5, 1.0, 2.0, 5.0),
    registry=REGISTRY,
)

# Set by handlers whose answers last as long as their clients want; their duration measures nothing.
STREAM: Final = web.RequestKey("stream", bool)

_SLOW_S: Final = 2.0
_CLIENT_GONE: Final = 499
_FIRST_ERROR: Final = 400
_FIRST_FAULT: Final = 500
_NO_SPAN: Final = tracing.span("nothing is recorded")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def observing(proxies: Iterable[Network]) -> Middleware:
    """Return the middleware; `proxies` are the networks whose forwarding headers are believed."""
    trusted = tuple(proxies)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        caller = request[CALLER] = read_caller(request, trusted)
        with Watch(request, caller, route_of(request)) as watch:
            try:
                response = await handler(request)
            except web.HTTPException as answer:
                watch.answered(answer.status)
                raise
            watch.answered(response.status, response.content_length or 0)
            return response

    return middleware


class Watch:
    """One request under observation: log lines and spans inside know its trace, and its end is noted."""

    __slots__ = ("_log", "_request", "_route", "_size", "_span", "_started", "_status")

    def __init__(self, request: web.BaseRequest, caller: Caller, route: str) -> None:
        """Watch the caller's request, which the template `route` answers."""
        self._request, self._route = request, route
        self._status, self._size = _CLIENT_GONE, 0
        self._log = log.context(trace_id=caller.trace_id)
        self._span = _span_of(request, caller, route)

    def __enter__(self) -> Self:
        """Begin."""
        self._started = time.perf_counter()
        self._log.__enter__()
        self._span.__enter__()
        return self

    def answered(self, status: int, size: int = 0) -> None:
        """Note how the request was answered; without this the client has gone."""
        self._status, self._size = status, size

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the line, count, and end the span."""
        _note(self._request, self._route, self._status, self._size, time.perf_counter() - self._started)
        self._span.set("http.response.status_code", self._status)
        if self._status >= _FIRST_FAULT:
            self._span.fail(str(self._status))
        self._span.__exit__(kind, error, trace)
        self._log.__exit__(kind, error, trace)


def _span_of(request: web.BaseRequest, caller: Caller, route: str) -> tracing.Span:
    """Return the span of the request, the first one of its trace unless the client has begun one."""
    if not tracing.recording():
        return _NO_SPAN
    platform = request.headers.get("X-Platform", DEFAULT_PLATFORM)
    method = request.method if request.method in _METHODS else "OTHER"
    parent = tracing.parent_span(request.headers.get("traceparent", ""), caller.trace_id)
    return tracing.span(
        f"{method} {route}",
        kind="server",
        place=tracing.Place(caller.trace_id, parent, platform if platform in PLATFORMS else ""),
        attributes={"http.request.method": method, "http.route": route},
    )


def route_of(request: web.Request) -> str:
    """Return the template of the route that answers, or `unmatched`."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"


# Finding a metric by its labels costs more than counting does; methods, templates and statuses are few.
@cache
def _requests(method: str, route: str, status: int) -> Counter:
    return REQUESTS.labels(method, route, status)


@cache
def _seconds(method: str, route: str) -> Histogram:
    return SECONDS.labels(method, route)


def _note(request: web.BaseRequest, route: str, status: int, size: int, seconds: float) -> None:
    method = request.method if request.method in _METHODS else "OTHER"
    _requests(method, route, status).inc()
    stream = STREAM in request
    if not stream:
        _seconds(method, route).observe(seconds)
    level = logging.INFO if status < _FIRST_ERROR else logging.ERROR
    if not _log.isEnabledFor(level) and (stream or seconds < _SLOW_S):
        return
    facts = {
        "method": method,
        "route": route,
        "status_code": status,
        "content_length": size,
        "duration_ms": round(seconds * 1000, 1),
        "ip": request[CALLER].address,
        "user_agent": request.headers.get("User-Agent", "")[:200],
        "platform": request.headers.get("X-Platform", "")[:16],
        "app_version": request.headers.get("X-App-Version", "")[:32],
    }
    _log.log(level, "request", extra=facts)
    if seconds >= _SLOW_S and not stream:
        _log.warning("Slow API Warning", extra=facts)
