"""Plays: counted once for a listener and a listening, without keeping who it was."""

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.share.domain import play as rules
from services.share.storage import play as storage
from services.share.usecases.share import Shares


class Plays:
    """Counts plays."""

    def __init__(self, db: Database, shares: Shares, clock: Clock) -> None:
        """Use the collaborators; what cannot be shown is not played either."""
        self._db = db
        self._shares = shares
        self._clock = clock

    async def count(self, share_code: str, ticket: str, *, address: str, agent: str) -> int:
        """Return how often the song was played, this play counted unless it is a program's or a repeat.

        Raises what showing the share raises.
        """
        shown = await self._shares.show(share_code, ticket, counted=False)
        share, now = shown.share, self._clock()
        if rules.is_program(agent):
            return share.play_count
        listener = rules.listener_of(share.share_id, address, agent, now)
        gap = rules.gap_after(shown.variant.duration_ms)
        async with self._db.transaction() as tx:
            await storage.purge(tx, now - rules.KEPT)
            if not await storage.heard(tx, share.share_id, listener, at=now, gap=gap):
                return share.play_count
            return await storage.count(tx, share.share_id)
