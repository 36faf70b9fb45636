"""An event loop whose time is a number: nothing sleeps, and one seed decides who goes first.

Several processes live in the one loop. Inside a process callbacks keep their order, as asyncio
promises; among processes chance decides. A process can be killed between any two callbacks,
which runs none of its handlers and no `finally`, or stopped and continued later, as SIGSTOP does.
"""

import asyncio
import contextlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Virtual seconds at the start; any number does, but zero would hide a forgotten subtraction.
START_S = 1_000.0
_MOST_STEPS = 400_000


class Handle:
    """One callback that waits for its turn, perhaps for its time."""

    __slots__ = ("args", "callback", "context", "gone", "process", "when")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context, when: float) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.process: Process = context.get(_current, _NOBODY)
        self.when = when
        self.gone = False

    def cancel(self) -> None:
        """Make sure that it does not run."""
        self.gone = True

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self.gone


class Process:
    """One life of one simulated process: what it still has to run, and every task it ever made."""

    def __init__(self, name: str, *, skew_s: float = 0.0) -> None:
        self.name = name
        self.skew_s = skew_s
        self.alive = True
        self.stopped = False
        self.ready: deque[Handle] = deque()
        # Kept until the end of the run: a task that is collected would run its `finally` blocks.
        self.tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return self.name


_NOBODY = Process("nobody")
_current: ContextVar[Process] = ContextVar("process", default=_NOBODY)


def here() -> Process:
    """Return the process whose code is running."""
    return _current.get()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def outside() -> Context:
    """Return a context that belongs to no process: what happens in it happens whoever dies."""
    return Context()


class RanTooLong(Exception):
    """The run took more steps than any honest run does: something goes round in circles."""


class SimulatedLoop:
    """Runs callbacks one after the other and jumps over the time in which nothing happens."""

    def __init__(self, chance: Random) -> None:
        self.now = START_S
        self.steps = 0
        self._chance = chance
        self._timers: list[tuple[float, int, Handle]] = []
        self._timer_number = 0
        self._runnable: list[Process] = []
        self._closed = False
        self._halted = False
        self._processes: list[Process] = [_NOBODY]

    def time(self) -> float:
        """Return the virtual seconds."""
        return self.now

    def start(self, process: Process, main: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Return the first task of a new process."""
        self._processes.append(process)
        return self.inside(process, main)

    def inside(self, process: Process, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task that runs in the process, whoever asks for it."""
        context = copy_context()
        context.run(_current.set, process)
        return self.create_task(work, context=context)

    def kill(self, process: Process) -> None:
        """End a process where it stands."""
        process.alive = False
        process.ready.clear()
        if process in self._runnable:
            self._runnable.remove(process)

    def stop_process(self, process: Process) -> None:
        """Let a process rest; what falls due meanwhile waits."""
        process.stopped = True
        if process in self._runnable:
            self._runnable.remove(process)

    def continue_process(self, process: Process) -> None:
        """Let a process go on."""
        if process.alive and process.stopped:
            process.stopped = False
            if process.ready:
                self._runnable.append(process)

    async def pause(self, seconds: float) -> None:
        """Let time pass; cheaper than asyncio.sleep, of which there are thousands in a run."""
        future: asyncio.Future[None] = asyncio.Future(loop=cast(Any, self))
        handle = self.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            handle.gone = True

    def run_until(self, until: float) -> None:
        """Run until `halt` is called, at most up to the given time; raises RanTooLong."""
        asyncio._set_running_loop(cast(Any, self))
        try:
            self._turn(until)
        finally:
            asyncio._set_running_loop(None)

    def halt(self) -> None:
        """End `run_until` after the present step."""
        self._halted = True

    def _turn(self, until: float) -> None:
        runnable, timers, roll = self._runnable, self._timers, self._chance.random
        pop = heapq.heappop
        while not self._halted:
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise RanTooLong
            if runnable:
                at = int(roll() * len(runnable)) if len(runnable) > 1 else 0
                process = runnable[at]
                handle = process.ready.popleft()
                if not process.ready:
                    runnable[at] = runnable[-1]
                    runnable.pop()
                if not handle.gone:
                    handle.context.run(handle.callback, *handle.args)
                continue
            while timers and timers[0][2].gone:
                pop(timers)
            if not timers or timers[0][0] > until:
                self.now = until
                return
            due = timers[0][0]
            self.now = max(self.now, due)
            while timers and timers[0][0] <= due:
                self._ready(pop(timers)[2])

    def _ready(self, handle: Handle) -> None:
        process = handle.process
        if not process.alive or handle.gone or self._closed:
            return
        process.ready.append(handle)
        if len(process.ready) == 1 and not process.stopped:
            self._runnable.append(process)

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        """Return the handle of a callback that is next in its process."""
        handle = Handle(callback, args, copy_context() if context is None else context, self.now)
        self._ready(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        """Do the same: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """Return the handle of a callback that is due after the delay."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        """Return the handle of a callback that is due at the given time."""
        handle = Handle(callback, args, copy_context() if context is None else context, when)
        if handle.process.alive:
            self._timer_number += 1
            heapq.heappush(self._timers, (when, self._timer_number, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=cast(Any, self))

    def create_task(self, coro: Any, *, name: object = None, context: Context | None = None) -> asyncio.Task[Any]:
        """Return a task of the current process, or of the context's."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=cast(Any, self), context=context)
        process = here() if context is None else context.get(_current, _NOBODY)
        process.tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Return that nobody debugs."""
        return False

    def is_running(self) -> bool:
        """Return whether callbacks may still be called."""
        return not self._closed

    def is_closed(self) -> bool:
        """Return whether the run is over."""
        return self._closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep quiet: killed tasks end as they must, and errors that matter are caught where they arise."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep quiet likewise."""

    def close(self) -> None:
        """End every process and take its coroutines apart, in order, so that nothing is left for the collector."""
        self._closed = True
        self._timers.clear()
        self._runnable.clear()
        for process in self._processes:
            process.alive = process is _NOBODY
            process.ready.clear()
        for task in self._all_tasks():
            if not task.done():
                coroutine: Any = task.get_coro()
                with contextlib.suppress(BaseException):
                    coroutine.close()
        for process in self._processes:
            process.tasks.clear()

    def _all_tasks(self) -> Iterator[asyncio.Task[Any]]:
        for process in self._processes:
            yield from list(process.tasks)
