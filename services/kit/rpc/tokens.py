"""Access tokens are verified here, locally: no call to Auth per request.

A token is a JWT signed with Ed25519. Everything else (`none`, HS256 with the public key as
secret, another key id, another issuer or audience) is refused before any claim is read.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from services.kit.clock import Clock, now
from services.kit.errors import AuthExpired, Unauthenticated
from services.kit.rpc.call import Identity
from services.kit.rpc.key_set import KeySet, KeySource

ALGORITHM: Final = "EdDSA"
ISSUER: Final = "cadenza"
AUDIENCE: Final = "cadenza"

_LONGEST_TOKEN = 4096
_MOST_CACHED = 10_000
# A verified token is believed this long before its signature is looked at again, which is how
# long a withdrawn signing key may live on. Revocation is checked at every call all the same.
_CACHED_S = 60.0

Revoked = Callable[[Identity], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _Verified:
    identity: Identity
    expires: float  # Unix seconds
    believed_until: float  # event loop seconds


class TokenVerifier:
    """Turns an access token into the identity it proves."""

    def __init__(self, key_source: KeySource, revoked: Revoked, *, clock: Clock = now) -> None:
        """Use the keys of `key_source`, fetched when needed, and ask `revoked` at every call."""
        self._keys = KeySet(key_source)
        self._revoked = revoked
        self._clock = clock
        self._cache: OrderedDict[bytes, _Verified] = OrderedDict()

    async def verify(self, token: str) -> Identity:
        """Return whose token it is.

        Raises Unauthenticated for anything that Auth did not sign, AuthExpired for a token
        that was good once and has run out or been revoked.
        """
        if len(token) > _LONGEST_TOKEN:
            raise Unauthenticated("the token is too long")
        digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()
        verified = self._cache.get(digest)
        if verified is None or verified.believed_until < asyncio.get_running_loop().time():
            verified = await self._verify_signature(token)
            self._remember(digest, verified)
        if verified.expires <= self._clock().timestamp():
            raise AuthExpired("the token has expired")
        if await self._revoked(verified.identity):
            raise AuthExpired("the session was ended")
        return verified.identity

    async def _verify_signature(self, token: str) -> _Verified:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM:
                raise Unauthenticated("the token is not signed the way ours are")
            key = await self._keys.find(str(header.get("kid", "")))
            if key is None:
                raise Unauthenticated("the token is signed with an unknown key")
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # The time is checked against our own clock, at every call and not only now.
                options={
                    "require": ["iss", "aud", "sub", "sid", "jti", "exp", "iat"],
                    "verify_exp": False,
                    "verify_iat": False,
                },
            )
            return self._read(claims)
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise Unauthenticated("the token is not valid") from error

    def _read(self, claims: Mapping[str, Any]) -> _Verified:
        roles = claims.get("roles", [])
        if not isinstance(roles, list):
            raise Unauthenticated("the token is not valid")
        identity = Identity(
            user_id=str(claims["sub"]),
            session_id=str(claims["sid"]),
            roles=frozenset(str(role) for role in roles),
            token_id=str(claims["jti"]),
        )
        believed_until = asyncio.get_running_loop().time() + _CACHED_S
        return _Verified(identity, float(claims["exp"]), believed_until)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._cache[digest] = verified
        self._cache.move_to_end(digest)
        while len(self._cache) > _MOST_CACHED:
            self._cache.popitem(last=False)
