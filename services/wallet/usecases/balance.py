"""Watching a balance: the whole of it first, then every change, from the ledger itself.

Redis only wakes readers. The ledger is read in any case, so without Redis a change arrives a few seconds later.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from services.kit.db.engine import Database
from services.kit.jobs.wakes import Wakes
from services.wallet.domain.audit import Freeze
from services.wallet.domain.balance import Change, Position, changes, versions_at
from services.wallet.storage import audit as audit_storage
from services.wallet.storage import balance as storage

_POLL_S = 5.0
_BATCH = 200
# Changes of one user within this time wake the readers once.
_GATHER_S = 0.02
_MOST_AT_ONCE = 1000


class Balances:
    """The balances of all users as their owners follow them."""

    def __init__(self, db: Database, wakes: Wakes, *, poll_s: float = _POLL_S) -> None:
        """Keep the collaborators; `poll_s` is how long a change may stay unseen when Redis is away."""
        self._db = db
        self._wakes = wakes
        self._poll_s = poll_s
        self._changed: set[str] = set()
        self._some = asyncio.Event()

    async def now(self, user_id: str) -> Position:
        """Return where a user's balance stands."""
        async with self._db.transaction() as tx:
            return await storage.position_now(tx, user_id)

    async def wallet(self, user_id: str) -> tuple[Position, Freeze | None]:
        """Return where a user's balance stands, and the freeze of the wallet if it may not be used."""
        async with self._db.transaction() as tx:
            return await storage.position_now(tx, user_id), await audit_storage.frozen(tx, user_id)

    def changed(self, user_id: str) -> None:
        """Let the readers of a balance look soon; call it after the commit."""
        self._changed.add(user_id)
        self._some.set()

    async def run(self) -> None:
        """Wake the readers of what changed, for ever; a busy account costs one message for many changes."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_S)
            self._some.clear()
            changed, self._changed = self._changed, set()
            # More than that only after a pause of this loop, and then the readers have looked by themselves.
            for user_id in list(changed)[:_MOST_AT_ONCE]:
                await self._wakes.wake(user_id)

    async def watch(self, user_id: str, after_sequence: int) -> AsyncGenerator[tuple[Position, Change | None], None]:
        """Yield the place asked for with the balance as it stands, then every change behind that place, without end.

        No place (0) means from now on. No connection is held while waiting. Raises ParamInvalid for a place that this
        balance has not reached, Unavailable when this process has too many watchers.
        """
        # Listening begins before the first look, so nothing falls between the two.
        async with self._wakes.listen(user_id) as woken:
            at = now = await self.now(user_id)
            if after_sequence:
                user_version, held_version = versions_at(after_sequence, now)
                async with self._db.transaction() as tx:
                    at = await storage.position_then(tx, user_id, user_version=user_version, held_version=held_version)
            yield Position(at.user_version, at.held_version, now.balance), None
            while True:
                woken.clear()
                async with self._db.transaction() as tx:
                    lines = await storage.lines_after(tx, user_id, at, most=_BATCH)
                told = changes(at, lines)
                for change in told:
                    at = change.position
                    yield at, change
                if not told:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await woken.wait()
