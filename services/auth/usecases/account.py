"""Accounts with a password: made by whoever owns a mailbox or phone, entered by whoever knows the password."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import password as rules
from services.auth.domain import target as targets
from services.auth.domain.code import Purpose
from services.auth.domain.errors import AccountDisabled, AccountLocked, CredentialsInvalid, IdentityInUse
from services.auth.domain.login import Method, Result
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.target import Channel, Target
from services.auth.domain.user import Profile, Provider, User
from services.auth.storage import user as storage
from services.auth.storage.user import NewUser
from services.auth.usecases.code import Codes
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.guard import Guards
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import LoggedIn
from services.auth.usecases.login_log import LoginLog
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions
from services.kit.clock import Clock
from services.kit.crash import Act
from services.kit.db.engine import Database
from services.kit.errors import ParamInvalid
from services.kit.ids import new_id
from services.kit.passwords import Passwords


@dataclass(frozen=True)
class Account:
    """What somebody typed as their account, in one spelling."""

    name: str = field(repr=False)
    target: Target | None = None

    @property
    def provider(self) -> Provider | None:
        """Return the door it belongs to, None for a name."""
        return None if self.target is None else self.target.provider


@dataclass(frozen=True)
class _Found:
    """What stands behind an account's name; for a name without an account, nobody and no hash."""

    user: User | None
    identity_id: str
    password_hash: str = field(repr=False)


def account_of(text: str, countries: tuple[str, ...]) -> Account:
    """Return the account that a text names: a mailbox, a name or a phone; ParamInvalid when it can be none of them."""
    if "@" not in text and targets.is_name(text):
        return Account(text.strip().casefold())
    try:
        target = targets.target(text, countries=countries)
    except ParamInvalid as error:
        raise ParamInvalid.of("account", "is neither a mail address nor a phone number nor a name") from error
    return Account(target.address, target)


class Accounts:
    """All accounts that have a password."""

    def __init__(
        self, db: Database, passwords: Passwords, clock: Clock, *, sessions: Sessions, codes: Codes, guards: Guards,
        identities: Identities, delivery: Delivery, log: LoginLog, notices: Notices,
    ) -> None:  # fmt: skip
        """Keep the collaborators."""
        self._db = db
        self._passwords = passwords
        self._clock = clock
        self._sessions = sessions
        self._codes = codes
        self._guards = guards
        self._identities = identities
        self._delivery = delivery
        self._log = log
        self._notices = notices
        self._nobody = ""

    async def register(
        self, target: Target, code: str, password: str, origin: Origin, *, username: str = "", english: bool = False
    ) -> LoggedIn:
        """Make an account with a password and log it in.

        Raises PasswordWeak, CodeInvalid, CodeExpired, and IdentityInUse when the target or the name has an account.
        """
        wanted = targets.name(username) if username else ""
        rules.check(password, target.address, wanted)
        proof = await self._codes.prove(target, Purpose.REGISTER, code)
        hashed, signer = await self._passwords.hash(rules.normal(password)), await self._sessions.signer()
        hashes, at, identity_id = self._identities.hashes(target.provider, target.address), self._clock(), new_id()
        sealed = self._identities.sealed(target, identity_id)
        new = NewUser(new_id(), identity_id, target.provider, hashes[0], sealed, Profile(), at)
        user = User(new.user_id, "", (), disabled=False, create_time=at, username=wanted, has_password=True)
        async with self._db.transaction(Act.ACCOUNT_CREATE) as tx:
            await self._codes.spend(tx, proof)
            taken = await storage.find_by_identity(tx, target.provider, hashes)
            if taken is not None or not await storage.add(tx, new):
                raise IdentityInUse("there is an account with this", provider=target.provider.value)
            if wanted and not await storage.set_username(tx, new.user_id, wanted, at=at):
                raise IdentityInUse("the name is taken", provider="username")
            await storage.set_password(tx, new.user_id, hashed, at=at)
            await self._delivery.promise_grant(tx, new.user_id)
            opened = await self._sessions.open(tx, user, origin, identity_id=identity_id)
            await self._log.let_in(tx, user, origin, target.provider, method=Method.CODE, is_new=True, english=english)
            if target.channel is Channel.EMAIL:
                await self._notices.tell(tx, Kind.WELCOME, user.user_id, origin, english=english)
        await self._delivery.grant_now(user.user_id)
        self._delivery.dispatcher.kick()
        return LoggedIn(self._sessions.signed(opened, signer), identity_id, is_new=True, username=wanted)

    async def enter(self, account: Account, password: str, origin: Origin, *, english: bool = False) -> LoggedIn:
        """Log in by password.

        An unknown account and a wrong password are one CredentialsInvalid after the same queries and the same hash.
        Raises AccountLocked, RateLimited for an address with too many failures, and AccountDisabled for who knew the
        password.
        """
        signer = await self._sessions.signer()
        try:
            await self._guards.admit(account.name, origin.address)
        except AccountLocked:
            await self._refused(account, origin, Result.LOCKED)
            raise
        async with self._db.transaction() as tx:
            found = await self._find(tx, account)
        stored = found.password_hash or await self._hash_of_nobody()
        matches = await self._passwords.matches(stored, rules.normal(password))
        user = found.user
        if user is None or not found.password_hash or not matches:
            await self._refused(account, origin, Result.WRONG)
            raise CredentialsInvalid("there is no account with this name and this password")
        renewed = await self._renewed(stored, password)
        try:
            async with self._db.transaction() as tx:
                opened = await self._sessions.open(tx, user, origin, identity_id=found.identity_id)
                await self._log.let_in(
                    tx, user, origin, account.provider, method=Method.PASSWORD, is_new=False, english=english
                )
                await self._guards.forgive(tx, account.name, origin.address)
                if renewed:
                    await storage.set_password(tx, user.user_id, renewed, at=self._clock())
        except AccountDisabled:
            await self._refused(account, origin, Result.DISABLED)
            raise
        self._delivery.dispatcher.kick()
        return LoggedIn(self._sessions.signed(opened, signer), found.identity_id, is_new=False, username=user.username)

    async def _find(self, tx: AsyncConnection, account: Account) -> _Found:
        """Return what stands behind an account's name, by as many queries whether or not there is anything."""
        user, identity_id = None, ""
        if account.target is None:
            user = await storage.find_by_username(tx, account.name)
        else:
            hashes = self._identities.hashes(account.target.provider, account.target.address)
            found = await storage.find_by_identity(tx, account.target.provider, hashes)
            user, identity_id = found if found is not None else (None, "")
        asked = user.user_id if user is not None else new_id()
        password_hash = await storage.password_of(tx, asked)
        ways = await storage.list_identities(tx, asked)
        if ways and not identity_id:
            identity_id = ways[0][0].identity_id
        return _Found(user, identity_id, password_hash)

    async def _refused(self, account: Account, origin: Origin, result: Result) -> None:
        """Write the line of an attempt that failed; an account without a user has its line as well."""
        async with self._db.transaction() as tx:
            found = await self._find(tx, account)
            user_id = found.user.user_id if found.user is not None else None
            await self._log.note(tx, user_id, origin, account.provider, method=Method.PASSWORD, result=result)

    async def _hash_of_nobody(self) -> str:
        """Return a hash that no password matches, made once with the parameters of every other."""
        if not self._nobody:
            self._nobody = await self._passwords.hash(new_id())
        return self._nobody

    async def _renewed(self, stored: str, password: str) -> str:
        """Return a new hash of a password whose old one was made with older parameters, else ""."""
        return await self._passwords.hash(rules.normal(password)) if self._passwords.is_outdated(stored) else ""
