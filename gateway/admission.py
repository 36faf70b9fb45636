"""Who is let in when more comes than can be answered: few at a time, quickly, and a cheap no for the rest.

There are two queues that nobody sees. One is the event loop of this process: what its sockets have brought waits until
the loop comes to it, so the loop is late. The other lies behind it, at services and their databases: the same routes
take many times as long as they did when nobody waited. While either is so, twice in a row, the number of requests in
work is halved ten times a second, down to a number that is always let in; while neither is, it grows. What is too much
is refused before anything of it is parsed, where it can be: a refusal must cost a small part of an answer, or at five
times the load nothing but refusals would be made.
"""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from statistics import median
from typing import Final

from aiohttp import web
from prometheus_client import Counter, Gauge

from gateway.caller import Caller
from gateway.envelope import failure
from gateway.webhooks import WECHAT
from services.kit.ending import end
from services.kit.errors import Unavailable
from services.kit.rpc.call import locale_of
from services.kit.telemetry import REGISTRY

REFUSED: Final = Counter(
    "http_requests_overload", "Requests refused because the process had work enough", ("where",), registry=REGISTRY
)
_LIMIT: Final = Gauge("http_requests_limit", "Requests that this process works on at a time now", registry=REGISTRY)
_UNREAD: Final = REFUSED.labels("unread")

LAG_S: Final = 0.05
# So many times what a route takes at its quickest is waiting, and not work; of many requests half must say so.
TIMES: Final = 8.0
_SAMPLES: Final = 8
_MOST_SAMPLES: Final = 4096
# The quickest time of a route is forgotten slowly: it doubles within half a minute.
_FORGET: Final = 1.0025
LOOK_S: Final = 0.1
RETRY_AFTER_S: Final = 1
_CUT: Final = 0.5
_GROW: Final = 1.1
_USED: Final = 0.8
_HEAD_ENDS: Final = b"\r\n\r\n"
# What must be read to be answered rightly: other origins, bodies on their way, and ends of connections.
_NEEDS_READING: Final = re.compile(
    rb"\r\n(?:(?:origin|transfer-encoding|expect|upgrade|te|x-trace-id|traceparent|x-request-id)[ \t]*:"
    rb"|connection[ \t]*:(?![ \t]*keep-alive[ \t]*\r\n))",
    re.IGNORECASE,
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_LANGUAGE: Final = re.compile(rb"\r\naccept-language:[ \t]*([^\r\n]{0,100})", re.IGNORECASE)
_PLAIN: Final = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE) (?!" + re.escape(WECHAT.encode()) + rb")/api/[^ \r\n]* HTTP/1\.1\r\n"
)
_NO_TRACE: Final = "0" * 31 + "1"


class Place:
    """A request's place among those in work; an event stream leaves it once it is open and counted as a stream."""

    __slots__ = ("_admission", "_began")

    def __init__(self, admission: "Admission") -> None:
        """Take a place."""
        self._admission: Admission | None = admission
        self._began = time.perf_counter()
        admission.inside += 1

    def answered(self, route: object) -> None:
        """Tell how long the request took, while it still has its place."""
        if self._admission is not None:
            self._admission.note(route, time.perf_counter() - self._began)

    def leave(self) -> None:
        """Give the place to others; a second time does nothing."""
        if self._admission is not None:
            self._admission.inside -= 1
            self._admission = None


class Admission:
    """The requests in work, and how many there may be."""

    def __init__(self, most: int, least: int = 64) -> None:
        """Never let in more than `most`, and always let in `least`."""
        self.most = most
        self.least = min(least, most)
        self.limit = float(most)
        self.inside = 0
        self._peak = 0
        self._slow = False
        self._quickest: dict[object, float] = {}
        self._times: list[float] = []
        self._answers: dict[str, tuple[bytes, bytes, bytes]] = {}

    def enter(self, *, urgent: bool = False) -> Place | None:
        """Return a place, or None when there are none left; what is urgent only stops at what the process can hold."""
        if self.inside >= (self.most if urgent else self.limit):
            self._peak = self.inside
            return None
        place = Place(self)
        self._peak = max(self._peak, self.inside)
        return place

    def note(self, route: object, seconds: float) -> None:
        """Take notice of how long a request to the route took."""
        quickest = self._quickest.get(route)
        if quickest is None or seconds < quickest:
            self._quickest[route] = quickest = max(seconds, 1e-4)
        if len(self._times) < _MOST_SAMPLES:
            self._times.append(seconds / quickest)

    def look(self, lag_s: float) -> None:
        """Take notice of how late the loop is: twice in a row too slow cuts, otherwise a limit that is used grows."""
        times, self._times = self._times, []
        waiting = len(times) >= _SAMPLES and median(times) > TIMES
        before, self._slow = self._slow, lag_s > LAG_S or waiting
        if before and self._slow:
            self.limit = max(min(self.limit, float(self._peak)) * _CUT, float(self.least))
        elif not self._slow and self.limit < self.most and self._peak >= self.limit * _USED:
            self.limit = min(self.limit * _GROW, float(self.most))
        for route in self._quickest:
            self._quickest[route] *= _FORGET
        self._peak = self.inside
        _LIMIT.set(self.limit)

    async def beside(self, _app: web.Application) -> AsyncIterator[None]:
        """Watch the loop while the application runs."""
        watching = asyncio.create_task(self.watch())
        yield
        await end([watching])

    async def watch(self) -> None:
        """Look ten times a second until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.look(loop.time() - due)

    def refusal(self, data: bytes) -> bytes:
        """Return the whole answer to a request that came in one piece, or nothing when it has to be read first."""
        head = data.find(_HEAD_ENDS)
        if head < 0 or not _PLAIN.match(data) or _NEEDS_READING.search(data, 0, head + 2):
            return b""
        length = _LENGTH.search(data, 0, head + 2)
        if len(data) != head + len(_HEAD_ENDS) + (int(length[1]) if length else 0):
            return b""
        _UNREAD.inc()
        language = _LANGUAGE.search(data, 0, head + 2)
        start, middle, end = self._answer(locale_of(language[1].decode("latin-1")) if language else locale_of(""))
        trace_id = os.urandom(16).hex().encode()
        return b"".join((start, trace_id, middle, trace_id, end))

    def _answer(self, locale: str) -> tuple[bytes, bytes, bytes]:
        """Return the answer around its two trace ids, made once for a language."""
        if locale not in self._answers:
            caller = Caller(_NO_TRACE, locale, "", secure=False, request_id="", authorization="")
            response = failure(overloaded(), caller)
            assert isinstance(response.body, bytes)
            fields = {
                **response.headers,
                "Content-Length": str(len(response.body)),
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Trace-Id": _NO_TRACE,
            }
            lines = ["HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in fields.items())]
            start, middle, end = ("\r\n".join(lines).encode() + _HEAD_ENDS + response.body).split(_NO_TRACE.encode())
            self._answers[locale] = (start, middle, end)
        return self._answers[locale]


ADMISSION: Final = web.AppKey("admission", Admission)
PLACE: Final = web.RequestKey("place", Place)


def overloaded() -> Unavailable:
    """Return the refusal of what is too much."""
    return Unavailable("the gateway has all the work it can take", retry_after_s=RETRY_AFTER_S)
