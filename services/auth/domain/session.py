"""Sessions and their refresh tokens: when one is renewed, answered again, or ended.

The trade-off is Supabase Auth's: a client whose answer was lost must be able to ask again,
and a stolen token must not live beside its owner's. The window for the first is ten seconds,
and only while the token given in the lost answer has not been used.
"""

import hashlib
import secrets
from dataclasses import dataclass
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
    provider: Provider
    origin: Origin
    create_time: datetime
    seen_time: datetime
    expire_time: datetime


class Verdict(Enum):
    """What a refresh token that arrives is good for."""

    ROTATE = auto()
    RETRY = auto()
    REPLAY = auto()
    OVER = auto()


def new_refresh_token() -> str:
    """Return a new token of 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def refresh_hash(token: str) -> bytes:
    """Return the hash under which a token is stored and found.

    Finding it by an index tells nothing by its timing: whoever can steer the hash knows the token.
    """
    return hashlib.sha256(token.encode()).digest()


def judge(session: Session, token: RefreshToken, successor: RefreshToken | None, at: datetime) -> Verdict:
    """Return what to do with a token: renew, answer its lost answer again, or end the whole session."""
    if not session.is_open(at) or at >= token.expire_time:
        return Verdict.OVER
    if token.used_time is None:
        return Verdict.ROTATE
    unused = successor is not None and successor.used_time is None
    if unused and at - token.used_time <= RETRY_WINDOW:
        return Verdict.RETRY
    return Verdict.REPLAY


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
