"""Server streams as server-sent events (WHATWG HTML, section 9.2), for every Watch method.

Each message is one event: `id` is its sequence, `event` is `snapshot` for the first one and
`change` after that (the present state told again repeats the sequence), `data` is the bare
response message as one line of JSON. Silence is broken by comments, the end is told by an event
`end`, a failure after the first byte by an event `error` whose data is the error envelope; before
the first byte errors have their true status. A place in the log that is not kept any more is
answered by an event `reset`, whose data is the envelope too, and then by a new beginning: the
client drops what it has and reads on.
A client goes on with `Last-Event-ID` or `?after_sequence=`; an EventSource, which cannot send
headers, may bring its token as `?access_token=`.

Every client first opens the stream upstream with its own token: that is the ownership check and
gives the present state. Once it is where the shared feed of the resource is, it drops its own
call and reads the shared one (decision 30). A request that names no resource is about its caller
alone, and its feed is shared with no other token.
"""

import asyncio
from typing import Any, Final

import grpc.aio
import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.caller import CALLER, TOKEN_PARAMETER, metadata_of
from gateway.config import Config
from gateway.envelope import failure_body, told_as
from gateway.feed import Feed
from gateway.limits import PLACE
from gateway.observe import STREAM
from gateway.query import read_text
from gateway.routes import Binding
from gateway.shapes import shape_of
from gateway.transcode import Transcoder, check_acceptable
from gateway.upstream import asking
from services.kit.errors import DomainError, Unavailable
from services.kit.rpc.method import ContractError

EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT: Final = "Last-Event-ID"

_RETRY: Final = b"retry: 2000\n\n"
_HEARTBEAT: Final = b": heartbeat\n\n"
_DRAINING: Final = b": draining, connect again\n\n"
_END: Final = b"event: end\ndata: {}\n\n"
_RESET: Final = b"event: reset\n"
_GONE: Final = "EVENTS_GONE"
_FIRST_MESSAGE_S: Final = 10.0
_AFTER: Final = "after_sequence"

Key = tuple[str, bytes, str]  # method, request without its place in the stream, and whose it is


class EventStreams:
    """The event streams of this process and the feeds they share."""

    def __init__(self, transcoder: Transcoder, config: Config) -> None:
        """Read requests and call upstream through the transcoder."""
        self.transcoder = transcoder
        self.config = config
        self.draining = False
        self._shared: dict[Key, Feed] = {}
        self._all: set[Feed] = set()
        self._streams = 0

    def handler(self, binding: Binding) -> Handler:
        """Return the aiohttp handler of a server-streaming method; ContractError when it cannot be resumed."""
        method = binding.method
        for cls, name in ((method.request_type, _AFTER), (method.response_type, "sequence")):
            if name not in shape_of(cls).fields_by_name:
                raise ContractError(f"{method.path} streams without {name}")
        self.transcoder.codec.prepare(method.response_type)
        stub = self.transcoder.stub(binding)

        async def handle(http: web.Request) -> web.StreamResponse:
            check_acceptable(http, EVENT_STREAM)
            if self._streams >= self.config.streams_most or self.draining:
                raise Unavailable("no more event streams can be opened here", retry_after_s=2)
            self._streams += 1
            http[STREAM] = True
            try:
                return await self._serve(_Reader(self, binding, stub), http)
            finally:
                self._streams -= 1

        return handle

    async def drain(self) -> None:
        """Let every stream say so and end, for its client to go on at another gateway."""
        self.draining = True
        for feed in tuple(self._all):
            feed.wake()

    def shared(self, key: Key, sequence: int) -> Feed | None:
        """Return the resource's shared feed when it has everything after the sequence."""
        feed = self._shared.get(key)
        return feed if feed is not None and feed.error is None and feed.covers(sequence) else None

    def join(self, key: Key, feed: Feed) -> None:
        """Count a reader in; the first feed of a resource becomes the shared one."""
        feed.readers += 1
        self._all.add(feed)
        present = self._shared.get(key)
        if present is None or present.error is not None:
            self._shared[key] = feed

    async def leave(self, key: Key, feed: Feed) -> None:
        """Count a reader out; nobody pays for a feed that nobody reads."""
        feed.readers -= 1
        if not feed.readers:
            self._all.discard(feed)
            if self._shared.get(key) is feed:
                del self._shared[key]
            await feed.close()

    async def _serve(self, reader: "_Reader", http: web.Request) -> web.StreamResponse:
        await reader.read(http)
        snapshot = await reader.open()
        try:
            response = web.StreamResponse(
                headers={
                    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
                    "Cache-Control": "no-cache, no-transform",
                    "X-Accel-Buffering": "no",
                }
            )
            await response.prepare(http)
            http[PLACE].leave()
            await reader.follow(http, response, snapshot)
        finally:
            await reader.close()
        return response


