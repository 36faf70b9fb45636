"""Sign in with Apple: the identity token of an authorization, verified by Apple's published keys.

Wire facts are those of Apple's pages on verifying a user and on its keys: RS256, several keys at once, rotated without
notice, so that a token of an unknown key is a reason to fetch them again, though not more than once a minute.
"""

import asyncio
import hashlib
import hmac
from datetime import datetime, timedelta
from typing import Any, Final

import jwt

from services.auth.domain.errors import AuthProviderError
from services.auth.providers import AppleAccount
from services.kit.clock import Clock
from services.kit.errors import DomainError
from services.kit.http import HttpClient

ISSUER: Final = "https://appleid.apple.com"
_ALGORITHM: Final = "RS256"
_KEYS_PATH: Final = "/auth/keys"
_KEPT: Final = timedelta(hours=6)
_AT_MOST_EVERY: Final = timedelta(minutes=1)
_LEEWAY: Final = timedelta(seconds=60)
_OK: Final = 200
_MOST_KEYS: Final = 32
_LONGEST_SUBJECT: Final = 128


class Apple:
    """The door for the programs and sites of one team."""

    def __init__(
        self, http: HttpClient, clock: Clock, *, base_url: str, client_ids: tuple[str, ...], timeout_s: float
    ) -> None:
        """Take tokens that were made for one of these ids."""
        self._http = http
        self._clock = clock
        self._url = base_url.rstrip("/") + _KEYS_PATH
        self._client_ids = list(client_ids)
        self._timeout_s = timeout_s
        self._keys: dict[str, Any] = {}
        self._fetch_time: datetime | None = None
        self._lock = asyncio.Lock()

    async def verify(self, identity_token: str, nonce: str) -> AppleAccount:
        """Return the account; raises AuthProviderError when the token is refused or the keys cannot be had."""
        key = await self._key(_key_id(identity_token))
        try:
            claims = jwt.decode(
                identity_token,
                key,
                # Pinned: the token must not choose how it is verified.
                algorithms=[_ALGORITHM],
                audience=self._client_ids,
                issuer=ISSUER,
                options={
                    "require": ["iss", "aud", "exp", "iat", "sub"],
                    # By our own clock, below.
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            # Without the cause, which may show parts of the token.
            raise _refused(type(error).__name__) from None
        self._check(claims, nonce)
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise _refused("subject")
        return AppleAccount(subject)

    def _check(self, claims: dict[str, Any], nonce: str) -> None:
        """Return when times and nonce are right; AuthProviderError when not."""
        at = self._clock().timestamp()
        leeway = _LEEWAY.total_seconds()
        times = claims["exp"], claims["iat"]
        if not all(isinstance(each, int | float) for each in times):
            raise _refused("times")
        if at > claims["exp"] + leeway:
            raise _refused("expired")
        if at < claims["iat"] - leeway:
            raise _refused("not_yet")
        given = str(claims.get("nonce", ""))
        # Most clients put the hash into their request, some the text itself.
        wanted = (hashlib.sha256(nonce.encode()).hexdigest(), nonce)
        equal = [hmac.compare_digest(given.encode(), each.encode()) for each in wanted]
        if not any(equal):
            raise _refused("nonce")

    async def _key(self, key_id: str) -> Any:
        """Return a public key by its name; AuthProviderError when Apple has none of that name."""
        async with self._lock:
            at = self._clock()
            age = None if self._fetch_time is None else at - self._fetch_time
            if age is None or age >= _KEPT or (key_id not in self._keys and age >= _AT_MOST_EVERY):
                await self._fetch(at)
        if key_id not in self._keys:
            raise _refused("unknown_key")
        return self._keys[key_id]

    async def _fetch(self, at: datetime) -> None:
        """Fetch the keys; those that are known stay in use when Apple does not answer."""
        try:
            answer = await self._http.request("GET", self._url, timeout_s=self._timeout_s)
            found = answer.json()["keys"] if answer.status == _OK else []
            keys = {
                each["kid"]: jwt.PyJWK.from_dict(each, _ALGORITHM).key for each in found[:_MOST_KEYS] if _usable(each)
            }
        except (DomainError, ValueError, KeyError, TypeError, jwt.PyJWTError):
            keys = {}
        if keys:
            self._keys, self._fetch_time = keys, at
        elif not self._keys:
            raise AuthProviderError("Apple's keys cannot be had", provider="apple", cause="unreachable")


class AppleOff:
    """The door where no program of ours is known to Apple."""

    async def verify(self, identity_token: str, nonce: str) -> AppleAccount:
        """Raise AuthProviderError, whatever the token."""
        del identity_token, nonce
        raise AuthProviderError("Sign in with Apple is not configured", provider="apple", cause="not_configured")


def _usable(key: Any) -> bool:
    return isinstance(key, dict) and key.get("kty") == "RSA" and key.get("alg") == _ALGORITHM and bool(key.get("kid"))


def _key_id(token: str) -> str:
    """Return the name of the key that a token says it was signed with; AuthProviderError when it says none."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise _refused("malformed") from None
    key_id = header.get("kid")
    if header.get("alg") != _ALGORITHM or not isinstance(key_id, str):
        raise _refused("algorithm")
    return key_id


def _refused(why: str) -> AuthProviderError:
    return AuthProviderError("Apple's token is not good", provider="apple", cause="refused", why=why)
