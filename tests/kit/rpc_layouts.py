"""The same application behind a socket with mutual TLS and inside the process, for tests to compare."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit.config import ProcessConfig
from services.kit.rpc.around import concerns
from services.kit.rpc.call import Identity
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.channel import MtlsPeers, Peers
from services.kit.rpc.key_set import Published
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.serve import Application, Registered, Server
from services.kit.rpc.tokens import TokenVerifier
from services.mesh.ca import Authority
from tests.kit.echo_service import Echo, add_echo

KEY_ID = "key-1"


@dataclass
class Issuer:
    """Signs tokens the way Auth does, or any other way a test wants."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    ended: set[str] = field(default_factory=set)
    fetches: int = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token; a change to None leaves the claim out."""
        now = int(time.time())
        claims = {
            "iss": "cadenza",
            "aud": "cadenza",
            "sub": "user-1",
            "sid": "session-1",
            "jti": "token-1",
            "iat": now,
            "exp": now + 600,
            "roles": [],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, headers: Mapping[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        """Return a token signed with Ed25519."""
        return jwt.encode(
            self.claims(**changes), key or self.key, algorithm="EdDSA", headers={"kid": KEY_ID, **(headers or {})}
        )

    async def keys(self) -> Published:
        """Return the public key, as Auth's key set would."""
        self.fetches += 1
        return Published({KEY_ID: self.key.public_key()})

    async def revoked(self, identity: Identity) -> bool:
        """Return whether the test has ended the session."""
        return identity.session_id in self.ended

    def verifier(self) -> TokenVerifier:
        """Return a verifier that trusts this issuer."""
        return TokenVerifier(self.keys, self.revoked)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Return the metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass
class Layout:
    """An echo application that can be called."""

    echo: Echo
    issuer: Issuer
    peers: Callable[[str], Peers]
    address: str = ""

    def channel(self, caller: str = "gateway") -> Any:
        """Return a channel to the application as `caller`."""
        return self.peers(caller).channel("wallet")


def echo_application(echo: Echo) -> Application:
    """Return the application, under the name of a service that has an address setting."""
    return Application("wallet", [Registered(add_echo, echo)])


@asynccontextmanager
async def local_layout() -> AsyncIterator[Layout]:
    """Yield the application inside the process."""
    echo, issuer, mesh = Echo(), Issuer(), LocalMesh()
    mesh.add(echo_application(echo), concerns("test", verifier=issuer.verifier()))
    yield Layout(echo, issuer, mesh.peers)
    await mesh.drain(0.5)


@asynccontextmanager
async def socket_layout(directory: Path) -> AsyncIterator[Layout]:
    """Yield the application behind a mutual TLS port."""
    tls = directory / "tls"
    Authority(directory / "authority", tls).ensure()
    echo, issuer = Echo(), Issuer()
    server = Server(
        [echo_application(echo)],
        concerns("test", verifier=issuer.verifier()),
        address="127.0.0.1:0",
        credentials=Certificates(tls, "wallet").server_credentials(),
    )
    await server.start()
    config = ProcessConfig(tls_directory=tls, wallet_address=f"127.0.0.1:{server.port}", tls_server_name="{service}")
    made: list[MtlsPeers] = []

    def peers(caller: str) -> Peers:
        made.append(MtlsPeers(config, caller))
        return made[-1]

    try:
        yield Layout(echo, issuer, peers, config.wallet_address)
    finally:
        for each in made:
            await each.close()
        await server.stop(0.2)


def log_lines(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines in captured output."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
