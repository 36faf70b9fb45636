"""The id under which WeChat knows a user, told to the services that ask WeChat about them and to nobody else."""

import json
from typing import Any

import grpc.aio
import pytest

from cadenza.auth.v1 import session_service_pb2, session_service_pb2_grpc, user_service_pb2_grpc
from cadenza.auth.v1 import user_service_pb2 as pb
from services.auth.domain.user import Provider, identity_hash
from services.auth.storage.tables import identities
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.kit.sealing import Sealer
from tests.auth.conftest import ENCRYPTION_KEY, Mesh


async def _user(mesh: Mesh) -> str:
    stub: Any = session_service_pb2_grpc.SessionServiceStub(mesh.peers("gateway").channel("auth"))
    request = session_service_pb2.AnonymousLoginRequest(provider="web", provider_id=f"device-{new_id()}")
    return str((await stub.AnonymousLogin(request)).user_id)


async def _open_id(mesh: Mesh, user_id: str, caller: str = "composer") -> str:
    stub: Any = user_service_pb2_grpc.UserServiceStub(mesh.peers(caller).channel("auth"))
    return str((await stub.FindOpenId(pb.FindOpenIdRequest(user_id=user_id))).open_id)


async def test_who_came_from_wechat_is_known_by_its_id(mesh: Mesh, database_url: str) -> None:
    """The open id of a user's identity with WeChat is opened; without one, and for nobody, it is empty."""
    user_id = await _user(mesh)
    assert await _open_id(mesh, user_id) == ""
    assert await _open_id(mesh, new_id()) == ""
    digest = identity_hash(Provider.WECHAT, f"o-{user_id}")
    known = json.dumps({"open_id": f"o-{user_id}", "union_id": ""}).encode()
    sealed = Sealer.from_hex(ENCRYPTION_KEY).seal(known, f"auth.identities:{digest.hex()}")
    db = Database(database_url)
    async with db.transaction() as tx:
        values = {"identity_id": new_id(), "user_id": user_id, "provider": "wechat", "provider_id_hash": digest}
        await tx.execute(
            identities.insert().values(**values, sealed_account=sealed, create_time=now(), update_time=now())
        )
    await db.close()
    assert await _open_id(mesh, user_id) == f"o-{user_id}"


async def test_it_is_for_composer_alone(mesh: Mesh) -> None:
    """Another service, the gateway included, is refused."""
    for caller in ("gateway", "share", "wallet"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _open_id(mesh, new_id(), caller)
        assert from_rpc(caught.value).reason == "PERMISSION_DENIED"
