"""The keys that sign access tokens: made once under a lock, kept sealed, replaced as they age."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.auth.domain import signing_key as rules
from services.auth.domain.signing_key import SigningKey
from services.auth.storage import signing_key as storage
from services.auth.storage.signing_key import SealedKey
from services.kit.clock import Clock
from services.kit.db.engine import Database
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.rpc.tokens import ALGORITHM, AUDIENCE, ISSUER
from services.kit.sealing import CannotOpen, Sealer

# Copies of the key set are kept for these parts of the time for which a new key is announced: here, and by others.
_KEPT_PART = 10
_FRESH_PART = 2


@dataclass(frozen=True)
class Signer:
    """Signs access tokens with one key."""

    key_id: str
    _private: Ed25519PrivateKey

    def sign(self, claims: dict[str, Any]) -> str:
        """Return the token with the claims, this issuer and this audience."""
        whole = {"iss": ISSUER, "aud": AUDIENCE, **claims}
        return jwt.encode(whole, self._private, algorithm=ALGORITHM, headers={"kid": self.key_id})


class SigningKeys:
    """The key set, read from the database once in a tenth of the time for which a new key is announced: a minute."""

    def __init__(
        self,
        db: Database,
        sealer: Sealer,
        clock: Clock,
        *,
        access_ttl: timedelta,
        longest: timedelta,
        announced_for: timedelta = rules.ANNOUNCED,
    ) -> None:
        """Keep the collaborators; `longest` is the age at which a key gets a successor, announced for a while first."""
        self._db = db
        self._sealer = sealer
        self._clock = clock
        self._access_ttl = access_ttl
        self._longest = longest
        self._announced_for = announced_for
        self._keys: list[SigningKey] = []
        self._read_time: datetime | None = None
        self._reading = asyncio.Lock()

    async def signer(self) -> Signer:
        """Return what signs tokens now; the first call ever makes the first key."""
        key = rules.signer(await self._current(), self._clock(), self._announced_for)
        return Signer(key.key_id, Ed25519PrivateKey.from_private_bytes(key.private_key))

    async def published(self) -> list[SigningKey]:
        """Return the keys that verify tokens now, the newest first."""
        return rules.published(await self._current(), self._clock(), self._access_ttl, self._announced_for)

    @property
    def fresh_s(self) -> int:
        """Return the seconds for which others may keep what is published."""
        return max(int(self._announced_for.total_seconds()) // _FRESH_PART, 1)

    async def _current(self) -> list[SigningKey]:
        async with self._reading:
            at = self._clock()
            if self._read_time is None or at - self._read_time >= self._announced_for / _KEPT_PART:
                self._keys = await self._read(at)
                self._read_time = at
            return self._keys

    async def _read(self, at: datetime) -> list[SigningKey]:
        """Return the keys of the database, with a new one if it is time for one."""
        async with self._db.transaction() as tx:
            keys = [self._opened(each) for each in await storage.list_all(tx)]
            if not rules.is_due(keys, at, self._longest):
                return keys
            await storage.lock(tx)
            keys = [self._opened(each) for each in await storage.list_all(tx)]
            if rules.is_due(keys, at, self._longest):
                new = _new_key(at)
                sealed = self._sealer.seal(new.private_key, _place(new.key_id))
                await storage.add(tx, SealedKey(new.key_id, new.public_key, sealed, new.create_time))
                keys.append(new)
            return keys

    def _opened(self, key: SealedKey) -> SigningKey:
        """Return a key with its private part; Unavailable when the configured key does not open it."""
        try:
            private = self._sealer.open(key.sealed_private_key, _place(key.key_id))
        except CannotOpen as error:
            # Making a new key instead would let one misconfigured process end every session.
            raise Unavailable(
                "a signing key was sealed under another ENCRYPTION_KEY; put that one into ENCRYPTION_KEYS_OLD",
                dependency="encryption_key",
            ) from error
        return SigningKey(key.key_id, key.public_key, private, key.create_time)


def _new_key(at: datetime) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    return SigningKey(new_id(), private.public_key().public_bytes_raw(), private.private_bytes_raw(), at)


def _place(key_id: str) -> str:
    return f"auth.signing_keys:{key_id}"
