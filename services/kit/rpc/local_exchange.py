"""One call inside the process, between the client's half and the server's half.

Both halves see only this: messages, metadata, one final status. Whoever ends the call first,
ends it for both.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio

from services.kit.rpc.local_pipe import Pipe

Metadata = tuple[tuple[str, str | bytes], ...]
Copier = Callable[[Any], Any]

CANCELLED_TEXT: Final = "Locally cancelled by application!"
EXPIRED_TEXT: Final = "Deadline Exceeded"


class Exchange:
    """The state that the two halves of a call share."""

    def __init__(self, path: str, caller: str, metadata: Metadata, timeout_s: float | None) -> None:
        self.path = path
        self.caller = caller
        self.metadata = metadata
        self._requests: Pipe | None = None
        self._responses: Pipe | None = None
        self.response: Any = None
        self.code: grpc.StatusCode | None = None
        self.details = ""
        self.initial_metadata: Metadata = ()
        self.trailing_metadata: Metadata = ()
        self.locally_cancelled = False
        self.finished = asyncio.Event()
        self._started = False
        self._start: asyncio.Event | None = None
        self.task: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[], object]] = []
        self._loop = asyncio.get_running_loop()
        self.deadline = None if timeout_s is None else self._loop.time() + timeout_s
        self._alarm = None if timeout_s is None else self._loop.call_later(max(timeout_s, 0.0), self._expire)

    @property
    def requests(self) -> Pipe:
        """Return the pipe of a client stream, made at first use since most calls have none."""
        if self._requests is None:
            self._requests = self._pipe()
        return self._requests

    @property
    def responses(self) -> Pipe:
        """Return the pipe of a server stream, made at first use."""
        if self._responses is None:
            self._responses = self._pipe()
        return self._responses

    def _pipe(self) -> Pipe:
        pipe = Pipe()
        if self.code is not None:
            pipe.close()
        return pipe

    async def start(self) -> None:
        """Wait until the server has sent its initial metadata or ended the call."""
        if not self._started:
            self._start = self._start or asyncio.Event()
            await self._start.wait()

    def time_remaining(self) -> float | None:
        """Return the seconds until the client gives up; None when it waits for ever."""
        return None if self.deadline is None else max(self.deadline - self._loop.time(), 0.0)

    def send_initial_metadata(self, metadata: Metadata = ()) -> None:
        """Hand the initial metadata over; only the first time counts."""
        if not self._started:
            self.initial_metadata = metadata
            self._started = True
            if self._start is not None:
                self._start.set()

    def finish(self, code: grpc.StatusCode, details: str = "", trailing: Metadata = ()) -> bool:
        """End the call for both halves; return False when it had ended before."""
        if self.code is not None:
            return False
        self.code, self.details, self.trailing_metadata = code, details, trailing
        if self._alarm is not None:
            self._alarm.cancel()
        self.send_initial_metadata()
        if self._requests is not None:
            self._requests.discard()
        if self._responses is not None:
            self._responses.close()
        self.finished.set()
        for callback in self._callbacks:
            self._loop.call_soon(callback)
        return True

    def on_finish(self, callback: Callable[[], object]) -> None:
        """Call back once the call has ended, at once when it has already."""
        if self.code is None:
            self._callbacks.append(callback)
        else:
            self._loop.call_soon(callback)

    def cancel(self, details: str = CANCELLED_TEXT) -> bool:
        """End the call from the client's side; the handler is cancelled where it stands."""
        return self._abandon(grpc.StatusCode.CANCELLED, details, locally=True)

    def _expire(self) -> None:
        self._abandon(grpc.StatusCode.DEADLINE_EXCEEDED, EXPIRED_TEXT, locally=False)

    def _abandon(self, code: grpc.StatusCode, details: str, *, locally: bool) -> bool:
        if not self.finish(code, details):
            return False
        self.locally_cancelled = locally
        # The client has hung up: what was on its way to it is lost, as on a reset stream.
        if self._responses is not None:
            self._responses.discard()
        if self.task is not None:
            self.task.cancel()
        return True
