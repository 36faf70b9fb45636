"""Sends webhooks in the background: as many at once as there are slots, looking for more whenever one is free."""

import asyncio
import logging
from typing import Final

from services.composer.domain.webhook import Claim
from services.composer.usecases.webhook_delivery import Deliveries

_log = logging.getLogger(__name__)

SLOTS: Final = 64
_POLL_S: Final = 1.0
_PURGE_EVERY_S: Final = 600.0


class Deliverer:
    """One sender; any number of them may work on the same queue."""

    def __init__(self, deliveries: Deliveries, *, slots: int = SLOTS) -> None:
        """Send at most *slots* deliveries at the same time."""
        self._deliveries = deliveries
        self._slots = slots
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()

    def kick(self) -> None:
        """Look for work now instead of at the next tick."""
        self._woken.set()

    async def run(self) -> None:
        """Send for ever, also through outages of the database; ends by cancellation."""
        loop = asyncio.get_running_loop()
        purge_at = loop.time() + _PURGE_EVERY_S
        try:
            while True:
                self._woken.clear()
                try:
                    await self._start_what_is_due()
                    if loop.time() > purge_at:
                        purge_at = loop.time() + _PURGE_EVERY_S
                        await self._deliveries.purge()
                except Exception as error:  # noqa: BLE001  # the loop must outlive every fault
                    _log.warning("webhooks wait: %r", error)
                    await asyncio.sleep(_POLL_S)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._sending:
                task.cancel()
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def drain(self) -> None:
        """Send until nothing is due any more."""
        while await self._start_what_is_due() or self._sending:
            await asyncio.wait(set(self._sending), return_when=asyncio.FIRST_COMPLETED)

    async def _start_what_is_due(self) -> int:
        """Return how many deliveries were begun."""
        free = self._slots - len(self._sending)
        claims = await self._deliveries.claim(free) if free > 0 else ()
        for claim in claims:
            task = asyncio.create_task(self._send(claim), name="webhook delivery")
            self._sending.add(task)
            task.add_done_callback(self._freed)
        return len(claims)

    async def _send(self, claim: Claim) -> None:
        try:
            await self._deliveries.send(claim)
        except Exception as error:  # noqa: BLE001  # its lease ends by itself, then it is sent again
            _log.warning("the outcome of a webhook is not written: %r", error)

    def _freed(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._woken.set()
