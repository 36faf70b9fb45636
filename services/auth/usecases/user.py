"""Users as they see themselves."""

from dataclasses import dataclass

from services.auth.domain import target as targets
from services.auth.domain.errors import IdentityInUse
from services.auth.domain.user import About, Identity, Provider, User
from services.auth.domain.zone import zone
from services.auth.storage import user as storage
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import printable, text
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import NotFound

_SHOWN = ("display_name", "avatar_url")


@dataclass(frozen=True)
class Person:
    """A user, the ways they can log in, and what they say of themselves."""

    user: User
    ways: list[Identity]
    about: About


class Users:
    """All users."""

    def __init__(self, db: Database, identities: Identities, clock: Clock) -> None:
        """Keep the collaborators."""
        self._db = db
        self._clock = clock
        self._identities = identities

    async def get(self, user_id: str) -> Person:
        """Return a user, the ways they can log in and what they say of themselves; NotFound."""
        async with self._db.transaction() as tx:
            user = await storage.get(tx, user_id)
            if user is None or user.erased:
                raise NotFound("there is no such user")
            ways = await storage.list_identities(tx, user_id)
            about = await storage.about(tx, user_id)
        return Person(user, [self._identities.labelled(identity, sealed) for identity, sealed in ways], about)

    async def change(self, user_id: str, *, username: str | None = None, **said: str) -> Person:
        """Change what is given of the name to log in by and of `display_name`, `avatar_url` and the fields of About.

        Raises ParamInvalid, and IdentityInUse for a name that another one has.
        """
        wanted = None if username is None else targets.name(username)
        if "time_zone" in said:
            zone(said["time_zone"])
        clean = {name: text(value) if name == "bio" else printable(value) for name, value in said.items()}
        shown = {name: clean.pop(name) for name in _SHOWN if name in clean}
        at = self._clock()
        async with self._db.transaction() as tx:
            if shown:
                await storage.set_shown(tx, user_id, at=at, **shown)
            if clean:
                await storage.set_about(tx, user_id, at=at, **clean)
            if wanted is not None and not await storage.set_username(tx, user_id, wanted, at=at):
                raise IdentityInUse("the name is taken", provider="username")
        return await self.get(user_id)

    async def open_id(self, user_id: str) -> str:
        """Return the id under which WeChat knows a user; empty for one who never came from there."""
        async with self._db.transaction() as tx:
            found = await storage.sealed_accounts(tx, user_id, Provider.WECHAT)
        return next((known for digest, sealed in found if (known := self._identities.open_id_in(digest, sealed))), "")
