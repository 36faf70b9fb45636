"""Sessions: opened by a login, renewed by their refresh token, ended by logout or by a replay."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.domain.errors import AccountDisabled
from services.auth.domain.pepper import Pepper
from services.auth.domain.session import (
    Lifetimes,
    OpenSession,
    Origin,
    RefreshToken,
    Session,
    Verdict,
    access_claims,
    exchanged,
    judge,
    refresh_hash,
)
from services.auth.domain.session import refresh_token as make_token
from services.auth.domain.user import User
from services.auth.storage import session as storage
from services.auth.storage import user as user_storage
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.signing_key import Signer, SigningKeys
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.db.paging import clamp_page_size, decode_id, encode_token
from services.kit.errors import AuthExpired, Conflict, NotFound, Unauthenticated
from services.kit.ids import new_id

# Long enough to answer questions about a session that has run out.
_KEPT = timedelta(days=30)
# So many revocations are told before the answer; the outbox tells the others at once, but behind it.
_AT_ONCE = 50


@dataclass(frozen=True)
class Tokens:
    """A session with its pair of tokens, which stay out of every `repr`."""

    session_id: str
    user_id: str
    access_token: str = field(repr=False)
    access_expire_time: datetime
    refresh_token: str = field(repr=False)
    refresh_expire_time: datetime
    expires_in_s: int


@dataclass(frozen=True)
class Opened:
    """A session as it stands in the open transaction, not yet signed."""

    session: Session
    user: User
    refresh_token: str = field(repr=False)
    at: datetime


class Sessions:
    """All sessions."""

    def __init__(
        self, db: Database, keys: SigningKeys, delivery: Delivery, clock: Clock, *, lifetimes: Lifetimes, pepper: Pepper
    ) -> None:
        """Keep the collaborators."""
        self._db = db
        self._keys = keys
        self._delivery = delivery
        self._clock = clock
        self._lifetimes = lifetimes
        self._pepper = pepper

    async def signer(self) -> Signer:
        """Return what signs tokens now; asked before a transaction begins, because it may need one itself."""
        return await self._keys.signer()

    async def open(self, tx: AsyncConnection, user: User, origin: Origin, *, identity_id: str) -> Opened:
        """Return a new session of the user, written in the transaction; AccountDisabled."""
        if user.disabled:
            raise AccountDisabled("the account is switched off")
        at = self._clock()
        session = Session(new_id(), user.user_id, at + self._lifetimes.refresh)
        await storage.add(tx, session, origin, identity_id=identity_id, at=at)
        token = await self._new_token(tx, session, at)
        return Opened(session, user, token, at)

    def signed(self, opened: Opened, signer: Signer) -> Tokens:
        """Return the pair of tokens of a session that has been committed."""
        ttl = self._lifetimes.access
        claims = access_claims(opened.session, opened.user.roles, token_id=new_id(), at=opened.at, ttl=ttl)
        return Tokens(
            session_id=opened.session.session_id,
            user_id=opened.user.user_id,
            access_token=signer.sign(claims),
            access_expire_time=opened.at + ttl,
            refresh_token=opened.refresh_token,
            refresh_expire_time=opened.session.expire_time,
            expires_in_s=int(ttl.total_seconds()),
        )

    async def refresh(self, refresh_token: str, origin: Origin, *, retry_key: str = "") -> Tokens:
        """Return a new pair for a refresh token, which ends.

        Raises Unauthenticated for a token that was never given out, AuthExpired when it or its session is over,
        Conflict when its owner has a newer one already, AccountDisabled. A token that comes a second time ends its
        session, unless it is a retry, which gets the successor that the first use got.
        """
        signer = await self.signer()
        async with self._db.transaction() as tx:
            session = await storage.lock_by_token(tx, refresh_hash(refresh_token))
            if session is None:
                raise Unauthenticated("the refresh token is not one of ours")
            opened = await self._renew(tx, session, refresh_token, origin, retry_key=retry_key)
        if opened is None:
            # The end of the session had to be committed before it can be told.
            await self._delivery.revoke_now(session.session_id)
            raise AuthExpired("the refresh token was used before; the session is ended")
        return self.signed(opened, signer)

    async def _renew(
        self, tx: AsyncConnection, session: Session, refresh_token: str, origin: Origin, *, retry_key: str
    ) -> Opened | None:
        """Return the renewed session, None when it was ended because of a replay."""
        at, key_hash = self._clock(), refresh_hash(retry_key) if retry_key else None
        token = await storage.get_token(tx, refresh_hash(refresh_token))
        assert token is not None, "tokens are only removed together with their session, which is locked"
        successor = await storage.get_token(tx, token.successor_hash)
        verdict = judge(session, token, successor, at, key_hash=key_hash)
        if verdict is Verdict.OVER:
            raise AuthExpired("the session is over")
        if verdict is Verdict.STALE:
            raise Conflict("the token was renewed and its successor used; use the newest one")
        if verdict is Verdict.REPLAY:
            if await storage.revoke(tx, session.session_id, cause="replay", at=at):
                await self._delivery.promise_revocation(tx, session.session_id)
            return None
        user = await user_storage.get(tx, session.user_id)
        if user is None or user.disabled:
            raise AccountDisabled("the account is switched off")
        if verdict is Verdict.RETRY:
            assert successor is not None, "a retry is one because its successor is there"
            return Opened(session, user, self._known_successor(refresh_token, successor), at)
        renewed = Session(session.session_id, session.user_id, at + self._lifetimes.refresh)
        new_token = self._successors(refresh_token)[0]
        new = RefreshToken(refresh_hash(new_token), renewed.expire_time)
        await storage.add_token(tx, session.session_id, new, at=at)
        await storage.put_token(tx, exchanged(token, new.token_hash, at, key_hash))
        await storage.extend(tx, session.session_id, origin, expire_time=renewed.expire_time, at=at)
        return Opened(renewed, user, new_token, at)

    def _successors(self, token: str) -> list[str]:
        """Return what a token may have been exchanged for, under each of our keys, today's first."""
        return [make_token(each) for each in self._pepper.hashes("refresh", token)]

    def _known_successor(self, token: str, successor: RefreshToken) -> str:
        """Return the token whose hash is kept; Conflict when it was made in a way or by a key that is gone."""
        for each in self._successors(token):
            if refresh_hash(each) == successor.token_hash:
                return each
        raise Conflict("the successor of this token cannot be given again")

    async def end(self, session_id: str, *, cause: str = "logout") -> None:
        """End a session for good; ending it again changes nothing."""
        async with self._db.transaction() as tx:
            ended = await storage.revoke(tx, session_id, cause=cause, at=self._clock())
            if ended:
                await self._delivery.promise_revocation(tx, session_id)
        if ended:
            await self._delivery.revoke_now(session_id)

    async def page(self, user_id: str, *, page_size: int, page_token: str) -> tuple[list[OpenSession], str]:
        """Return one page of a user's open sessions, the newest first, and the token of the next or ""; ParamInvalid.

        When they were last used is what verifiers noted in Redis; without Redis, the time of the newest refresh.
        """
        size = clamp_page_size(page_size)
        before = decode_id(page_token)
        async with self._db.transaction() as tx:
            found = await storage.page(tx, user_id, at=self._clock(), before=before, most=size + 1)
        more = encode_token(found[size - 1].session_id) if len(found) > size else ""
        shown = found[:size]
        seen = await self._delivery.last_seen([each.session_id for each in shown])
        times = {each.session_id: max(each.seen_time, seen.get(each.session_id, each.seen_time)) for each in shown}
        return [replace(each, seen_time=times[each.session_id]) for each in shown], more

    async def end_own(self, user_id: str, session_id: str) -> None:
        """End one session of a user for good; NotFound for one that is not theirs."""
        async with self._db.transaction() as tx:
            session = await storage.get(tx, session_id)
        if session is None or session.user_id != user_id:
            raise NotFound("there is no such session", session_id=session_id)
        await self.end(session_id, cause="ended")

    async def end_all(self, user_id: str, *, but: str = "") -> int:
        """End all open sessions of a user except `but`; return how many were open."""
        async with self._db.transaction() as tx:
            ended = await self.promise_ends(tx, user_id, but=but, cause="ended")
        await self.publish_ends(ended)
        return len(ended)

    async def promise_ends(
        self, tx: AsyncConnection, user_id: str, *, cause: str, but: str = "", identity_id: str = ""
    ) -> list[str]:
        """End a user's open sessions except `but`, or those of one identity, in the open transaction.

        Returns their ids for `publish_ends`.
        """
        ended = await storage.revoke_all(tx, user_id, but=but, cause=cause, at=self._clock(), identity_id=identity_id)
        for session_id in ended:
            await self._delivery.promise_revocation(tx, session_id)
        return ended

    async def publish_ends(self, ended: Sequence[str]) -> None:
        """Tell every verifier of sessions whose end has been committed; the outbox tells it if this does not."""
        await asyncio.gather(*(self._delivery.revoke_now(session_id) for session_id in ended[:_AT_ONCE]))
        self._delivery.dispatcher.kick()

    async def is_open(self, session_id: str) -> bool:
        """Return whether a session exists and is neither revoked nor expired."""
        async with self._db.transaction() as tx:
            session = await storage.get(tx, session_id)
        return session is not None and session.is_open(self._clock())

    async def purge(self) -> int:
        """Return how many sessions were removed because they ran out a month ago."""
        async with self._db.transaction() as tx:
            return await storage.purge(tx, expired_before=self._clock() - _KEPT)

    async def _new_token(self, tx: AsyncConnection, session: Session, at: datetime) -> str:
        """Return the first refresh token of a session; only its hash is written."""
        token = make_token()
        stored = RefreshToken(refresh_hash(token), session.expire_time)
        await storage.add_token(tx, session.session_id, stored, at=at)
        return token
