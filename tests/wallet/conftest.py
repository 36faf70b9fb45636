"""Wallet as its composition root builds it, called through its contract."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit.ids import new_id
from services.kit.rpc.application import Application, background
from services.kit.rpc.around import concerns
from services.kit.rpc.key_set import Published
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.tokens import TokenVerifier
from services.wallet.__main__ import build
from services.wallet.config import Config

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Serving:
    """Wallet on a mesh of its own, and the key that signs the tokens of its callers."""

    mesh: LocalMesh
    key: Ed25519PrivateKey

    def channel(self, caller: str) -> Any:
        """Return the way to Wallet as a caller of that name."""
        return self.mesh.peers(caller).channel("wallet")

    def as_user(self, user_id: str, *roles: str) -> Metadata:
        """Return the metadata of a signed-in person."""
        now = int(time.time())
        claims = {"iss": "cadenza", "aud": "cadenza", "sub": user_id, "sid": new_id(), "jti": new_id()}
        times = {"iat": now, "exp": now + 60, "roles": list(roles)}
        token = jwt.encode({**claims, **times}, self.key, algorithm="EdDSA", headers={"kid": "k"})
        return (("authorization", f"Bearer {token}"),)


@pytest.fixture
def wallet_config(database_url: str, redis_url: str) -> Config:
    """Return the settings of Wallet; a test module may have others."""
    return Config(database_url=database_url, redis_url=redis_url)


@pytest.fixture
def neighbours() -> Callable[[], list[Application]]:
    """Return the other services that Wallet may call; none unless a test module has some."""
    return list


@pytest.fixture
async def serving(wallet_config: Config, neighbours: Callable[[], list[Application]]) -> AsyncIterator[Serving]:
    """Yield Wallet, its loops running."""
    key = Ed25519PrivateKey.generate()

    async def keys() -> Published:
        return Published({"k": key.public_key()})

    async def revoked(_identity: object) -> bool:
        return False

    mesh = LocalMesh()
    around = concerns("wallet", verifier=TokenVerifier(keys, revoked))
    for neighbour in neighbours():
        mesh.add(neighbour, around)
    async with build(wallet_config, mesh.peers("wallet")) as application, background([application]):
        mesh.add(application, around)
        yield Serving(mesh, key)
        await mesh.drain(1.0)
