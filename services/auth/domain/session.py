"""Sessions and their refresh tokens: when one is renewed, answered again, or ended.

Two camps pull at this rule. A client whose answer was lost, or whose four tabs ask at once, must never be logged out by
it; a stolen token must not live beside its owner's. A token alone cannot serve both: a retry and a theft look alike.
So a client may send a retry key with a token: a secret of its own that belongs to this token. Whoever comes again with
the same key gets the same successor, however late, as long as that was not used; whoever comes with another key, or
without it, ends the session. A client without keys gets the old trade: ten seconds in which the same successor is
given again, and the end of the session after that.

The successor is made from the token by a key of ours, so that it can be given again though only its hash is kept.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from services.auth.domain.user import Provider

RETRY_WINDOW = timedelta(seconds=10)
# A fixed beginning lets secret scanners find a token that was pasted somewhere.
_PREFIX = "cdr_"
_RANDOM_BYTES = 32


@dataclass(frozen=True)
class Lifetimes:
    """How long tokens live."""

    access: timedelta
    refresh: timedelta


@dataclass(frozen=True)
class Session:
    """One login of one user on one device."""

    session_id: str
    user_id: str
    expire_time: datetime
    revoke_time: datetime | None = None

    def is_open(self, at: datetime) -> bool:
        """Return whether the session is neither revoked nor expired."""
        return self.revoke_time is None and at < self.expire_time


@dataclass(frozen=True)
class RefreshToken:
    """What is stored of a single-use token: never itself."""

    token_hash: bytes
    expire_time: datetime
    used_time: datetime | None = None
    successor_hash: bytes | None = None
    # Of the retry key that came with the first use; none where none came.
    key_hash: bytes | None = None


@dataclass(frozen=True)
class Origin:
    """Where a login or refresh came from, as the client said; empty texts for what is not known."""

    platform: str = ""
    address: str = ""
    agent: str = ""


@dataclass(frozen=True)
class OpenSession:
    """A session that has not ended, as its owner sees it."""

    session_id: str
    # None once that way was taken away.
    provider: Provider | None
    origin: Origin
    create_time: datetime
    seen_time: datetime
    expire_time: datetime


class Verdict(Enum):
    """What a refresh token that arrives is good for."""

    ROTATE = auto()  # renew
    RETRY = auto()  # give the same successor again
    STALE = auto()  # its owner came late and has a newer one: refuse, and change nothing
    REPLAY = auto()  # somebody else has it: end the session
    OVER = auto()  # the session or the token has ended


def refresh_token(random: bytes | None = None) -> str:
    """Return the token of these 32 bytes; of 256 random bits without them."""
    drawn = secrets.token_bytes(_RANDOM_BYTES) if random is None else random
    return _PREFIX + base64.urlsafe_b64encode(drawn).rstrip(b"=").decode()


def refresh_hash(token: str) -> bytes:
    """Return the hash under which a token is stored and found.

    Finding it by an index tells nothing by its timing: whoever can steer the hash knows the token.
    """
    return hashlib.sha256(token.encode()).digest()


def judge(
    session: Session,
    token: RefreshToken,
    successor: RefreshToken | None,
    at: datetime,
    *,
    key_hash: bytes | None = None,
) -> Verdict:
    """Return what to do with a token that came with the retry key of this hash, or without one."""
    if not session.is_open(at) or at >= token.expire_time:
        return Verdict.OVER
    if token.used_time is None:
        return Verdict.ROTATE
    unused = successor is not None and successor.used_time is None
    if token.key_hash is not None:
        if key_hash is None or not hmac.compare_digest(key_hash, token.key_hash):
            return Verdict.REPLAY
        return Verdict.RETRY if unused else Verdict.STALE
    if key_hash is None and unused and at - token.used_time <= RETRY_WINDOW:
        return Verdict.RETRY
    return Verdict.REPLAY


def exchanged(token: RefreshToken, successor_hash: bytes, at: datetime, key_hash: bytes | None = None) -> RefreshToken:
    """Return a token that was exchanged for its successor."""
    return replace(token, used_time=at, successor_hash=successor_hash, key_hash=key_hash)


def access_claims(
    session: Session, roles: tuple[str, ...], *, token_id: str, at: datetime, ttl: timedelta
) -> dict[str, Any]:
    """Return the claims of an access token except issuer and audience."""
    issued = int(at.timestamp())
    return {
        "sub": session.user_id,
        "sid": session.session_id,
        "jti": token_id,
        "roles": list(roles),
        "iat": issued,
        "exp": issued + int(ttl.total_seconds()),
    }
