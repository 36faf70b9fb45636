"""Logins: whoever comes through a door gets the user behind it, made at the first time."""

import logging
import unicodedata
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.code import Purpose
from services.auth.domain.errors import AccountDisabled
from services.auth.domain.login import Method, Result
from services.auth.domain.session import Origin
from services.auth.domain.target import Target
from services.auth.domain.user import Profile, Provider, User, identity_hash
from services.auth.providers import AppleDoor, WechatAccount, WechatDoor
from services.auth.storage import session_key
from services.auth.storage import user as storage
from services.auth.storage.user import NewUser
from services.auth.usecases.code import Codes
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.identity import Identities
from services.auth.usecases.login_log import LoginLog
from services.auth.usecases.session import Opened, Sessions, Tokens
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import Conflict
from services.kit.ids import new_id
from services.kit.sealing import Sealer

_log = logging.getLogger(__name__)

_ATTEMPTS = 3

InTransaction = Callable[[AsyncConnection], Awaitable[None]]


@dataclass(frozen=True)
class LoggedIn:
    """The new session, and whether the user was made by this login."""

    tokens: Tokens
    identity_id: str
    is_new: bool
    username: str = ""


@dataclass(frozen=True, kw_only=True)
class Door:
    """One way in, as somebody came through it; profile and sealed account only matter for a new user."""

    provider: Provider
    hashes: tuple[bytes, ...]
    method: Method
    profile: Profile = field(default_factory=Profile)
    sealed: Callable[[str], str] | None = None  # what is kept with the identity, by its id
    first: InTransaction | None = None  # what must be done in the same transaction, such as using up a code


class _IdentityTaken(Exception):
    """Another login through the same door made the user first."""


class Logins:
    """All doors."""

    def __init__(self, db: Database, sessions: Sessions, delivery: Delivery, clock: Clock, *, log: LoginLog) -> None:
        """Keep the collaborators."""
        self._db = db
        self._sessions = sessions
        self._delivery = delivery
        self._clock = clock
        self._log = log

    async def by_device(self, device_id: str, origin: Origin) -> LoggedIn:
        """Log in the user of a browser or device, known by the random id it keeps.

        Nobody finds out by asking which ids exist: asking for an unknown one makes it, and the ids
        are too long to be guessed.
        """
        hashes = (identity_hash(Provider.WEB, device_id),)
        return await self.enter(Door(provider=Provider.WEB, hashes=hashes, method=Method.DEVICE), origin)

    async def enter(self, door: Door, origin: Origin, *, english: bool = False) -> LoggedIn:
        """Return a new session of the user behind an identity, made together if need be; raises AccountDisabled."""
        signer = await self._sessions.signer()
        for _ in range(_ATTEMPTS):
            at, identity_id = self._clock(), new_id()
            sealed = door.sealed(identity_id) if door.sealed is not None else ""
            new = NewUser(new_id(), identity_id, door.provider, door.hashes[0], sealed, door.profile, at)
            try:
                async with self._db.transaction(Act.ACCOUNT_CREATE) as tx:
                    if door.first is not None:
                        await door.first(tx)
                    opened, found_id = await self._find_or_make(tx, new, door.hashes, origin)
                    is_new = found_id == identity_id
                    await self._log.let_in(
                        tx, opened.user, origin, door.provider, method=door.method, is_new=is_new, english=english
                    )
            except _IdentityTaken:
                continue
            except AccountDisabled:
                await self._log.refused(None, origin, door.provider, method=door.method, result=Result.DISABLED)
                raise
            if is_new:
                await self._delivery.grant_now(opened.user.user_id)
            return LoggedIn(self._sessions.signed(opened, signer), found_id, is_new, opened.user.username)
        raise Conflict("the identity is being made by somebody else")

    async def _find_or_make(
        self, tx: AsyncConnection, new: NewUser, hashes: tuple[bytes, ...], origin: Origin
    ) -> tuple[Opened, str]:
        """Return an opened session and the identity's id; _IdentityTaken when another login was faster."""
        found = await storage.find_by_identity(tx, new.provider, hashes)
        if found is None:
            if not await storage.add(tx, new):
                raise _IdentityTaken
            await self._delivery.promise_grant(tx, new.user_id)
            user = User(new.user_id, new.profile.display_name, (), disabled=False, create_time=new.create_time)
            found = user, new.identity_id
        user, identity_id = found
        return await self._sessions.open(tx, user, origin, identity_id=identity_id), identity_id


