"""Server streams over HTTP, for every Watch method: as server-sent events, lines of JSON, or one JSON array.

The client's `Accept` chooses (`gateway.forms` says how each is written); the events are the same. Silence is broken
by heartbeats, the end is told by an event `end`, a failure after the first byte by an event `error` whose data is the
error envelope; before the first byte errors have their true status. A place in the log that is not kept any more is
answered by an event `reset`, and then by a new beginning. A client goes on with `Last-Event-ID` or
`?after_sequence=`; an EventSource, which cannot send headers, may bring its token as `?access_token=`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.accept import choose
from gateway.admission import PLACE
from gateway.caller import TOKEN_PARAMETER, metadata_of
from gateway.config import Config
from gateway.feed import Feeds
from gateway.forms import FORMS, OFFERS
from gateway.observe import STREAM
from gateway.query import read_text
from gateway.reader import AFTER, Reader, Reading, Source
from gateway.routes import Binding
from gateway.shapes import shape_of
from gateway.transcode import Transcoder
from services.kit.errors import Unavailable
from services.kit.rpc.method import ContractError

LAST_EVENT: Final = "Last-Event-ID"


class EventStreams:
    """The event streams of this process."""

    def __init__(self, transcoder: Transcoder, config: Config) -> None:
        """Read requests and call upstream through the transcoder."""
        self.transcoder = transcoder
        self.config = config
        self.reading = Reading(Feeds(), transcoder.codec, config)
        self.sources: list[Source] = []
        self._open = 0

    def handler(self, binding: Binding) -> Handler:
        """Return the aiohttp handler of a server-streaming method; ContractError when it cannot be resumed."""
        method = binding.method
        for cls, name in ((method.request_type, AFTER), (method.response_type, "sequence")):
            if name not in shape_of(cls).fields_by_name:
                raise ContractError(f"{method.path} streams without {name}")
        self.transcoder.codec.prepare(method.response_type)
        source = Source(binding, self.transcoder.stub(binding))
        self.sources.append(source)

        async def handle(http: web.Request) -> web.StreamResponse:
            kind = choose(http, OFFERS)
            with self.counted():
                http[STREAM] = True
                return await self._serve(source, http, kind)

        return handle

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count one more open stream inside; SERVICE_UNAVAILABLE when the process holds all it can."""
        if self._open >= self.config.streams_most or self.reading.feeds.draining:
            raise Unavailable("no more event streams can be opened here", retry_after_s=2)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    async def drain(self) -> None:
        """Let every stream say so and end, for its client to go on at another gateway."""
        self.reading.feeds.drain()

    async def _serve(self, source: Source, http: web.Request, kind: str) -> web.StreamResponse:
        form = FORMS[kind]
        reader = await self._reader(source, http)
        lines = await reader.open()
        try:
            response = web.StreamResponse(
                headers={
                    "Content-Type": f"{kind}; charset=utf-8",
                    "Cache-Control": "no-cache, no-transform",
                    "X-Accel-Buffering": "no",
                }
            )
            await response.prepare(http)
            http[PLACE].leave()
            taken = await self._write(http, response, form.opening(lines))
            async with aclosing(reader.follow()) as news:
                async for more in news:
                    taken = taken and await self._write(http, response, form.going_on(more))
                    if not taken:
                        break
            if taken:
                await self._write(http, response, form.after)
        finally:
            await reader.close()
        return response

    async def _reader(self, source: Source, http: web.Request) -> Reader:
        """Read the request and the place to go on at; a resume header wins over the query."""
        metadata = metadata_of(http, token=http.query.get(TOKEN_PARAMETER, ""))
        request = await self.transcoder.read(http, source.binding, http.match_info, skip=frozenset({TOKEN_PARAMETER}))
        cursor = request.after_sequence
        last = http.headers.get(LAST_EVENT)
        if last:
            cursor = read_text(shape_of(request).fields_by_name[AFTER], last.strip(), LAST_EVENT)
        reader = Reader(source, self.reading, http=http, metadata=metadata)
        reader.begin_at(request, cursor)
        return reader

    async def _write(self, http: web.Request, response: web.StreamResponse, chunk: bytes) -> bool:
        """Send the bytes; return False, the connection cut, when the client has not read for too long."""
        if not chunk:
            return True
        try:
            async with asyncio.timeout(self.config.stream_stall_s):
                await response.write(chunk)
        except TimeoutError:
            # Whoever does not read for so long is gone, or holds memory for nothing.
            if http.transport is not None:
                http.transport.abort()
            return False
        return True
