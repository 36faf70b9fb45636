"""Logins: whoever comes through a door gets the user behind it, made at the first time."""

import logging
import unicodedata
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.session import Origin
from services.auth.domain.user import Profile, Provider, User, identity_hash
from services.auth.providers import WechatDoor
from services.auth.storage import session_key
from services.auth.storage import user as storage
from services.auth.storage.user import NewUser
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.session import Opened, Sessions, Tokens
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import Conflict
from services.kit.ids import new_id
from services.kit.sealing import Sealer

_log = logging.getLogger(__name__)

_ATTEMPTS = 3


@dataclass(frozen=True)
class LoggedIn:
    """The new session, and whether the user was made by this login."""

    tokens: Tokens
    identity_id: str
    is_new: bool


class _IdentityTaken(Exception):
    """Another login through the same door made the user first."""


class Logins:
    """All doors."""

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        delivery: Delivery,
        clock: Clock,
    ) -> None:
        """Keep the collaborators."""
        self._db = db
        self._sessions = sessions
        self._delivery = delivery
        self._clock = clock

    async def by_device(self, device_id: str, origin: Origin) -> LoggedIn:
        """Log in the user of a browser or device, known by the random id it keeps.

        Nobody finds out by asking which ids exist: asking for an unknown one makes it, and the ids
        are too long to be guessed.
        """
        return await self.enter(Provider.WEB, device_id, Profile(), origin)

    async def enter(
        self, provider: Provider, provider_id: str, profile: Profile, origin: Origin, *, sealed_account: str = ""
    ) -> LoggedIn:
        """Return a new session of the user behind an identity, made together if need be.

        Raises AccountDisabled. The profile and the sealed account only matter for a new user.
        """
        signer = await self._sessions.signer()
        digest = identity_hash(provider, provider_id)
        for _ in range(_ATTEMPTS):
            at = self._clock()
            new = NewUser(new_id(), new_id(), provider, digest, sealed_account, profile, at)
            try:
                async with self._db.transaction(Act.ACCOUNT_CREATE) as tx:
                    opened, identity_id = await self._find_or_make(tx, new, origin)
            except _IdentityTaken:
                continue
            is_new = identity_id == new.identity_id
            if is_new:
                await self._delivery.grant_now(opened.user.user_id)
            return LoggedIn(self._sessions.signed(opened, signer), identity_id, is_new)
        raise Conflict("the identity is being made by somebody else")

    async def _find_or_make(self, tx: AsyncConnection, new: NewUser, origin: Origin) -> tuple[Opened, str]:
        """Return an opened session and the identity's id; _IdentityTaken when another login was faster."""
        found = await storage.find_by_identity(tx, new.provider, new.provider_id_hash)
        if found is None:
            if not await storage.add(tx, new):
                raise _IdentityTaken
            await self._delivery.promise_grant(tx, new.user_id)
            user = User(new.user_id, new.profile.display_name, (), disabled=False, create_time=new.create_time)
            found = user, new.identity_id
        user, identity_id = found
        return await self._sessions.open(tx, user, origin, identity_id=identity_id), identity_id


class WechatLogins:
    """The door of the mini-program."""

    def __init__(self, logins: Logins, door: WechatDoor, redis: Redis, sealer: Sealer) -> None:
        """Keep the collaborators."""
        self._logins = logins
        self._door = door
        self._redis = redis
        self._sealer = sealer

    async def by_code(self, code: str, origin: Origin, *, nick_name: str, avatar_url: str) -> LoggedIn:
        """Log in the user of a single-use code; name and picture only matter for a new user.

        Raises AuthProviderError when WeChat does not vouch for the code.
        """
        account = await self._door.exchange(code)
        known = orjson.dumps({"open_id": account.open_id, "union_id": account.union_id})
        digest = identity_hash(Provider.WECHAT, account.open_id)
        sealed = self._sealer.seal(known, f"auth.identities:{digest.hex()}")
        profile = Profile(_printable(nick_name), avatar_url)
        logged_in = await self._logins.enter(Provider.WECHAT, account.open_id, profile, origin, sealed_account=sealed)
        try:
            await session_key.keep(self._redis, self._sealer, logged_in.identity_id, account.session_key)
        except (RedisError, OSError) as error:
            # The key decrypts what the mini-program may send later; the login stands without it.
            _log.warning("the WeChat session key was not kept: %s", type(error).__name__)
        return logged_in


def _printable(name: str) -> str:
    """Return a name without control characters and without space around it."""
    return "".join(each for each in name if unicodedata.category(each)[0] != "C").strip()
