"""What a login promises is kept, also when Wallet is away while it is made."""

import asyncio

import grpc
import pytest

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1.session_service_pb2_grpc import SessionServiceStub
from cadenza.wallet.v1.credit_service_pb2 import GetBalanceRequest
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.kit.ids import new_id
from services.kit.rpc.application import background
from tests.auth.conftest import Mesh

_DEADLINE_S = 30.0


async def _available(mesh: Mesh, token: str) -> int:
    stub = CreditServiceStub(mesh.peers("gateway").channel("wallet"))
    metadata = (("authorization", f"Bearer {token}"),)
    return (await stub.GetBalance(GetBalanceRequest(), metadata=metadata)).balance.available_credits


async def test_wallet_away_does_not_stop_a_login_and_the_credits_come_later(mesh: Mesh) -> None:
    """A user made while Wallet is away is logged in; once it is back they have 100 credits, once."""
    mesh.stop_wallet()
    device = f"device-{new_id()}"
    sessions = SessionServiceStub(mesh.peers("gateway").channel("auth"))
    login = await sessions.AnonymousLogin(pb.AnonymousLoginRequest(provider="web", provider_id=device))
    assert login.is_new
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _available(mesh, login.access_token)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    mesh.start_wallet()
    assert await _available(mesh, login.access_token) == 0
    async with background([mesh.auth]), asyncio.timeout(_DEADLINE_S):
        # Nothing tells a client that credits arrive; looking again is what it would do.
        while await _available(mesh, login.access_token) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    again = await sessions.AnonymousLogin(pb.AnonymousLoginRequest(provider="web", provider_id=device))
    assert not again.is_new
    assert await _available(mesh, again.access_token) == 100
