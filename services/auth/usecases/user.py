"""Users as they see themselves."""

from services.auth.domain.user import Identity, Provider, User
from services.auth.storage import user as storage
from services.auth.usecases.identity import Identities
from services.kit.db.engine import Database
from services.kit.errors import NotFound


class Users:
    """All users."""

    def __init__(self, db: Database, identities: Identities) -> None:
        """Keep the collaborators."""
        self._db = db
        self._identities = identities

    async def get(self, user_id: str) -> tuple[User, list[Identity]]:
        """Return a user and the ways they can log in; NotFound."""
        async with self._db.transaction() as tx:
            user = await storage.get(tx, user_id)
            if user is None:
                raise NotFound("there is no such user")
            ways = await storage.list_identities(tx, user_id)
        return user, [self._identities.labelled(identity, sealed) for identity, sealed in ways]

    async def open_id(self, user_id: str) -> str:
        """Return the id under which WeChat knows a user; empty for one who never came from there."""
        async with self._db.transaction() as tx:
            found = await storage.sealed_accounts(tx, user_id, Provider.WECHAT)
        return next((known for digest, sealed in found if (known := self._identities.open_id_in(digest, sealed))), "")
