"""Passwords: another one in the place of the old one, by the old one or by a code."""

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import password as rules
from services.auth.domain.code import Purpose
from services.auth.domain.errors import CredentialsInvalid
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.target import Target
from services.auth.storage import user as storage
from services.auth.usecases.code import Codes
from services.auth.usecases.guard import Guards
from services.auth.usecases.identity import Identities
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import NotFound
from services.kit.passwords import Passwords

_CAUSE = "password"  # of the end of the sessions


class PasswordChanges:
    """All changes of passwords."""

    def __init__(
        self, db: Database, passwords: Passwords, clock: Clock, *, sessions: Sessions, codes: Codes, guards: Guards,
        identities: Identities, notices: Notices,
    ) -> None:  # fmt: skip
        """Keep the collaborators."""
        self._db = db
        self._passwords = passwords
        self._clock = clock
        self._sessions = sessions
        self._codes = codes
        self._guards = guards
        self._identities = identities
        self._notices = notices

    async def change(
        self, user_id: str, session_id: str, old: str, new: str, *, origin: Origin, english: bool = False
    ) -> None:
        """Put a password in the place of the old one, or give a person their first; all their other sessions end.

        Raises CredentialsInvalid for a wrong old one, AccountLocked after too many of those, PasswordWeak.
        """
        async with self._db.transaction() as tx:
            user, stored = await storage.get(tx, user_id), await storage.password_of(tx, user_id)
            names = await self._names(tx, user_id)
        if user is None:
            raise NotFound("there is no such user")
        rules.check(new, user.username, *names)
        if stored:
            # Counted apart from logins: who holds a session must not lock the owner out at the door.
            await self._guards.admit(f"change:{user_id}", origin.address)
            if not await self._passwords.matches(stored, rules.normal(old)):
                raise CredentialsInvalid("the old password is not right")
        hashed = await self._passwords.hash(rules.normal(new))
        async with self._db.transaction() as tx:
            await storage.lock(tx, user_id)
            if await storage.password_of(tx, user_id) != stored:
                raise CredentialsInvalid("the password was changed in the meantime")
            await storage.set_password(tx, user_id, hashed, at=self._clock())
            if stored:
                await self._guards.forgive(tx, f"change:{user_id}", origin.address)
            await self._notices.tell(tx, Kind.PASSWORD_CHANGED, user_id, origin, english=english)
            ended = await self._sessions.promise_ends(tx, user_id, but=session_id, cause=_CAUSE)
        await self._sessions.publish_ends(ended)

    async def reset(self, target: Target, code: str, new: str, origin: Origin, *, english: bool = False) -> None:
        """Set a password for the account whose phone or mailbox somebody can read; all its sessions end.

        Raises PasswordWeak, CodeInvalid, CodeExpired, and NotFound, which only the owner of the target gets to see.
        """
        rules.check(new, target.address)
        proof = await self._codes.prove(target, Purpose.RESET, code)
        hashed = await self._passwords.hash(rules.normal(new))
        hashes = self._identities.hashes(target.provider, target.address)
        async with self._db.transaction() as tx:
            await self._codes.spend(tx, proof)
            found = await storage.find_by_identity(tx, target.provider, hashes)
            if found is None:
                raise NotFound("there is no account with this")
            user, _ = found
            await storage.set_password(tx, user.user_id, hashed, at=self._clock())
            # Whoever owns the mailbox is not kept out by somebody else's guesses.
            for name in (target.address, user.username.casefold()):
                await self._guards.forgive(tx, name)
            await self._notices.tell(tx, Kind.PASSWORD_CHANGED, user.user_id, origin, english=english)
            ended = await self._sessions.promise_ends(tx, user.user_id, cause=_CAUSE)
        await self._sessions.publish_ends(ended)

    async def _names(self, tx: AsyncConnection, user_id: str) -> list[str]:
        """Return the phones and mailboxes of a person, none of which may be their password."""
        ways = await storage.list_identities(tx, user_id)
        found = [self._identities.target_of(identity, sealed) for identity, sealed in ways]
        return [target.address for target in found if target is not None]
