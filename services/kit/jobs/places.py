"""The places of a worker: how many of its jobs work at the same time, and how many more may only wait.

A job that works needs memory and a core; one that waits until somebody else has done its part needs neither, so it
may leave its place to the next job and ask for one again when there is something to do.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Places:
    """So many places to work, and a bound on how many jobs wait aside."""

    def __init__(self, working: int, *, waiting: int = 0) -> None:
        """Let *working* jobs work at once and *waiting* more be aside; belongs to the loop that uses it first."""
        self.free = asyncio.Semaphore(working)
        self.most_aside = waiting
        self.aside = 0

    async def take(self) -> Place:
        """Return a place as soon as one is free."""
        await self.free.acquire()
        return Place(self)


class Place:
    """One job's place, from the moment it is taken until it is left."""

    def __init__(self, places: Places) -> None:
        """Stand for one acquired place of *places*."""
        self._places = places
        self._held = True

    def leave(self) -> None:
        """Give the place back for good, if it is held; it is not while its job waits aside."""
        if self._held:
            self._held = False
            self._places.free.release()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let another job have the place inside of the block, as far as the bound allows; it is taken again after it.

        A block that ends with an exception does not wait for a place: its job is about to end.
        """
        if not self._held or self._places.aside >= self._places.most_aside:
            yield
            return
        self._held = False
        self._places.aside += 1
        self._places.free.release()
        try:
            yield
        finally:
            self._places.aside -= 1
        await self._places.free.acquire()
        self._held = True
