"""Auth and Wallet with everything that is outside of them, as people meet it: what the tests of accounts share."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from cadenza.auth.v1 import code_service_pb2, login_service_pb2, session_service_pb2
from cadenza.auth.v1.code_service_pb2_grpc import CodeServiceStub
from cadenza.auth.v1.identity_service_pb2_grpc import IdentityServiceStub
from cadenza.auth.v1.login_service_pb2_grpc import LoginServiceStub
from cadenza.auth.v1.merge_service_pb2_grpc import MergeServiceStub
from cadenza.auth.v1.notification_service_pb2_grpc import NotificationServiceStub
from cadenza.auth.v1.password_service_pb2_grpc import PasswordServiceStub
from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceStub
from cadenza.auth.v1.user_service_pb2_grpc import UserServiceStub
from services.auth.__main__ import build as build_auth
from services.auth.config import Config as AuthConfig
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.around import concerns
from services.kit.rpc.errors import from_rpc
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.wallet.__main__ import build as build_wallet
from services.wallet.config import Config as WalletConfig
from tests.auth.conftest import ENCRYPTION_KEY
from tests.auth.outside import Outside
from tests.auth.outside import outside as outside_world
from tests.conftest import SettableClock

PURPOSES = code_service_pb2.CodePurpose
PASSWORD = "correct horse battery"


def new_mailbox() -> str:
    """Return a mailbox that no other test writes to."""
    return f"p{new_id()}@cadenza.test"


def new_phone() -> str:
    """Return a phone of eleven digits that no other test calls, as likely as not."""
    return f"13{secrets.randbelow(10**9):09}"


@dataclass(frozen=True)
class House:
    """The services and ways to be somebody who calls them."""

    local: LocalMesh
    outside: Outside
    clock: SettableClock

    @property
    def codes(self) -> Any:
        """Return the stub of codes."""
        return CodeServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def logins(self) -> Any:
        """Return the stub of logins."""
        return LoginServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def identities(self) -> Any:
        """Return the stub of identities."""
        return IdentityServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def merges(self) -> Any:
        """Return the stub of merges."""
        return MergeServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def inbox(self) -> Any:
        """Return the stub of notices."""
        return NotificationServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def passwords(self) -> Any:
        """Return the stub of passwords."""
        return PasswordServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def sessions(self) -> Any:
        """Return the stub of sessions."""
        return SessionServiceStub(self.local.peers("gateway").channel("auth"))

    @property
    def users(self) -> Any:
        """Return the stub of users."""
        return UserServiceStub(self.local.peers("gateway").channel("auth"))

    async def code(self, target: str, purpose: Any, *, token: str = "", **client: str) -> str:
        """Return the code that a target gets for a purpose."""
        got = self.outside.post.codes if "@" in target else self.outside.sms.codes
        before = len(got(target))
        request = code_service_pb2.SendCodeRequest(target=target, purpose=purpose)
        await self.codes.SendCode(request, metadata=said(token, **client))
        await until(lambda: len(got(target)) > before)
        return got(target)[-1]

    async def register(self, mailbox: str, password: str = PASSWORD, **more: str) -> login_service_pb2.RegisterResponse:
        """Make an account."""
        code = await self.code(mailbox, PURPOSES.CODE_PURPOSE_REGISTER)
        request = login_service_pb2.RegisterRequest(email=mailbox, code=code, password=password, **more)
        answer: login_service_pb2.RegisterResponse = await self.logins.Register(request)
        return answer

    async def login(self, account: str, password: str = PASSWORD, **client: str) -> login_service_pb2.LoginResponse:
        """Log in by password."""
        request = login_service_pb2.LoginRequest(account=account, password=password)
        answer: login_service_pb2.LoginResponse = await self.logins.Login(request, metadata=said(**client))
        return answer

    async def device(self) -> session_service_pb2.AnonymousLoginResponse:
        """Log in a new device."""
        request = session_service_pb2.AnonymousLoginRequest(provider="web", provider_id=f"device-{new_id()}")
        answer: session_service_pb2.AnonymousLoginResponse = await self.sessions.AnonymousLogin(request)
        return answer


def said(token: str = "", *, address: str = "", agent: str = "", platform: str = "", language: str = "") -> Any:
    """Return the metadata of a call, as the gateway would send it."""
    given = {
        "authorization": f"Bearer {token}" if token else "",
        "x-client-ip": address,
        "x-client-agent": agent,
        "x-platform": platform,
        "accept-language": language,
    }
    return tuple((name, value) for name, value in given.items() if value)


async def refused(call: Any) -> RemoteError:
    """Return the error with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def until(done: Callable[[], bool], seconds: float = 10.0) -> None:
    """Return once something is so."""
    async with asyncio.timeout(seconds):
        while True:
            if done():
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def house(
    database_url: str, redis_url: str, redis: Redis, clock: SettableClock, **more: Any
) -> AsyncIterator[House]:
    """Yield Auth and Wallet as their composition roots build them, what Auth does beside its calls at work."""
    local = LocalMesh()
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(outside_world())
        wallet = await stack.enter_async_context(
            build_wallet(WalletConfig(database_url=database_url, redis_url=redis_url), local.peers("wallet"))
        )
        settings = {
            "encryption_key": ENCRYPTION_KEY,
            "code_resend_gap": 0,
            "code_daily_per_address": 100_000,
            **world.settings,
            **more,
        }
        config = AuthConfig(database_url=database_url, redis_url=redis_url, **settings)
        auth = await stack.enter_async_context(build_auth(config, local.peers("auth"), clock=clock))
        local.add(auth, concerns("auth", verifier=standard_verifier(local.peers("auth"), redis)))
        local.add(wallet, concerns("wallet", verifier=standard_verifier(local.peers("wallet"), redis)))
        running = [asyncio.create_task(each()) for each in auth.background]
        try:
            yield House(local, world, clock)
        finally:
            for each in running:
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
            await local.drain(1.0)
