"""The process that runs jobs: signals in the main thread, everything asynchronous in another.

RQ's queues only say that there is work. Started by exec and never forked (a process that has used
gRPC must not fork), the process keeps pools, channels, heartbeats, sweepers and dispatchers in the
event loop's thread; the handlers' heavy work runs in threads of its own, so that heartbeats go on.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from redis.exceptions import RedisError

from services.kit.db.outage import is_outage
from services.kit.ending import end
from services.kit.ids import new_id
from services.kit.jobs.hints import Hints, appear
from services.kit.jobs.listener import Listener
from services.kit.jobs.outbox import Dispatcher
from services.kit.jobs.runner import Runner
from services.kit.jobs.sweeper import Sweeper
from services.kit.redis import connect

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 10.0
_GIVE_BACK_S = 2.0
# Everything after the signal together, within the four seconds a supervisor allows.
_LEAVE_S = 3.0
_ROUND_S = 0.5


@dataclass(frozen=True)
class WorkerParts:
    """What one service brings into a worker process."""

    name: str
    runner: Runner
    sweeper: Sweeper
    dispatcher: Dispatcher | None
    queues: tuple[str, ...]


OpenPart = Callable[[], AbstractAsyncContextManager[WorkerParts]]
OpenParts = Callable[[], AbstractAsyncContextManager[Sequence[WorkerParts]]]


def together(*openers: OpenPart) -> OpenParts:
    """Return an opener of several services' parts for one process."""

    @asynccontextmanager
    async def open_all() -> AsyncIterator[Sequence[WorkerParts]]:
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(opener()) for opener in openers]

    return open_all


def work(queues: Sequence[str], parts: OpenParts, redis_url: str, *, places: int = 1, waiting: int = 0) -> None:
    """Run jobs from the queues, in that order of precedence and `places` at once, until SIGTERM or SIGINT.

    Up to `waiting` more are held that only wait for somebody else. Call it from the main thread. It
    waits for PostgreSQL for as long as it is away, and works on without Redis. A job that is running at
    the end is given back; the process then ends within four seconds, if need be without waiting for a
    thread that still computes.
    """
    _Process(parts, queues, redis_url, places, waiting).run()


def perform(service: str, job_id: str) -> None:
    """Refuse to run a job; this is what RQ's pointers name, and a worker of RQ's own is no worker of ours."""
    message = f"job {job_id} of {service} is performed by a process that was started with work()"
    raise RuntimeError(message)


class _Process:
    """The two threads of a worker and the way they stop."""

    def __init__(self, parts: OpenParts, queues: Sequence[str], redis_url: str, places: int, waiting: int) -> None:
        self._parts = parts
        self._queues = queues
        self._redis_url = redis_url
        self._places = places
        self._waiting = waiting
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended = threading.Event()
        self._stopping = threading.Event()
        self._stop_loop = asyncio.Event()
        self._fault: BaseException | None = None

    def run(self) -> None:
        """Work until stopped; raises what kept the services' parts from opening."""
        before = {each: signal.signal(each, self._on_signal) for each in (signal.SIGTERM, signal.SIGINT)}
        thread = threading.Thread(target=self._run_loop, name="jobs", daemon=True)
        thread.start()
        try:
            # In rounds, because not every system interrupts the wait for a signal.
            while not (self._stopping.wait(_ROUND_S) or self._ended.is_set()):
                continue
        finally:
            self._request_stop()
            self._ended.wait(_LEAVE_S)
            for each, handler in before.items():
                signal.signal(each, handler)
        if self._fault is not None:
            raise self._fault
        if not self._ended.is_set() or _still_computing(thread):
            # A thread inside numpy cannot be ended, and its result could not be written any more.
            _log.warning("leaving while a job's thread still computes")
            logging.shutdown()
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(0)

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        """Begin to stop; a second signal ends the process at once."""
        if self._stopping.is_set():
            os._exit(128 + signum)
        self._request_stop()

    def _request_stop(self) -> None:
        self._stopping.set()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop_loop.set)

    def _run_loop(self) -> None:
        """Own the event loop for the life of the process."""
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001  # raised again in the main thread
            self._fault = error
        finally:
            self._ended.set()

    async def _serve(self) -> None:
        """Open the parts, waiting for what is away, and keep them until the process stops."""
        pause_s = 0.5
        while not self._stopping.is_set():
            try:
                async with self._parts() as parts:
                    await self._keep(parts)
            except Exception as error:
                if not (is_outage(error) or isinstance(error, RedisError)) or self._ready.is_set():
                    raise
                _log.warning("the worker waits: %r", error)
            else:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stop_loop.wait()
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _keep(self, parts: Sequence[WorkerParts]) -> None:
        """Listen, sweep and dispatch until the process stops, then give running jobs back."""
        redis = connect(self._redis_url)
        runners = [part.runner for part in parts]
        hints = Hints(redis, self._queues)
        listener = Listener(hints, runners, self._queues, places=self._places, waiting=self._waiting)
        loops = [asyncio.create_task(part.sweeper.run(), name=f"{part.name} sweeper") for part in parts]
        loops += [
            asyncio.create_task(part.dispatcher.run(), name=f"{part.name} outbox")
            for part in parts
            if part.dispatcher is not None
        ]
        loops.append(asyncio.create_task(appear(new_id(), self._queues, self._redis_url), name="appear"))
        listening = asyncio.create_task(listener.run(), name="listener")
        self._ready.set()
        try:
            await self._stop_loop.wait()
            await end([listening])
            await asyncio.gather(*(runner.stop(_GIVE_BACK_S) for runner in runners))
        finally:
            await end([listening, *loops])
            await redis.aclose()


def _still_computing(loop_thread: threading.Thread) -> bool:
    """Return whether a thread is left that would keep the interpreter from ending."""
    mine = {threading.main_thread(), loop_thread, threading.current_thread()}
    return any(not thread.daemon for thread in threading.enumerate() if thread not in mine)
