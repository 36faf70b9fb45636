"""Redis as our code uses it, with everything that may go wrong: pointers to jobs, and wakes for watchers."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from redis.exceptions import ConnectionError as RedisConnectionError

from services.composer.usecases.track import MUSIC
from services.kit.jobs.job import Job
from services.kit.jobs.store import Due
from tests.simulate.loop import Process, SimulatedLoop, here, outside


class Broker:
    """The server: one list of pointers, and channels that forget what nobody hears."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self.loop = loop
        self.away = False
        self.lost = 0.0
        self.twice = 0.0
        self.late = 0.0
        self.duplicates = 0
        self.reordered = 0
        self.losses = 0
        self.ears: dict[str, list[tuple[Process, asyncio.Event]]] = {}
        self._roll = chance.random
        self.pointers: deque[str] = deque()
        self._takers: deque[tuple[Process, asyncio.Future[str]]] = deque()

    async def push(self, job_id: str) -> None:
        """Put a pointer into the list, or lose, repeat or delay it; raises ConnectionError while the server is away."""
        await self.answer()
        roll = self._roll()
        if roll < self.lost:
            self.losses += 1
            return
        self._arrive(job_id, is_late=self._roll() < self.late)
        if roll > 1.0 - self.twice:
            self.duplicates += 1
            self._arrive(job_id, is_late=True)

    async def answer(self) -> None:
        """Spend the time of one command."""
        if self.away:
            raise RedisConnectionError("the server is away")
        roll = self._roll()
        if roll > 0.7:
            await asyncio.sleep(0.002 * (roll - 0.7))
            if self.away:
                raise RedisConnectionError("the server went away")

    def _arrive(self, job_id: str, *, is_late: bool) -> None:
        if is_late:
            self.reordered += 1
            self.loop.call_later(8.0 * self._roll() ** 2, self._put, job_id, context=outside())
        else:
            self._put(job_id)

    def _put(self, job_id: str) -> None:
        if self.away:
            self.losses += 1
            return
        while self._takers:
            process, taker = self._takers.popleft()
            if not taker.done():
                if process.alive:
                    taker.set_result(job_id)
                # Handed to somebody who has just died: lost, as between RQ's dequeue and its first note.
                return
        self.pointers.append(job_id)

    async def take(self, wait_s: float) -> bool:
        """Return whether there was a pointer in time; raises ConnectionError while the server is away."""
        await self.answer()
        if self.pointers:
            self.pointers.popleft()
            return True
        if not wait_s:
            return False
        taker: asyncio.Future[str] = self.loop.create_future()
        self._takers.append((here(), taker))
        try:
            async with asyncio.timeout(wait_s):
                await taker
        except TimeoutError:
            taker.cancel()
            if self.away:
                raise RedisConnectionError("the server went away") from None
            return False
        return True

    def flush(self) -> None:
        """Forget everything."""
        self.losses += len(self.pointers)
        self.pointers.clear()

    def wake(self, job_id: str) -> None:
        """Tell those who listen now, and some of them in vain."""
        for process, ear in self.ears.get(job_id, ()):
            if process.alive and self._roll() >= self.lost:
                ear.set()


class MemorySignals:
    """One process's way to the broker; keeps the promises of `services.kit.jobs.signals.Signals`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def push(self, job: Job, _queue: str) -> None:
        """Put the pointer at the queue's end; raises ConnectionError while the server is away."""
        await self._broker.push(job.job_id)

    async def pushed(self, queue: str) -> int:
        """Return how many pointers wait."""
        await self._broker.answer()
        return len(self._broker.pointers) if queue == MUSIC else 0

    async def push_missing(self, _service: str, _queue: str, due: AsyncIterator[Sequence[Due]]) -> int:
        """Put the pointers at the queue's end that it lacks."""
        count = 0
        async for batch in due:
            for each in batch:
                if each.job_id not in self._broker.pointers:
                    await self._broker.push(each.job_id)
                    count += 1
        return count

    async def wake(self, job_id: str) -> None:
        """Tell every listener of the job; never raises."""
        with contextlib.suppress(RedisConnectionError):
            await self._broker.answer()
            self._broker.wake(job_id)

    @asynccontextmanager
    async def listen(self, job_id: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set at each wake of the job."""
        ear = asyncio.Event()
        self._broker.ears.setdefault(job_id, []).append((here(), ear))
        yield ear
        self._broker.ears[job_id].remove((here(), ear))

    def close(self) -> None:
        """Close nothing."""


class MemoryHints:
    """The worker's end of the broker; what `services.kit.jobs.hints.Hints` is to Redis."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker = broker
        self._queue = queue

    async def take(self, wait_s: float) -> str | None:
        """Return the queue that a pointer was taken from; None when none came in time or the server is away."""
        try:
            return self._queue if await self._broker.take(wait_s) else None
        except RedisConnectionError:
            await asyncio.sleep(0.25)
            return None

    def leave(self, _queue: str, _for_s: float) -> None:
        """Refuse: no kind of the simulation is limited."""
        raise AssertionError

    async def drop_stale(self, _queue: str) -> bool:
        """Take further pointers out of a queue that has no due rows; return whether there were any."""
        try:
            await self._broker.answer()
        except RedisConnectionError:
            return False
        there = bool(self._broker.pointers)
        self._broker.pointers.clear()
        return there
