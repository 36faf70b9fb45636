"""One client of one stream: what it asked, the place it has come to, and the feed it reads just now.

Every client first opens the stream upstream with its own token: that is the ownership check and gives the present
state. Once it is where the shared feed of the resource is, it drops its own call and reads the shared one
(decision 30). A request that names no resource is about its caller alone, and its feed is shared with no other token.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final

import grpc.aio
import orjson
from aiohttp import web

from gateway.caller import CALLER
from gateway.codec import Codec
from gateway.config import Config
from gateway.envelope import failure_body, told_as
from gateway.feed import Feed, Feeds, Key
from gateway.forms import DRAINING, END, HEARTBEAT, Line
from gateway.routes import Binding
from gateway.shapes import shape_of
from gateway.upstream import asking
from services.kit.errors import DomainError

AFTER: Final = "after_sequence"

_GONE: Final = "EVENTS_GONE"
_FIRST_MESSAGE_S: Final = 10.0

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A stream that can be read: its route and the call that opens it."""

    binding: Binding
    stub: Any


@dataclass(frozen=True, slots=True)
class Reading:
    """What every reader of this process works with."""

    feeds: Feeds
    codec: Codec
    config: Config


class Reader:
    """Reads one stream for one client."""

    def __init__(self, source: Source, reading: Reading, *, http: web.Request, metadata: Metadata) -> None:
        """Read on behalf of whom the metadata names; `http` is what errors are told to."""
        self._source = source
        self._feeds = reading.feeds
        self._codec = reading.codec
        self._config = reading.config
        self._http = http
        self._metadata = metadata
        self._feed: Feed | None = None
        self._retellings = 0

    def begin_at(self, request: Any, cursor: int) -> None:
        """Ask this request, for what comes after the cursor."""
        self._request, self._cursor = request, cursor
        request.ClearField(AFTER)
        # Of a caller's own things the request says nothing, and it would be the same bytes for everybody.
        names_something = set(shape_of(request).fields_by_name) - {AFTER}
        whose = "" if names_something else dict(self._metadata).get("authorization", "")
        path = self._source.binding.method.path
        self._key: Key = (path, request.SerializeToString(deterministic=True), whose)

    async def open(self) -> list[Line]:
        """Ask upstream as the client, join a feed, and return the snapshot, after a reset when the place is gone."""
        try:
            return [await self._open()]
        except DomainError as error:
            if error.reason != _GONE or not self._cursor:
                raise
            # A browser cannot read a refusal and would ask for the same place for ever: it is told to forget what it
            # has, and is given everything there is.
            self._cursor = 0
            return [Line("reset", data=self._told(error)), await self._open()]

    async def follow(self) -> AsyncGenerator[list[Line], None]:
        """Yield the events after the snapshot until the stream or the time for it is over, and how it ended.

        An error is an event like any other: the answer has begun, and it can only be told inside.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._config.stream_longest_s
        while not self._feeds.draining and loop.time() <= deadline:
            try:
                lines = await self._next()
            except Exception as error:  # noqa: BLE001  # whatever it is, the client is told
                yield [Line("error", data=self._told(told_as(error, self._http)))]
                return
            if lines is None:
                yield [END]
                return
            yield lines
        yield [DRAINING]

    async def close(self) -> None:
        """Leave the feed."""
        feed, self._feed = self._feed, None
        if feed is not None:
            await self._feeds.leave(self._key, feed)

    def _told(self, error: DomainError) -> bytes:
        return orjson.dumps(failure_body(error, self._http[CALLER]))

    async def _open(self) -> Line:
        self._request.after_sequence = self._cursor
        call = self._source.stub(self._request, metadata=self._metadata)
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_S):
                with asking(self._source.binding.service):
                    first = await call.read()
        except BaseException:
            call.cancel()
            raise
        if first is grpc.aio.EOF:
            raise DomainError("the stream ended before its first message")
        # A stream asked for without a place says itself where it begins.
        self._cursor = max(self._cursor, first.sequence)
        feed = self._feeds.shared(self._key, first.sequence)
        if feed is None:
            feed = Feed(call, first.sequence, lambda message: self._line("change", message))
        else:
            call.cancel()
        self._feeds.join(self._key, feed)
        self._feed, self._retellings = feed, feed.retellings
        # A log that has been shortened begins later than it was asked for.
        self._cursor = max(self._cursor, first.sequence)
        return self._line("snapshot", first)

    async def _next(self) -> list[Line] | None:
        """Return the next events: a heartbeat after a silence, none when draining, None after the last event."""
        while True:
            feed = self._feed
            assert feed is not None
            if not feed.covers(self._cursor):
                # A reader that was slow fell out of the window and goes on with a call of its own.
                await self.close()
                again = await self.open()
                if again[0].name == "reset":
                    return again
                continue
            shared = self._feeds.shared(self._key, self._cursor)
            if shared is not None and shared is not feed:
                self._feeds.join(self._key, shared)
                self._feed, self._retellings = shared, shared.retellings
                await self._feeds.leave(self._key, feed)
                continue
            news = self._news(feed)
            if news:
                return news
            if feed.error is not None:
                raise feed.error
            if feed.ended:
                return None
            if self._feeds.draining:
                return []
            if not await feed.wait(self._config.stream_heartbeat_s):
                return [HEARTBEAT]

    def _news(self, feed: Feed) -> list[Line]:
        """Return the events that the client has not had yet, or the state as it was told again, or nothing."""
        events = feed.after(self._cursor)
        if not events and feed.retellings == self._retellings:
            return []
        self._retellings = feed.retellings
        if not events:
            return [feed.retold]
        self._cursor = events[-1].sequence or 0
        return events

    def _line(self, name: str, message: Any) -> Line:
        return Line(name, message.sequence, orjson.dumps(self._codec.encode(message)))
