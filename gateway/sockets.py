"""The event streams over one WebSocket: `/api/v1/ws` (G-17, N-04), with the same events as over HTTP.

The client sends objects with an `op`:

- `auth` with `token`, first and within ten seconds, unless the handshake brought an Authorization header. The token
  never stands in the address, where proxies would write it down.
- `subscribe` with `path`, the address of any event stream as it is over HTTP; `after`, the place to go on at; and
  `tag`, a name of its own for the subscription (the path when it gives none).
- `unsubscribe` with `tag`, and `ping`, for clients that cannot send the ping frames of the protocol.

It gets events `{"tag", "event", "id", "data"}`; `ready` once it may subscribe; and `error` with the envelope: with a
tag when the subscription has ended by it, without one when the message before it meant nothing.

Bounded are the subscriptions of a socket, the size and the number of its messages, and the time that it may leave
unread what was sent. Every subscription is checked by its service with the token, like a stream over HTTP.
"""

import asyncio
from contextlib import aclosing, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from aiohttp import WSCloseCode, WSMsgType, web
from yarl import URL

from gateway.admission import PLACE
from gateway.caller import CALLER, metadata_of
from gateway.envelope import failure, failure_body, told_as
from gateway.forms import DRAINING, Line, as_object, tagged
from gateway.observe import STREAM
from gateway.query import read_text
from gateway.reader import AFTER, Metadata, Reader
from gateway.shapes import shape_of
from gateway.stream import EventStreams
from services.kit.ending import end
from services.kit.errors import DomainError, NotFound, ParamInvalid, PermissionDenied, RateLimited, Unauthenticated

PATH: Final = "/api/v1/ws"
MOST_SUBSCRIPTIONS: Final = 32

_LONGEST_MESSAGE: Final = 16 * 1024
_LONGEST_PATH: Final = 2048
_LONGEST_TAG: Final = 64
_MOST_MESSAGES: Final = 120  # within _WINDOW_S
_WINDOW_S: Final = 60.0
_AUTH_S: Final = 10.0
_UPGRADE_REQUIRED: Final = 426


class Sockets:
    """The WebSockets of this process."""

    def __init__(self, streams: EventStreams, *, origins: tuple[str, ...], auth_s: float = _AUTH_S) -> None:
        """Read the streams; pages of `origins` and our own may open a socket, and bring a token within `auth_s`."""
        self._streams = streams
        self._origins = frozenset(origins)
        self._auth_s = auth_s

    async def handle(self, http: web.Request) -> web.StreamResponse:
        """Answer the handshake and serve the socket until either side closes it."""
        if http.query_string:
            raise ParamInvalid.of(next(iter(http.query), "query")[:_LONGEST_TAG], "is not a parameter of this request")
        origin = http.headers.get("Origin")
        own = origin is None or urlsplit(origin).netloc == http.host
        if not own and not self._origins & {"*", origin}:
            raise PermissionDenied("this origin may not open a socket", origin=(origin or "")[:200])
        metadata = metadata_of(http)
        config = self._streams.config
        socket = web.WebSocketResponse(
            heartbeat=config.stream_heartbeat_s, max_msg_size=_LONGEST_MESSAGE, compress=False, timeout=2.0
        )
        if not socket.can_prepare(http):
            refused = failure(ParamInvalid.of("Upgrade", "must be websocket"), http[CALLER], status=_UPGRADE_REQUIRED)
            refused.headers["Upgrade"] = "websocket"
            return refused
        with self._streams.counted():
            http[STREAM] = True
            await socket.prepare(http)
            http[PLACE].leave()
            talk = _Talk(self._streams, http, socket, metadata)
            try:
                # A client that is gone is told nothing more.
                with suppress(ConnectionError):
                    await talk.run(self._auth_s)
            finally:
                await talk.close()
        return socket


