"""The login log: a line for each attempt, and a notice when one is unusual."""

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.login import COMPARED, LoginRecord, Method, Result, is_unusual
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.user import Provider, User
from services.auth.storage import login as storage
from services.auth.usecases.notification import Notices
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.ids import new_id

_KEPT = timedelta(days=180)


class LoginLog:
    """All lines."""

    def __init__(self, db: Database, notices: Notices, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._notices = notices
        self._clock = clock

    async def let_in(
        self, tx: AsyncConnection, user: User, origin: Origin, provider: Provider | None, *, method: Method,
        is_new: bool, english: bool,
    ) -> None:  # fmt: skip
        """Note a login in its own transaction, and tell its owner when it is unusual."""
        at = self._clock()
        before = [] if is_new else await storage.page(tx, user.user_id, most=COMPARED, result=Result.OK)
        record = LoginRecord(new_id(), provider, method, Result.OK, origin, at)
        await storage.add(tx, record, user.user_id)
        if is_unusual(origin, before):
            await self._notices.tell(tx, Kind.NEW_DEVICE, user.user_id, origin, english=english)

    async def refused(
        self, user_id: str | None, origin: Origin, provider: Provider | None, *, method: Method, result: Result
    ) -> None:
        """Note an attempt that failed."""
        async with self._db.transaction() as tx:
            await self.note(tx, user_id, origin, provider, method=method, result=result)

    async def note(
        self, tx: AsyncConnection, user_id: str | None, origin: Origin, provider: Provider | None, *, method: Method,
        result: Result,
    ) -> None:  # fmt: skip
        """Note an attempt in a transaction that is open already."""
        await storage.add(tx, LoginRecord(new_id(), provider, method, result, origin, self._clock()), user_id)

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[list[LoginRecord], str]:
        """Return one page of a person's lines, the newest first, and the token of the next or ""; ParamInvalid."""
        size = clamp_page_size(page_size)
        before = decode_id(page_token)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, user_id, before=before, most=size + 1)
        more = encode_token(found[size - 1].login_id) if len(found) > size else ""
        return found[:size], more

    async def purge(self) -> int:
        """Return how many lines older than 180 days were removed."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, before=self._clock() - _KEPT)
