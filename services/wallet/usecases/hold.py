"""The dates of holds: moved by whoever made them, kept by a sweeper that gives overdue credits back.

Any number of processes may sweep; a hold expires once, under its lock and under its own id.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import DomainError, NotFound, ParamInvalid
from services.wallet.domain.credit import Hold, require_open
from services.wallet.storage import hold as storage
from services.wallet.usecases.credit import Credits
from services.wallet.usecases.terms import Terms

_log = logging.getLogger(__name__)

_BATCH = 100


class Holds:
    """The holds of all users as time passes."""

    def __init__(
        self,
        db: Database,
        credits_: Credits,
        clock: Clock,
        *,
        terms: Terms,
        changed: Callable[[str], None],
        interval_s: float = 5.0,
    ) -> None:
        """Keep the collaborators; `changed` hears of every user whose balance a sweep has changed."""
        self._db = db
        self._credits = credits_
        self._clock = clock
        self._terms = terms
        self._changed = changed
        self._interval_s = interval_s

    async def extend(self, hold_id: str, expire_time: datetime) -> Hold:
        """Return an open hold that expires then, or later if it did already: dates only move forwards.

        Raises NotFound, HoldClosed, ParamInvalid for a date that lies too far behind the making of the hold.
        """
        async with self._db.transaction() as tx:
            found = await storage.lock(tx, hold_id)
            if found is None:
                raise NotFound("there is no such hold", hold_id=hold_id)
            require_open(found.hold)
            if expire_time > found.create_time + self._terms.hold_longest:
                most = f"{self._terms.hold_longest.total_seconds():.0f} seconds"
                raise ParamInvalid.of("expire_time", f"must lie at most {most} behind the making of the hold")
            if found.hold.expire_time is not None and expire_time <= found.hold.expire_time:
                return found.hold
            await storage.extend(tx, hold_id, expire_time)
            return replace(found.hold, expire_time=expire_time)

    async def sweep(self) -> int:
        """Return how many overdue holds were looked at; each that was still open has expired."""
        async with self._db.transaction() as tx:
            overdue = await storage.due(tx, self._clock(), most=_BATCH)
        for hold_id in overdue:
            try:
                answer = await self._credits.expire(hold_id=hold_id)
            except DomainError as error:
                # Settled, released or extended between the two looks.
                _log.info("hold %s did not expire: %s", hold_id, error.reason)
                continue
            if answer.hold is not None:
                _log.warning("hold %s expired: %d credits went back", hold_id, answer.hold.amount)
                self._changed(answer.hold.user_id)
        return len(overdue)

    async def run(self) -> None:
        """Sweep for ever, also through outages; ends by cancellation."""
        while True:
            try:
                if await self.sweep() == _BATCH:
                    continue
            except Exception as error:  # noqa: BLE001  # the loop must outlive every fault
                _log.warning("the sweeper of holds waits: %r", error)
            await asyncio.sleep(self._interval_s)
