"""Listening: the HTTP server around the application, which also refuses bad HTTP in our one shape.

aiohttp answers a request line or header that is malformed or too long before any application
code runs, as plain text; here it becomes an envelope with a number like every other refusal. How
many connections there may be, and how long a head may take, aiohttp does not bound at all.
"""

import asyncio
import logging
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from gateway.admission import ADMISSION, Admission, Place
from gateway.caller import read_caller
from gateway.connections import BOUNDS, Bounds, Crowd
from gateway.connections import refusal as cut_short
from gateway.envelope import failure
from gateway.lane import LANE
from services.kit.errors import DomainError, ParamInvalid, RemoteError

_log = logging.getLogger(__name__)

DRAIN_S: Final = 4.0

_LONGEST_LINE: Final = 8190
# One more than the line, so that the parser's error tells which of the two was too long.
_LONGEST_FIELD: Final = 8191
_KEEPALIVE_S: Final = 75.0
_LINGER_S: Final = 5.0
_HEARD_S: Final = 1.0
_BAD_REQUEST: Final = 400
_MOST_REQUESTS: Final = 1000


class EnvelopedHandler(RequestHandler):
    """aiohttp's connection handler with our error shape for what never becomes a request."""

    __slots__ = ("_address", "_admission", "_crowd", "_head_bytes", "_head_timer", "_place")

    def __init__(self, server: "_EnvelopedServer", **options: Any) -> None:
        """Count as one of the server's connections."""
        super().__init__(server, **options)
        self._crowd = server.crowd
        self._admission = server.admission
        self._place: Place | None = None
        self._address: str | None = None  # once it is counted
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve, unless the address has connections enough."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        if self._crowd.enter(address):
            self._address = address
        else:
            self._cut("crowd")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave the place to others."""
        if self._address is not None:
            self._crowd.leave(self._address)
            self._address = None
        if self._place is not None:
            self._place.leave()
        self._head_over()
        super().connection_lost(exc)

    @property
    def place(self) -> Place | None:
        """Return the place that was taken for the request on its way, once."""
        place, self._place = self._place, None
        return place

    def data_received(self, data: bytes) -> None:
        """Read on; while a request has not begun to be worked on, what comes is its head, and bounded."""
        heads, head = self._request_count, self._waiter is not None and not self._waiter.done()
        # A request begins whose head is whole: whoever sends it slowly takes no place before it is.
        if head and self._place is None and _begins(data) and not self._head_bytes:
            self._place = self._admission.enter()
            if self._place is None and (refused := self._admission.refusal(data)):
                self.transport.write(refused)  # type: ignore[union-attr]  # it has just brought the data
                return
        super().data_received(data)
        if self._request_count != heads:
            self._head_over()
        elif head and not self._force_close:
            self._head_bytes += len(data)
            if self._head_timer is None:
                bounds = self._crowd.bounds
                self._head_timer = asyncio.get_running_loop().call_later(bounds.head_s, self._cut, "slow")
            if self._head_bytes > self._crowd.bounds.head_bytes:
                self._cut("long")

    def _head_over(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _cut(self, why: str) -> None:
        """Say why and end the connection: at once for more requests, a moment later for the client to hear it."""
        self._head_over()
        transport = self.transport
        if transport is None or self._force_close:
            return
        self._force_close = True
        transport.write(cut_short(why, self._crowd.bounds))
        # Closing over bytes that nobody has read would reset the connection, and the words with it.
        transport.write_eof()
        asyncio.get_running_loop().call_later(_HEARD_S, self.force_close)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature
    ) -> web.StreamResponse:
        """Return the refusal; the connection is closed, because the next bytes mean nothing."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of an answer is sent already")
        error, shown = _told(status, exc)
        if status != _BAD_REQUEST:
            _log.error("a request failed outside of the application", exc_info=exc)
        response = failure(error, read_caller(request, ()), status=shown)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.force_close()
        return response


class GatewayRunner(web.AppRunner):
    """Runs the application: handlers end with their client, and bad HTTP is refused in our shape."""

    def __init__(self, app: web.Application, *, drain_s: float = DRAIN_S) -> None:
        """Give running requests `drain_s` seconds at the end."""
        super().__init__(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=drain_s,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGER_S,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_FIELD,
            # A packed body is refused as it stands; aiohttp would unpack it even while the refusal is sent.
            auto_decompress=False,
        )

    async def _make_server(self) -> Server:
        plain = await super()._make_server()
        long_way, lane = plain.request_handler, self._app.get(LANE)
        return _EnvelopedServer(
            long_way if lane is None else lane.before(long_way),
            request_factory=plain.request_factory,
            handler_cancellation=plain.handler_cancellation,
            loop=asyncio.get_running_loop(),
            crowd=Crowd(self._app.get(BOUNDS, Bounds())),
            admission=self._app.get(ADMISSION) or Admission(_MOST_REQUESTS),
            **plain._kwargs,  # noqa: SLF001  # aiohttp offers no other way to choose the connection handler
        )


class _EnvelopedServer(Server):
    """Makes our connection handler for each connection."""

    def __init__(self, *arguments: Any, crowd: Crowd, admission: Admission, **options: Any) -> None:
        """Count the connections in the crowd, and let requests in by the admission."""
        super().__init__(*arguments, **options)
        self.crowd = crowd
        self.admission = admission

    def __call__(self) -> RequestHandler:
        """Return the handler of a new connection."""
        return EnvelopedHandler(self, loop=asyncio.get_running_loop(), **self._kwargs)


def _begins(data: bytes) -> bool:
    """Return whether a whole head of a request to the API is here; of OPTIONS none reaches the bounds."""
    return data.startswith(b"/api/", data.find(b" ") + 1) and not data.startswith(b"OPT") and b"\r\n\r\n" in data


def _told(status: int, exc: BaseException | None) -> tuple[DomainError, int]:
    """Return the error, and the status when it is not the reason's own."""
    if isinstance(exc, LineTooLong):
        if exc.args[1] == _LONGEST_LINE:
            return ParamInvalid.of("url", f"is longer than {_LONGEST_LINE} bytes", "too_long"), 414
        return ParamInvalid.of("headers", f"hold a line longer than {_LONGEST_FIELD} bytes", "too_long"), 431
    if isinstance(exc, BadHttpMessage) and "Too many headers" in exc.message:
        return ParamInvalid.of("headers", "are too many", "too_many"), 431
    if isinstance(exc, BadHttpMethod):
        return RemoteError("METHOD_NOT_ALLOWED", "there is no such method"), 0
    if status == _BAD_REQUEST:
        return ParamInvalid.of("http", "is not a well-formed request", "http"), 0
    return DomainError("internal error"), 0