class _Talk:
    """One socket and its subscriptions."""

    def __init__(
        self, streams: EventStreams, http: web.Request, socket: web.WebSocketResponse, metadata: Metadata
    ) -> None:
        self._streams = streams
        self._http = http
        self._socket = socket
        self._metadata = metadata
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()
        self._drained = asyncio.get_running_loop().create_task(streams.reading.feeds.drained.wait())

    @property
    def _known(self) -> bool:
        return any(name == "authorization" for name, _ in self._metadata)

    async def run(self, auth_s: float) -> None:
        """Answer message after message until the socket closes, the process drains, or the time for it is over."""
        loop = asyncio.get_running_loop()
        closing = loop.time() + self._streams.config.stream_longest_s
        waiting = loop.time() + auth_s
        began, count = loop.time(), 0
        if self._known:
            await self._send(as_object(Line("ready")).decode())
        while True:
            until = closing if self._known else waiting
            message = await self._receive(until - loop.time())
            if message is None:
                await self._farewell(known=self._known)
                return
            if message.type is not WSMsgType.TEXT:
                return  # closed, broken, or bytes, which mean nothing here
            if loop.time() - began > _WINDOW_S:
                began, count = loop.time(), 0
            count += 1
            if count > _MOST_MESSAGES:
                wait_s = int(began + _WINDOW_S - loop.time()) + 1
                await self._refuse(RateLimited("too many messages within a minute", retry_after_s=wait_s))
                await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)
                return
            try:
                await self._obey(message.data)
            except DomainError as error:
                await self._refuse(error)

    async def close(self) -> None:
        """End every subscription."""
        await end([self._drained, *self._subscriptions.values()])

    async def _receive(self, seconds: float) -> Any:
        """Return the next message, or None when the time is over or the process drains."""
        asking = asyncio.ensure_future(self._socket.receive())
        try:
            await asyncio.wait({asking, self._drained}, timeout=max(seconds, 0), return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            await end([asking])

    async def _farewell(self, *, known: bool) -> None:
        if known:
            await self._send(as_object(DRAINING).decode())
            await self._socket.close(code=WSCloseCode.GOING_AWAY)
            return
        await self._refuse(Unauthenticated("no token came"))
        await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _obey(self, text: str) -> None:
        """Do what one message says; DomainError when it says nothing that can be done."""
        try:
            wish = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ParamInvalid.of("body", "is not valid JSON", "json") from error
        if not isinstance(wish, dict) or not isinstance(wish.get("op"), str):
            raise ParamInvalid.of("op", "must say what to do")
        op = wish.pop("op")
        if op == "auth":
            self._metadata = self._with_token(_text(wish, "token", 4096))
            await self._send(as_object(Line("ready")).decode())
        elif op == "ping":
            await self._send(as_object(Line("pong")).decode())
        elif op == "subscribe":
            await self._subscribe(wish)
        elif op == "unsubscribe":
            subscription = self._subscriptions.pop(_text(wish, "tag", _LONGEST_PATH), None)
            await end([subscription] if subscription else [])
        else:
            raise ParamInvalid.of("op", "must be auth, subscribe, unsubscribe or ping")

    def _with_token(self, token: str) -> Metadata:
        kept = tuple(entry for entry in self._metadata if entry[0] != "authorization")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Unauthenticated("the token is not readable")
        return (*kept, ("authorization", f"Bearer {token}"))

    async def _subscribe(self, wish: dict[str, Any]) -> None:
        if not self._known:
            raise Unauthenticated("no token came yet")
        path = _text(wish, "path", _LONGEST_PATH)
        tag = _text(wish, "tag", _LONGEST_TAG) if "tag" in wish else path
        if tag in self._subscriptions:
            raise ParamInvalid.of("tag", "names a subscription that is open")
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise RateLimited(f"a socket holds {MOST_SUBSCRIPTIONS} subscriptions", retry_after_s=1)
        try:
            reader = self._reader(path, wish.get("after"))
        except DomainError as error:
            await self._refuse(error, tag)
            return
        self._subscriptions[tag] = asyncio.get_running_loop().create_task(self._tell(tag, reader))

    def _reader(self, path: str, after: Any) -> Reader:
        """Return the reader of the stream at the path; NOT_FOUND when there is none."""
        try:
            url = URL(path, encoded=True)
        except ValueError as error:
            raise ParamInvalid.of("path", "is no path") from error
        if url.is_absolute() or not path.startswith("/"):
            raise ParamInvalid.of("path", "is no path")
        for source in self._streams.sources:
            variables = source.binding.template.match(url.raw_path)
            if variables is not None:
                break
        else:
            raise NotFound("there is no event stream at this path")
        request = source.binding.method.request_type()
        self._streams.transcoder.fill(request, source.binding, variables, url.query)
        field = shape_of(request).fields_by_name[AFTER]
        cursor = getattr(request, AFTER) if after is None else read_text(field, str(after), "after")
        reader = Reader(source, self._streams.reading, http=self._http, metadata=self._metadata)
        reader.begin_at(request, cursor)
        return reader

    async def _tell(self, tag: str, reader: Reader) -> None:
        """Send the events of one stream until it ends, and how it ended."""
        try:
            with self._streams.counted():
                await self._send(*(tagged(line, tag) for line in await reader.open()))
                async with aclosing(reader.follow()) as news:
                    async for lines in news:
                        # The socket has heartbeats of its own.
                        await self._send(*(tagged(line, tag) for line in lines if line.name != "heartbeat"))
        except ConnectionError:
            return  # the client is gone, which ends everything
        except Exception as error:  # noqa: BLE001  # whatever it is, the client is told
            await self._refuse(told_as(error, self._http), tag)
        finally:
            self._subscriptions.pop(tag, None)
            await reader.close()

    async def _refuse(self, error: DomainError, tag: str | None = None) -> None:
        line = Line("error", data=orjson.dumps(failure_body(error, self._http[CALLER])))
        await self._send(as_object(line).decode() if tag is None else tagged(line, tag))

    async def _send(self, *texts: str) -> None:
        """Send the messages; a client that reads nothing for too long is cut, its subscriptions with it."""
        async with self._sending:
            for text in texts:
                if self._socket.closed:
                    raise ConnectionResetError
                try:
                    async with asyncio.timeout(self._streams.config.stream_stall_s):
                        await self._socket.send_str(text)
                except TimeoutError as error:
                    if self._http.transport is not None:
                        self._http.transport.abort()
                    raise ConnectionResetError from error


def _text(wish: dict[str, Any], name: str, longest: int) -> str:
    value = wish.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise ParamInvalid.of(name, f"must be text of 1 to {longest} characters")
    return value
