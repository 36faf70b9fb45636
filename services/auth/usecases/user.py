"""Users as they see themselves."""

from services.auth.domain import target as targets
from services.auth.domain.errors import IdentityInUse
from services.auth.domain.user import Identity, Provider, User
from services.auth.storage import user as storage
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import printable
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import NotFound


class Users:
    """All users."""

    def __init__(self, db: Database, identities: Identities, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._clock = clock
        self._identities = identities

    async def get(self, user_id: str) -> tuple[User, list[Identity]]:
        """Return a user and the ways they can log in; NotFound."""
        async with self._db.transaction() as tx:
            user = await storage.get(tx, user_id)
            if user is None:
                raise NotFound("there is no such user")
            ways = await storage.list_identities(tx, user_id)
        return user, [self._identities.labelled(identity, sealed) for identity, sealed in ways]

    async def change(
        self, user_id: str, *, display_name: str | None, username: str | None
    ) -> tuple[User, list[Identity]]:
        """Change the names that are given; raises ParamInvalid, and IdentityInUse for a name that another one has."""
        wanted = None if username is None else targets.name(username)
        at = self._clock()
        async with self._db.transaction() as tx:
            if display_name is not None:
                await storage.set_display_name(tx, user_id, printable(display_name), at=at)
            if wanted is not None and not await storage.set_username(tx, user_id, wanted, at=at):
                raise IdentityInUse("the name is taken", provider="username")
        return await self.get(user_id)

    async def open_id(self, user_id: str) -> str:
        """Return the id under which WeChat knows a user; empty for one who never came from there."""
        async with self._db.transaction() as tx:
            found = await storage.sealed_accounts(tx, user_id, Provider.WECHAT)
        return next((known for digest, sealed in found if (known := self._identities.open_id_in(digest, sealed))), "")
