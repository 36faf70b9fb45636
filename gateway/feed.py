"""One upstream subscription and the newest of its events, rendered once for every reader.

A reader has no queue of its own, only the sequence it has come to: a slow reader costs nothing,
and one that falls out of the window asks upstream again from where it is.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import grpc.aio

from gateway.forms import Line
from services.kit.ending import end

MOST_EVENTS: Final = 256

Render = Callable[[Any], Line]
Key = tuple[str, bytes, str]  # method, request without its place in the stream, and whose it is


class Feed:
    """The events after `base`, read from one gRPC stream by one task."""

    def __init__(self, call: Any, base: int, render: Render) -> None:
        """Go on reading a call whose first message, the snapshot at `base`, has been read."""
        self.base = base
        self.readers = 0
        self.ended = False
        self.error: BaseException | None = None
        self._call = call
        self._render = render
        # The resource as it stands, told again without a new sequence; only the newest counts.
        self.retold = Line("change")
        self.retellings = 0
        self._last = base
        self._events: deque[Line] = deque()
        self._changed = asyncio.Event()
        self._pump = asyncio.get_running_loop().create_task(self._read())

    def covers(self, sequence: int) -> bool:
        """Return whether every event after the sequence is or will be here."""
        return self.base <= sequence

    def after(self, sequence: int) -> list[Line]:
        """Return the events here with a higher sequence, in order."""
        if self._last <= sequence:
            return []
        return [event for event in self._events if (event.sequence or 0) > sequence]

    async def wait(self, seconds: float) -> bool:
        """Wait for a change; return False when nothing came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
                return True
        return False

    def wake(self) -> None:
        """Let every waiting reader look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Cancel the upstream call."""
        self._call.cancel()
        await end([self._pump])

    async def _read(self) -> None:
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                if message.sequence <= self._last:
                    self.retold, self.retellings = self._render(message), self.retellings + 1
                    self.wake()
                    continue
                self._last = message.sequence
                self._events.append(self._render(message))
                if len(self._events) > MOST_EVENTS:
                    self.base = self._events.popleft().sequence or 0
                self.wake()
        except Exception as error:  # noqa: BLE001  # every reader is told, in its own envelope
            self.error = error
        finally:
            self.ended = True
            self.wake()


class Feeds:
    """Which feeds are open, and the one of each resource that its readers share."""

    def __init__(self) -> None:
        """Start with none."""
        self.drained = asyncio.Event()
        self._shared: dict[Key, Feed] = {}
        self._all: set[Feed] = set()

    @property
    def draining(self) -> bool:
        """Return whether every reader is to end."""
        return self.drained.is_set()

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

    def drain(self) -> None:
        """Let every reader say so and end, for its client to go on at another gateway."""
        self.drained.set()
        for feed in tuple(self._all):
            feed.wake()
