"""Ways to log in: added by whoever proves them theirs, taken away while another one is left."""

from collections import Counter

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain import target as targets
from services.auth.domain.code import Purpose
from services.auth.domain.errors import IdentityInUse, LastIdentity
from services.auth.domain.login import Method
from services.auth.domain.notification import Kind
from services.auth.domain.session import Origin
from services.auth.domain.target import Target
from services.auth.domain.user import Identity, Provider
from services.auth.providers import AppleDoor, WechatPhones
from services.auth.storage import user as storage
from services.auth.storage.user import NewUser
from services.auth.usecases.code import Codes
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import Door, InTransaction, WechatLogins
from services.auth.usecases.merge import Offers
from services.auth.usecases.notification import Notices
from services.auth.usecases.session import Sessions
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import BusinessRule, NotFound
from services.kit.ids import new_id

_MOST_OF_A_KIND = 5


class Ways:
    """Proofs that a way to log in is somebody's, each of its own kind."""

    def __init__(
        self, codes: Codes, wechat: WechatLogins, phones: WechatPhones, apple: AppleDoor, *, identities: Identities,
        countries: tuple[str, ...],
    ) -> None:  # fmt: skip
        """Keep the collaborators."""
        self._codes = codes
        self._wechat = wechat
        self._phones = phones
        self._apple = apple
        self._identities = identities
        self._countries = countries

    async def by_code(self, user_id: str, target: Target, code: str) -> Door:
        """Return a phone or mailbox that this person read a code from; raises CodeInvalid and CodeExpired."""
        proof = await self._codes.prove(target, Purpose.BIND, code, user_id=user_id)

        async def first(tx: AsyncConnection) -> None:
            await self._codes.spend(tx, proof)

        return self._of(target, Method.CODE, first)

    async def by_wechat(self, code: str) -> Door:
        """Return the WeChat account of a login code; raises AuthProviderError."""
        return await self._wechat.door_of(code)

    async def by_wechat_phone(self, code: str) -> Door:
        """Return the phone that WeChat knows of a person; AuthProviderError, or ParamInvalid for other countries."""
        target = targets.phone(await self._phones.phone_of(code), self._countries)
        return self._of(target, Method.PROVIDER, None)

    async def by_apple(self, identity_token: str, nonce: str) -> Door:
        """Return the Apple account of an identity token; raises AuthProviderError."""
        account = await self._apple.verify(identity_token, nonce)
        hashes = self._identities.hashes(Provider.APPLE, account.subject)
        return Door(provider=Provider.APPLE, hashes=hashes, method=Method.PROVIDER)

    def _of(self, target: Target, method: Method, first: InTransaction | None) -> Door:
        return Door(
            provider=target.provider,
            hashes=self._identities.hashes(target.provider, target.address),
            method=method,
            sealed=lambda identity_id: self._identities.sealed(target, identity_id),
            first=first,
        )


class Bindings:
    """What ways each person has."""

    def __init__(
        self, db: Database, sessions: Sessions, identities: Identities, clock: Clock, *, offers: Offers,
        notices: Notices,
    ) -> None:  # fmt: skip
        """Keep the collaborators."""
        self._notices = notices
        self._offers = offers
        self._db = db
        self._sessions = sessions
        self._identities = identities
        self._clock = clock

    async def bind(self, user_id: str, door: Door, origin: Origin, *, english: bool = False) -> Identity:
        """Return the way to log in, this person's from now on.

        Raises IdentityInUse when it is another one's; metadata `merge_id` then offers to make one user of the two, for
        whoever gets here has proven both theirs.
        """
        at, identity_id, merge_id = self._clock(), new_id(), ""
        sealed = door.sealed(identity_id) if door.sealed is not None else ""
        new = NewUser(user_id, identity_id, door.provider, door.hashes[0], sealed, door.profile, at)
        async with self._db.transaction() as tx:
            if await storage.lock(tx, user_id) is None:
                raise NotFound("there is no such user")
            if door.first is not None:
                await door.first(tx)
            found = await storage.find_by_identity(tx, door.provider, door.hashes)
            ways = await storage.list_identities(tx, user_id)
            if found is None:
                kinds = Counter(identity.provider for identity, _ in ways)
                if kinds[door.provider] >= _MOST_OF_A_KIND:
                    raise BusinessRule("there are enough of this kind", limit=_MOST_OF_A_KIND)
                added = self._identities.labelled(Identity(identity_id, door.provider, at), sealed)
                await self._notices.tell(tx, Kind.IDENTITY_BOUND, user_id, origin, english=english, about=added)
                if not await storage.add_identity(tx, new):
                    raise IdentityInUse("another account has this", provider=door.provider.value)
                return added
            other, found_id = found
            if other.user_id != user_id:
                merge_id = await self._offers.make(tx, user_id, [identity for identity, _ in ways], other)
        if other.user_id != user_id:
            offer = {"merge_id": merge_id} if merge_id else {}
            raise IdentityInUse("another account has this", provider=door.provider.value, **offer)
        return next(
            self._identities.labelled(identity, kept) for identity, kept in ways if identity.identity_id == found_id
        )

    async def unbind(
        self, user_id: str, session_id: str, identity_id: str, *, origin: Origin, english: bool = False
    ) -> None:
        """Take a way to log in away; the sessions it opened end, but for the one that asks.

        Raises NotFound for one that is not this person's, LastIdentity for their last.
        """
        async with self._db.transaction() as tx:
            await storage.lock(tx, user_id)
            ways = {
                identity.identity_id: (identity, kept) for identity, kept in await storage.list_identities(tx, user_id)
            }
            if identity_id not in ways:
                raise NotFound("there is no such way to log in", identity_id=identity_id)
            if len(ways) == 1:
                raise LastIdentity("this is the last way to log in")
            gone = self._identities.labelled(*ways[identity_id])
            await self._notices.tell(tx, Kind.IDENTITY_UNBOUND, user_id, origin, english=english, about=gone)
            ended = await self._sessions.promise_ends(
                tx, user_id, cause="unbound", but=session_id, identity_id=identity_id
            )
            await storage.remove_identity(tx, identity_id)
        await self._sessions.publish_ends(ended)