class CodeLogins:
    """The doors of phones and mailboxes, without a password."""

    def __init__(self, logins: Logins, codes: Codes, identities: Identities) -> None:
        """Keep the collaborators."""
        self._logins = logins
        self._codes = codes
        self._identities = identities

    async def by_code(self, target: Target, code: str, origin: Origin, *, english: bool = False) -> LoggedIn:
        """Log in whoever can read what was sent to a phone or mailbox; raises CodeInvalid and CodeExpired."""
        proof = await self._codes.prove(target, Purpose.LOGIN, code)

        async def first(tx: AsyncConnection) -> None:
            await self._codes.spend(tx, proof)

        door = Door(
            provider=target.provider,
            hashes=self._identities.hashes(target.provider, target.address),
            method=Method.CODE,
            sealed=lambda identity_id: self._identities.sealed(target, identity_id),
            first=first,
        )
        return await self._logins.enter(door, origin, english=english)


class AppleLogins:
    """The door of Sign in with Apple."""

    def __init__(self, logins: Logins, apple: AppleDoor, identities: Identities) -> None:
        """Keep the collaborators."""
        self._logins = logins
        self._apple = apple
        self._identities = identities

    async def by_token(
        self, identity_token: str, nonce: str, origin: Origin, *, display_name: str, english: bool = False
    ) -> LoggedIn:
        """Log in the person of an identity token; raises AuthProviderError when Apple does not vouch for it."""
        account = await self._apple.verify(identity_token, nonce)
        door = Door(
            provider=Provider.APPLE,
            hashes=self._identities.hashes(Provider.APPLE, account.subject),
            method=Method.PROVIDER,
            profile=Profile(printable(display_name)),
        )
        return await self._logins.enter(door, origin, english=english)


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
        door = replace(self._door_of(account), profile=Profile(printable(nick_name), avatar_url))
        logged_in = await self._logins.enter(door, origin)
        await self._keep(logged_in.identity_id, account)
        return logged_in

    async def door_of(self, code: str) -> Door:
        """Return the way in that a code stands for, to be bound; raises AuthProviderError.

        WeChat ends the session key before it with every code, so the next login brings the one to keep.
        """
        return self._door_of(await self._door.exchange(code))

    def _door_of(self, account: WechatAccount) -> Door:
        known = orjson.dumps({"open_id": account.open_id, "union_id": account.union_id})
        digest = identity_hash(Provider.WECHAT, account.open_id)
        return Door(
            provider=Provider.WECHAT,
            hashes=(digest,),
            method=Method.PROVIDER,
            sealed=lambda _: self._sealer.seal(known, f"auth.identities:{digest.hex()}"),
        )

    async def _keep(self, identity_id: str, account: WechatAccount) -> None:
        """Keep the newest session key, which decrypts what the mini-program may send later."""
        try:
            await session_key.keep(self._redis, self._sealer, identity_id, account.session_key)
        except (RedisError, OSError) as error:
            # The login stands without it.
            _log.warning("the WeChat session key was not kept: %s", type(error).__name__)


def printable(name: str) -> str:
    """Return a name without control characters and without space around it."""
    return "".join(each for each in name if unicodedata.category(each)[0] != "C").strip()


def text(words: str) -> str:
    """Return words of several lines without other control characters and without space around them."""
    return "\n".join(printable(line) for line in words.splitlines()).strip()
