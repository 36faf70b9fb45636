"""A stand-in for Sign in with Apple: the keys it publishes, and the identity tokens it would give a phone.

It keeps what matters of the real one: several RS256 keys at once, rotated without notice, tokens that name their key,
program, person and the hash of the nonce, `email_verified` as a text. Facts are those of Apple's pages on identity
tokens and on its public keys.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, ClassVar

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from services.kit.clock import Clock, now
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

CLIENT_ID = "com.example.cadenza"
ISSUER = "https://appleid.apple.com"
_LIFE_S = 600
_KEY_BITS = 2048


@dataclass(frozen=True)
class _Key:
    name: str
    private: RSAPrivateKey


class Apple(StandIn):
    """One Apple with one program of ours."""

    name = "apple"
    OPEN_TO_ALL = True
    FAULTS: ClassVar = {
        "down": Fault(status=503, body="<html>Service Unavailable</html>"),
        "no_keys": Fault(status=200, body={"keys": []}),
        "garbled": Fault(status=200, body="<html>a captive portal</html>"),
        "slow": Fault(delay_s=20.0),
        "cut": Fault(cut=True),
    }

    def __init__(self, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self.keys: list[_Key] = []
        self.rotate()

    def settings(self) -> dict[str, str]:
        """Return what switches Sign in with Apple on."""
        return {"APPLE_BASE_URL": self.url, "APPLE_CLIENT_IDS": CLIENT_ID}

    def routes(self) -> list[web.RouteDef]:
        """Return the one route of Apple's; `POST /_sandbox/tokens` stands for the phone."""
        return [web.get("/auth/keys", self._keys), web.post("/_sandbox/tokens", self._issue)]

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Fetch the keys, which anybody may."""
        return [await ask("GET", "/auth/keys")]

    def refused(self, reply: Reply) -> bool:
        """Return that it is none: there is no key to have wrong."""
        return False

    def rotate(self) -> None:
        """Sign with a new key from now on; the one before stays published, older ones do not."""
        key = _Key(secrets.token_hex(5).upper(), generate_private_key(public_exponent=65537, key_size=_KEY_BITS))
        self.keys = [key, *self.keys[:1]]

    def token(self, subject: str, nonce: str, /, **changed: Any) -> str:
        """Return what a phone would bring for a person; `changed` replaces claims, None leaves one out."""
        at = int(self.clock().timestamp())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT_ID,
            "sub": subject,
            "iat": at,
            "exp": at + _LIFE_S,
            "auth_time": at,
            "nonce": hashlib.sha256(nonce.encode()).hexdigest(),
            "nonce_supported": True,
            "email_verified": "true",
            **changed,
        }
        given = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(given, self.keys[0].private, algorithm="RS256", headers={"kid": self.keys[0].name})

    async def _keys(self, _: web.Request) -> web.Response:
        found = []
        for key in self.keys:
            public = jwt.algorithms.RSAAlgorithm.to_jwk(key.private.public_key(), as_dict=True)
            found.append(
                {"kty": "RSA", "kid": key.name, "use": "sig", "alg": "RS256", "n": public["n"], "e": public["e"]}
            )
        return web.json_response({"keys": found})

    async def _issue(self, request: web.Request) -> web.Response:
        """Answer with a token for the person and nonce named in the body."""
        body = await request.json()
        return web.json_response({"identity_token": self.token(str(body["sub"]), str(body["nonce"]))})
