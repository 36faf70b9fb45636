"""Users as they see themselves."""

from services.auth.domain.user import Identity, User
from services.auth.storage import user as storage
from services.kit.db.engine import Database
from services.kit.errors import NotFound


class Users:
    """All users."""

    def __init__(self, db: Database) -> None:
        """Keep the database."""
        self._db = db

    async def get(self, user_id: str) -> tuple[User, list[Identity]]:
        """Return a user and the ways they can log in; NotFound."""
        async with self._db.transaction() as tx:
            user = await storage.get(tx, user_id)
            if user is None:
                raise NotFound("there is no such user")
            return user, await storage.list_identities(tx, user_id)
