"""What is told to other processes about a job: that it is due, and that its log has grown.

Nothing depends on a signal that arrives: rows are swept and logs are polled as well.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from redis.asyncio import Redis

from services.kit.jobs.job import Job
from services.kit.jobs.pointers import Pointers
from services.kit.jobs.store import Due
from services.kit.jobs.wakes import Wakes


class Signals(Protocol):
    """The way to the workers and to the readers of logs."""

    async def push(self, job: Job, queue: str) -> None:
        """Tell the workers of the queue of a job that is due; raises RedisError or OSError when it cannot."""
        ...

    async def pushed(self, queue: str) -> int:
        """Return how many jobs the workers of the queue have been told of and not taken yet; raises as `push`."""
        ...

    async def push_missing(self, service: str, queue: str, due: AsyncIterator[Sequence[Due]]) -> int:
        """Return of how many of the due jobs the workers did not know and know now; raises as `push`."""
        ...

    async def wake(self, job_id: str) -> None:
        """Tell every listener of the job that there is something to read; never raises."""
        ...

    def listen(self, job_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Return a context whose event is set at each wake of the job; raises Unavailable when there are too many."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


class RedisSignals:
    """Signals through Redis: pointers in RQ's queues, wakes by publishing."""

    def __init__(self, redis: Redis) -> None:
        """Speak to the server of this client; nothing connects yet."""
        self._pointers = Pointers(redis)
        self._wakes = Wakes(redis)

    async def push(self, job: Job, queue: str) -> None:
        """Put a pointer at the end of the queue unless it waits there already."""
        await self._pointers.push(job, queue)

    async def pushed(self, queue: str) -> int:
        """Return the length of the queue in RQ."""
        return await self._pointers.count(queue)

    async def push_missing(self, service: str, queue: str, due: AsyncIterator[Sequence[Due]]) -> int:
        """Put the pointers that the queue lacks at its end, many in one round trip."""
        return await self._pointers.push_missing(service, queue, due)

    async def wake(self, job_id: str) -> None:
        """Publish the wake, or give up within half a second."""
        await self._wakes.wake(job_id)

    def listen(self, job_id: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """Return a context whose event is set at each wake of the job."""
        return self._wakes.listen(job_id)

    def close(self) -> None:
        """Do nothing: the client belongs to whoever made it."""
