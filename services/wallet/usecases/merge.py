"""Credits of two users that become one: all of the one go to the other, and back when it is undone.

Both sides of a move are written in one transaction under the locks of both wallets, so that no credit is ever on its
way. What is set aside for running jobs stays where it is until the jobs end; whatever comes back is moved then.
"""

from dataclasses import replace

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.wallet.domain.credit import AccountKind
from services.wallet.storage import merge as storage
from services.wallet.storage.merge import Merge
from services.wallet.usecases.write import lock_both, shift


class Merges:
    """All merges."""

    def __init__(self, db: Database, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._clock = clock

    async def move(self, merge_id: str, *, source: str, target: str) -> tuple[int, int]:
        """Move what the source can spend; return it and what the source still has set aside.

        May be repeated, and moves what has come back since; nothing once the merge was undone.
        """
        at = self._clock()
        async with self._db.transaction() as tx:
            merge = await storage.lock(tx, merge_id, source=source, target=target, at=at)
            accounts = await lock_both(tx, source, target)
            amount = 0 if merge.undone else accounts[source][AccountKind.USER].balance
            if amount:
                moved = Merge(merge.moved + amount, merge.moves + 1, undone=False)
                name = f"{merge_id}:{moved.moves}"
                await shift(tx, accounts, amount, name=name, source=source, target=target, at=at)
                await storage.put(tx, merge_id, moved)
        return amount, accounts[source][AccountKind.USER_HELD].balance

    async def undo(self, merge_id: str, *, source: str, target: str) -> int:
        """Give back what the merge moved, as far as the target still has it; return how much."""
        at = self._clock()
        async with self._db.transaction() as tx:
            merge = await storage.lock(tx, merge_id, source=source, target=target, at=at)
            if merge.undone:
                return 0
            accounts = await lock_both(tx, source, target)
            amount = min(merge.moved, accounts[target][AccountKind.USER].balance)
            if amount:
                name = f"{merge_id}:undo"
                await shift(tx, accounts, amount, name=name, source=target, target=source, at=at)
            await storage.put(tx, merge_id, replace(merge, moved=merge.moved - amount), undo_time=at)
        return amount
