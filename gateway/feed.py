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

from services.kit.ending import end

MOST_EVENTS: Final = 256

Render = Callable[[Any], bytes]


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
        self.retold: bytes = b""
        self.retellings = 0
        self._last = base
        self._events: deque[tuple[int, bytes]] = deque()
        self._changed = asyncio.Event()
        self._pump = asyncio.get_running_loop().create_task(self._read())

    def covers(self, sequence: int) -> bool:
        """Return whether every event after the sequence is or will be here."""
        return self.base <= sequence

    def after(self, sequence: int) -> list[tuple[int, bytes]]:
        """Return the events here with a higher sequence, in order."""
        if not self._events or self._events[-1][0] <= sequence:
            return []
        return [event for event in self._events if event[0] > sequence]

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
                self._events.append((message.sequence, self._render(message)))
                if len(self._events) > MOST_EVENTS:
                    self.base = self._events.popleft()[0]
                self.wake()
        except Exception as error:  # noqa: BLE001  # every reader is told, in its own envelope
            self.error = error
        finally:
            self.ended = True
            self.wake()