class _Reader:
    """One client of one stream: its request, its place, and the feed it reads just now."""

    def __init__(self, streams: EventStreams, binding: Binding, stub: Any) -> None:
        self._streams = streams
        self._binding = binding
        self._stub = stub
        self._feed: Feed | None = None
        self._retellings = 0

    async def read(self, http: web.Request) -> None:
        """Read the request and the place to go on at; a resume header wins over the query."""
        token = http.query.get(TOKEN_PARAMETER, "")
        skip = frozenset({TOKEN_PARAMETER})
        self._http = http
        self._metadata = metadata_of(http, token=token)
        self._request = await self._streams.transcoder.read(http, self._binding, skip=skip)
        self._cursor = self._request.after_sequence
        last = http.headers.get(LAST_EVENT)
        if last:
            field = shape_of(self._request).fields_by_name[_AFTER]
            self._cursor = read_text(field, last.strip(), LAST_EVENT)
        self._request.ClearField(_AFTER)
        # Of a caller's own things the request says nothing, and it would be the same bytes for everybody.
        names_something = set(shape_of(self._request).fields_by_name) - {_AFTER}
        whose = "" if names_something else dict(self._metadata).get("authorization", "")
        self._key: Key = (self._binding.method.path, self._request.SerializeToString(deterministic=True), whose)

    async def open(self) -> bytes:
        """Ask upstream as the client, join a feed, and return the snapshot as an event."""
        try:
            return await self._open()
        except DomainError as error:
            if error.reason != _GONE or not self._cursor:
                raise
            # A browser cannot read a refusal and would ask for the same place for ever: it is told to forget what it
            # has, and is given everything there is.
            self._cursor = 0
            body = orjson.dumps(failure_body(error, self._http[CALLER]))
            return _RESET + b"data: " + body + b"\n\n" + await self._open()

    async def _open(self) -> bytes:
        self._request.after_sequence = self._cursor
        call = self._stub(self._request, metadata=self._metadata)
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_S):
                with asking(self._binding.service):
                    first = await call.read()
        except BaseException:
            call.cancel()
            raise
        if first is grpc.aio.EOF:
            raise DomainError("the stream ended before its first message")
        # A stream asked for without a place says itself where it begins.
        self._cursor = max(self._cursor, first.sequence)
        feed = self._streams.shared(self._key, first.sequence)
        if feed is None:
            feed = Feed(call, first.sequence, lambda message: self._event("change", message))
        else:
            call.cancel()
        self._streams.join(self._key, feed)
        self._feed, self._retellings = feed, feed.retellings
        # A log that has been shortened begins later than it was asked for.
        self._cursor = max(self._cursor, first.sequence)
        return self._event("snapshot", first)

    async def follow(self, http: web.Request, response: web.StreamResponse, snapshot: bytes) -> None:
        """Write the snapshot and every event after it, until the stream or the time for it is over."""
        loop, config = asyncio.get_running_loop(), self._streams.config
        deadline = loop.time() + config.stream_longest_s
        chunk: bytes | None = _RETRY + snapshot
        while chunk is not None:
            try:
                async with asyncio.timeout(config.stream_stall_s):
                    if chunk:
                        await response.write(chunk)
            except TimeoutError:
                # Whoever does not read for so long is gone, or holds memory for nothing.
                if http.transport is not None:
                    http.transport.abort()
                return
            if self._streams.draining or loop.time() > deadline:
                await response.write(_DRAINING)
                return
            try:
                chunk = await self._next()
            except Exception as error:  # noqa: BLE001  # the answer has begun: it can only be told inside
                body = orjson.dumps(failure_body(told_as(error, http), http[CALLER]))
                await response.write(b"event: error\ndata: " + body + b"\n\n")
                return
        await response.write(_END)

    async def close(self) -> None:
        """Leave the feed."""
        feed, self._feed = self._feed, None
        if feed is not None:
            await self._streams.leave(self._key, feed)

    async def _next(self) -> bytes | None:
        """Return the next bytes: a heartbeat after a silence, none when draining, None after the last event."""
        while True:
            feed = self._feed
            assert feed is not None
            if not feed.covers(self._cursor):
                # A reader that was slow fell out of the window and goes on with a call of its own.
                await self.close()
                again = await self.open()
                if again.startswith(_RESET):
                    return again
                continue
            shared = self._streams.shared(self._key, self._cursor)
            if shared is not None and shared is not feed:
                self._streams.join(self._key, shared)
                self._feed, self._retellings = shared, shared.retellings
                await self._streams.leave(self._key, feed)
                continue
            news = self._news(feed)
            if news:
                return news
            if feed.error is not None:
                raise feed.error
            if feed.ended:
                return None
            if self._streams.draining:
                return b""
            if not await feed.wait(self._streams.config.stream_heartbeat_s):
                return _HEARTBEAT

    def _news(self, feed: Feed) -> bytes:
        """Return the events that the client has not had yet, or the state as it was told again, or nothing."""
        events = feed.after(self._cursor)
        if not events and feed.retellings == self._retellings:
            return b""
        self._retellings = feed.retellings
        if not events:
            return feed.retold
        self._cursor = events[-1][0]
        return b"".join(event for _, event in events)

    def _event(self, name: str, message: Any) -> bytes:
        data = orjson.dumps(self._streams.transcoder.codec.encode(message))
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (message.sequence, name.encode(), data)
