"""Redis as an alarm clock: a message on `job:{job_id}` says that the log has grown.

Whatever else is watched has a topic of its own. The rows are read in any case; without Redis
readers notice a little later. All readers of a process share one subscription, and a server that
is down costs writers next to nothing.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.kit.errors import Unavailable

_log = logging.getLogger(__name__)

_PUBLISH_TIMEOUT_S = 0.5
# A publish that came too late may only mean a busy process: the first rest is short, each further one twice as long.
_FIRST_REST_S = 0.1
_REST_S = 2.0
_READ_S = 1.0
_FAULTS = (RedisError, OSError)


class Wakes:
    """Publishes and hears wakes for one process."""

    def __init__(
        self,
        redis: Redis,
        *,
        topic: str = "job",
        most_listeners: int = 10_000,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use the client for short commands and for one lasting subscription while somebody listens."""
        self._redis = redis
        self._seconds = seconds
        self._topic = topic
        self._most = most_listeners
        self._ears: dict[str, set[asyncio.Event]] = {}
        self._count = 0
        self._pubsub: Any = None
        self._reader: asyncio.Task[None] | None = None
        self._silent_until = 0.0
        self._rest_s = _FIRST_REST_S

    async def wake(self, watched_id: str) -> None:
        """Tell every listener of that id, in any process, or give up within half a second."""
        if self._seconds() < self._silent_until:
            return
        try:
            async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                await self._redis.publish(self._channel(watched_id), b"")
            self._rest_s = _FIRST_REST_S
        except _FAULTS as error:
            # Not one slow try per event: while Redis is away its readers poll anyway.
            self._silent_until = self._seconds() + self._rest_s
            self._rest_s = min(2 * self._rest_s, _REST_S)
            _log.warning("no wakes for a while, redis does not answer: %r", error)

    @asynccontextmanager
    async def listen(self, watched_id: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set at each wake of that id; the listener clears it.

        Raises Unavailable when this process has as many listeners as it may have.
        """
        if self._count >= self._most:
            message = "too many watchers in this process"
            raise Unavailable(message, dependency="watchers")
        ear = asyncio.Event()
        channel = self._channel(watched_id)
        self._count += 1
        ears = self._ears.setdefault(channel, set())
        ears.add(ear)
        try:
            if len(ears) == 1:
                await self._tell_server(channel)
            yield ear
        finally:
            self._count -= 1
            ears.discard(ear)
            if not ears and self._ears.get(channel) is ears:
                del self._ears[channel]
                await self._forget(channel)

    async def _tell_server(self, channel: str) -> None:
        """Subscribe to the channel, or leave it to the reader when the server is away."""
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(), name="job wakes")
        if self._pubsub is not None:
            # The reader may be closing this very connection, over which the client library then stumbles in ways of
            # its own. Whatever it is, the reader subscribes anew, and until then the log is polled.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                    await self._pubsub.subscribe(channel)

    async def _forget(self, channel: str) -> None:
        """Unsubscribe; the last listener also ends the reader and frees the connection."""
        if self._ears:
            if self._pubsub is not None:
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_PUBLISH_TIMEOUT_S):
                        await self._pubsub.unsubscribe(channel)
            return
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            # It also ends by itself once it is replaced, should the cancellation get lost inside the client.
            await asyncio.wait({reader}, timeout=2 * _READ_S)

    async def _read(self) -> None:
        """Hand on what the server says until nobody listens; subscribes again after every fault."""
        me = asyncio.current_task()
        while self._reader is me:
            pubsub: Any = self._redis.pubsub(ignore_subscribe_messages=True)
            try:
                await pubsub.subscribe(*self._ears)
                self._pubsub = pubsub
                # What came while there was no subscription is in the log: look once.
                self._ring_all()
                while self._reader is me:
                    message = await pubsub.get_message(timeout=_READ_S)
                    if message is not None:
                        for ear in self._ears.get(message["channel"], ()):
                            ear.set()
            except Exception as error:  # noqa: BLE001  # listeners count on this task
                _log.info("the subscription to job wakes broke: %r", error)
                await asyncio.sleep(_REST_S)
            finally:
                if self._pubsub is pubsub:
                    self._pubsub = None
                with contextlib.suppress(Exception):
                    await pubsub.aclose()

    def _ring_all(self) -> None:
        """Wake every listener of this process."""
        for ears in self._ears.values():
            for ear in ears:
                ear.set()

    def _channel(self, watched_id: str) -> str:
        return f"{self._topic}:{watched_id}"
