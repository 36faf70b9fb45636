"""The end of an account: wished by its owner and confirmed, taken back within a week, or carried out."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import password as passwords
from services.auth.domain.closing import COOL_OFF
from services.auth.domain.code import Purpose
from services.auth.domain.errors import CodeInvalid, CredentialsInvalid
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.target import Target
from services.auth.domain.user import Provider
from services.auth.storage import closing as storage
from services.auth.storage import user as user_storage
from services.auth.storage.tables import outbox
from services.auth.usecases.code import Codes
from services.auth.usecases.estate import Estates
from services.auth.usecases.guard import Guards
from services.auth.usecases.identity import Identities
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import NotFound, ParamInvalid
from services.kit.jobs.postgres_outbox import PostgresOutbox
from services.kit.passwords import Passwords

ERASE: Final = "erase"
_CAUSE = "closing"  # of the end of the sessions


class _StillErasing(Exception):
    """Another service has more to remove; the outbox is to ask again."""


class Closings:
    """All accounts that end."""

    def __init__(
        self, db: Database, hasher: Passwords, clock: Clock, *, sessions: Sessions, codes: Codes, guards: Guards,
        identities: Identities, notices: Notices, estates: Estates,
    ) -> None:  # fmt: skip
        """Keep the collaborators."""
        self._estates = estates
        self._outbox = PostgresOutbox(outbox)
        self._db = db
        self._hasher = hasher
        self._clock = clock
        self._sessions = sessions
        self._codes = codes
        self._guards = guards
        self._identities = identities
        self._notices = notices

    async def close(
        self, user_id: str, origin: Origin, *, password: str = "", target: Target | None = None, code: str = "",
        english: bool = False,
    ) -> datetime:  # fmt: skip
        """Return when the account will be erased; all its sessions are ended.

        Raises ParamInvalid when nothing confirms it though something could, CredentialsInvalid, AccountLocked,
        CodeInvalid and CodeExpired.
        """
        proof = None
        if target is not None:
            proof = await self._codes.prove(target, Purpose.DELETE, code, user_id=user_id)
        else:
            await self._require(user_id, password, origin)
        at = self._clock()
        async with self._db.transaction() as tx:
            user = await user_storage.lock(tx, user_id)
            if user is None or user.erased:
                raise NotFound("there is no such user")
            if proof is not None:
                await self._codes.spend(tx, proof)
                await self._require_own(tx, user_id, proof.target)
            if password:
                await self._guards.forgive(tx, _guard(user_id), origin.address)
            ends = user.erase_time or at + COOL_OFF
            if user.erase_time is None:
                await storage.set_erase_time(tx, user_id, ends, at=at)
                await self._notices.tell(tx, Kind.CLOSING, user_id, origin, english=english, until=ends)
            ended = await self._sessions.promise_ends(tx, user_id, cause=_CAUSE)
        await self._sessions.publish_ends(ended)
        return ends

    async def keep(self, user_id: str) -> None:
        """Let an account stay; one that was to stay anyway stays."""
        async with self._db.transaction() as tx:
            user = await user_storage.lock(tx, user_id)
            if user is None or user.erased:
                raise NotFound("there is no such user")
            await storage.set_erase_time(tx, user_id, None, at=self._clock())

    async def erase_due(self) -> int:
        """Return how many accounts were erased because their week is over, with all that had become them."""
        erased = 0
        while True:
            at, ended = self._clock(), list[str]()
            async with self._db.transaction() as tx:
                due = await storage.next_due(tx, at=at)
                if due is None:
                    return erased
                for user_id in await storage.with_merged(tx, due):
                    ended += await self._sessions.promise_ends(tx, user_id, cause=_CAUSE)
                    await storage.erase(tx, user_id, at=at)
                    await self._outbox.put(tx, ERASE, {"user_id": user_id}, key=user_id)
            await self._sessions.publish_ends(ended)
            erased += 1

    async def erase_elsewhere(self, payload: dict[str, Any]) -> None:
        """Have the other services remove what a person had; raises while there is more, as outbox handlers do."""
        if await self._estates.erase(payload["user_id"]):
            raise _StillErasing("there is more to remove")

    async def _require(self, user_id: str, password: str, origin: Origin) -> None:
        """Return when the password is right, or the person has nothing at all to confirm by."""
        async with self._db.transaction() as tx:
            stored = await user_storage.password_of(tx, user_id)
            ways = [identity.provider for identity, _ in await user_storage.list_identities(tx, user_id)]
        if not password:
            if stored or Provider.PHONE in ways or Provider.EMAIL in ways:
                raise ParamInvalid.of("password", "a password or a code is needed")
            return
        # Counted apart from logins: who holds a session must not lock the owner out at the door.
        await self._guards.admit(_guard(user_id), origin.address)
        if not stored or not await self._hasher.matches(stored, passwords.normal(password)):
            raise CredentialsInvalid("the password is not right")

    async def _require_own(self, tx: AsyncConnection, user_id: str, target: Target) -> None:
        """Return when a phone or mailbox is one of the person's; CodeInvalid."""
        hashes = self._identities.hashes(target.provider, target.address)
        found = await user_storage.find_by_identity(tx, target.provider, hashes)
        if found is None or found[0].user_id != user_id:
            raise CodeInvalid("the code is not one of this account's")


def _guard(user_id: str) -> str:
    return f"delete:{user_id}"
