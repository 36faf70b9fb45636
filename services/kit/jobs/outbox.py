"""Messages that must arrive because a row was committed: written with it, repeated until done.

Delivery is at least once and in no order, so every receiver is idempotent; the mark that a
message is done is set exactly once, by the dispatcher whose attempt succeeded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.jobs.policy import Policy
from services.kit.jobs.store import Message, OutboxStore, Transactions

_log = logging.getLogger(__name__)

_BATCH = 8
_LEASE_S = 30.0
_HANDLER_TIMEOUT_S = 20.0
_POLL_S = 1.0
_LONGEST_PAUSE_S = 60.0
_KEEP = timedelta(days=7)
_PURGE_EVERY_S = 600.0
_PACE = Policy(kind="outbox", queue="", backoff_s=0.5)

OutboxHandler = Callable[[dict[str, Any]], Awaitable[None]]


class Dispatcher:
    """Sends the messages of one outbox; any number of dispatchers may work on it at once."""

    def __init__(
        self, db: Transactions, store: OutboxStore, handlers: Mapping[str, OutboxHandler], clock: Clock
    ) -> None:
        """Take one handler per topic; messages of other topics are left to others."""
        self._db = db
        self._store = store
        self._handlers = dict(handlers)
        self._clock = clock
        self._kicked = asyncio.Event()

    def kick(self) -> None:
        """Make `run` look now instead of at its next tick."""
        self._kicked.set()

    async def drain(self) -> int:
        """Return how many messages were delivered; ends when nothing more is due.

        A handler's failure is kept with the message, which is due again after a growing pause.
        """
        delivered = 0
        while claims := await self._claim():
            outcomes = await asyncio.gather(*(self._deliver(claim) for claim in claims))
            delivered += sum(outcomes)
        return delivered

    async def run(self) -> None:
        """Deliver for ever, also through outages of the database; ends by cancellation."""
        loop = asyncio.get_running_loop()
        purge_at = loop.time() + _PURGE_EVERY_S
        while True:
            self._kicked.clear()
            try:
                await self.drain()
                if loop.time() > purge_at:
                    purge_at = loop.time() + _PURGE_EVERY_S
                    await self.purge()
            except Exception as error:  # noqa: BLE001  # the loop must outlive every fault
                _log.warning("the outbox waits: %r", error)
                await asyncio.sleep(_POLL_S)
            try:
                async with asyncio.timeout(_POLL_S):
                    await self._kicked.wait()
            except TimeoutError:
                continue

    async def purge(self) -> int:
        """Return how many delivered messages older than a week were removed."""
        async with self._db.transaction() as tx:
            return await self._store.purge(tx, self._clock() - _KEEP)

    async def _claim(self) -> Sequence[Message]:
        """Return messages that are due, held for this dispatcher until their lease ends."""
        at = self._clock()
        until = at + timedelta(seconds=_LEASE_S)
        async with self._db.transaction(Act.OUTBOX_CLAIM) as tx:
            return await self._store.claim(tx, tuple(self._handlers), at=at, until=until, most=_BATCH)

    async def _deliver(self, claim: Message) -> bool:
        """Return whether the handler took the message; the outcome is stored under the claim."""
        failure = ""
        try:
            # Shorter than the lease, so that nobody else begins while this one is still sending.
            async with asyncio.timeout(_HANDLER_TIMEOUT_S):
                await self._handlers[claim.topic](claim.payload)
        except Exception as error:  # noqa: BLE001  # whatever it was, the message is sent again
            failure = repr(error)
            _log.warning("outbox %s attempt %d: %s", claim.topic, claim.attempt, failure)
        at = self._clock()
        async with self._db.transaction(Act.OUTBOX_DONE) as tx:
            if not failure:
                return await self._store.deliver(tx, claim, at)
            pause = timedelta(seconds=min(_PACE.pause_s(min(claim.attempt, 10)), _LONGEST_PAUSE_S))
            await self._store.postpone(tx, claim, until=at + pause, error=failure)
            return False
