"""The places of a worker: how many of its jobs work at the same time, and how many more may only wait.

A job that works needs memory and a core; one that waits until somebody else has done its part needs neither, so it
may leave its place to the next job and ask for one again when there is something to do.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Places:
    """So many places to work, and a bound on how many jobs wait aside."""

    def __init__(self, working: int, *, waiting: int = 0) -> None:
        """Let *working* jobs work at once and *waiting* more be aside; belongs to the loop that uses it."""
        self._most = working
        self._most_aside = waiting
        self._back: deque[asyncio.Future[None]] = deque()
        self._room = asyncio.Event()
        self._room.set()
        self.working = 0
        self.aside = 0

    async def room(self) -> None:
        """Return as soon as one more job may be looked for.

        The place is not taken by looking: a job that comes back meanwhile has it, and the one that is found in that
        moment works beside it, so that one more than the bound may work for a while.
        """
        await self._room.wait()

    def enter(self) -> Place:
        """Return the place of a job that begins now."""
        self._count(1)
        return Place(self)

    def may_step_aside(self) -> bool:
        """Return whether one more job may wait without a place."""
        return self.aside < self._most_aside

    def leave(self) -> None:
        """Let one job less work; the first one that waits to come back takes over its place."""
        while self._back and self.working <= self._most:
            waiter = self._back.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._count(-1)

    async def enter_again(self) -> None:
        """Return when a job that was aside may work again; those that come back go before new ones."""
        if self.working < self._most:
            self._count(1)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._back.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                # The place had just been handed on to us.
                self.leave()
            else:
                with suppress(ValueError):
                    self._back.remove(waiter)
            raise

    def _count(self, change: int) -> None:
        self.working += change
        if self.working < self._most:
            self._room.set()
        else:
            self._room.clear()


class Place:
    """One job's place, from its beginning until it is left."""

    def __init__(self, places: Places) -> None:
        """Stand for one entered place of *places*."""
        self._places = places
        self._held = True

    def leave(self) -> None:
        """Give the place back for good, if it is held; it is not while its job waits aside."""
        if self._held:
            self._held = False
            self._places.leave()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Let another job have the place inside of the block, as far as the bound allows; it is taken again after it.

        A block that ends with an exception does not wait for a place: its job is about to end.
        """
        places = self._places
        if not self._held or not places.may_step_aside():
            yield
            return
        self._held = False
        places.aside += 1
        places.leave()
        try:
            yield
        finally:
            places.aside -= 1
        await places.enter_again()
        self._held = True
