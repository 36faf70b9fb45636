"""Jobs from the side of money, for Wallet to compare with its books."""

from services.composer.storage import bill as storage
from services.composer.storage.bill import Bill
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token

_MOST = 500


class Bills:
    """The bills of all jobs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def page(self, *, page_size: int, page_token: str) -> tuple[list[Bill], str]:
        """Return a page of bills, the oldest first, and the token of the next page or an empty one."""
        after = decode_id(page_token)
        size = clamp_page_size(page_size, most=_MOST)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, after=after, most=size + 1)
        return found[:size], encode_token(found[size - 1].hold_id) if len(found) > size else ""
