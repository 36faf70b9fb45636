"""One direction of a stream inside the process: bounded, closable from either end."""

import asyncio
from collections import deque
from typing import Any, Final

import grpc.aio

# About what HTTP/2 flow control lets a writer run ahead of its reader with small messages.
_MOST_WAITING: Final = 16


class Pipe:
    """Messages on their way. A writer waits while the pipe is full, a reader while it is empty."""

    __slots__ = ("_closed", "_messages", "_readable", "_writable")

    def __init__(self) -> None:
        self._messages: deque[Any] = deque()
        self._closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def put(self, message: Any) -> bool:
        """Add a message; return False when the pipe is closed and the message is lost."""
        while len(self._messages) >= _MOST_WAITING and not self._closed:
            self._writable.clear()
            await self._writable.wait()
        if self._closed:
            return False
        self._messages.append(message)
        self._readable.set()
        return True

    async def get(self) -> Any:
        """Return the next message, or grpc.aio.EOF when the pipe is closed and empty."""
        while not self._messages:
            if self._closed:
                return grpc.aio.EOF
            self._readable.clear()
            await self._readable.wait()
        message = self._messages.popleft()
        self._writable.set()
        return message

    def close(self) -> None:
        """Take no more messages; those inside can still be read."""
        self._closed = True
        self._readable.set()
        self._writable.set()

    def discard(self) -> None:
        """Close the pipe and throw away what is inside."""
        self._messages.clear()
        self.close()
