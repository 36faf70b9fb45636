"""Complaints about shares: written down, read by administrators, and decided upon."""

import logging

from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.share.domain.report import Report, Reported
from services.share.domain.share import place_of
from services.share.storage import report as storage
from services.share.usecases.share import Shares

_log = logging.getLogger(__name__)


class Reports:
    """All complaints."""

    def __init__(self, db: Database, shares: Shares, clock: Clock) -> None:
        """Use the collaborators; what cannot be shown needs no complaint."""
        self._db = db
        self._shares = shares
        self._clock = clock

    async def add(self, share_code: str, ticket: str, report: Report, *, address: str) -> None:
        """Write the complaint down, once for each place; raises what showing the share raises."""
        share = (await self._shares.show(share_code, ticket, counted=False)).share
        async with self._db.transaction() as tx:
            await storage.add(tx, share.share_id, place_of(share, address), report)

    async def waiting(self, *, page_size: int, page_token: str) -> tuple[list[Reported], str]:
        """Return a page of the shares that somebody complains about, newest first, and the next page's token or ''."""
        before, size = decode_id(page_token), clamp_page_size(page_size)
        async with self._db.transaction() as tx:
            found = await storage.open_page(tx, before=before, count=size + 1)
        more = encode_token(found[size - 1].share.share_id) if len(found) > size else ""
        return found[:size], more

    async def decide(self, operator_id: str, share_code: str, *, take_down: bool) -> None:
        """Answer every complaint about the share, taken down or let stand; raises ShareNotFound."""
        share, now = await self._shares.by_code(share_code), self._clock()
        async with self._db.transaction() as tx:
            await storage.decide(tx, share.share_id, now)
            if take_down:
                await storage.take_down(tx, share.share_id, now)
            else:
                await storage.let_stand(tx, share.share_id)
        facts = {"share_id": share.share_id, "taken_down": take_down, "operator_id": operator_id}
        _log.info("complaints about a share were decided upon", extra=facts)
