"""Auth and Wallet together in one process, on real PostgreSQL and Valkey."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from services.auth.__main__ import build as build_auth
from services.auth.config import Config as AuthConfig
from services.kit.rpc.application import Application
from services.kit.rpc.around import concerns
from services.kit.rpc.channel import Peers
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.wallet.__main__ import build as build_wallet
from services.wallet.config import Config as WalletConfig

ENCRYPTION_KEY = "5e" * 32


@dataclass(frozen=True)
class Mesh:
    """The two services and a way to be somebody who calls them."""

    local: LocalMesh
    auth: Application
    wallet: Application
    redis: Redis

    def peers(self, caller: str) -> Peers:
        """Return channels as this caller."""
        return self.local.peers(caller)

    def stop_wallet(self) -> None:
        """Take Wallet away."""
        self.local.remove("wallet")

    def start_wallet(self) -> None:
        """Bring Wallet back."""
        verifier = standard_verifier(self.local.peers("wallet"), self.redis)
        self.local.add(self.wallet, concerns("wallet", verifier=verifier))


@pytest.fixture
async def mesh(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Mesh]:
    """Yield Auth and Wallet as their composition roots build them, without their background loops."""
    local = LocalMesh()
    async with AsyncExitStack() as stack:
        wallet = await stack.enter_async_context(
            build_wallet(WalletConfig(database_url=database_url, redis_url=redis_url), local.peers("wallet"))
        )
        auth = await stack.enter_async_context(
            build_auth(
                AuthConfig(database_url=database_url, redis_url=redis_url, encryption_key=ENCRYPTION_KEY),
                local.peers("auth"),
            )
        )
        local.add(auth, concerns("auth", verifier=standard_verifier(local.peers("auth"), redis)))
        made = Mesh(local, auth, wallet, redis)
        made.start_wallet()
        yield made
        await local.drain(1.0)
