"""What a request with a token does not do: ask Auth."""

from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from cryptography.hazmat.primitives import serialization
from redis.asyncio import Redis

from cadenza.auth.v1 import session_service_pb2, session_service_pb2_grpc
from cadenza.wallet.v1 import credit_service_pb2_grpc
from gateway.app import build
from gateway.config import Config
from gateway.listen import GatewayRunner
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import concerns
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from tests.gateway.services import Credits
from tests.kit.rpc_layouts import KEY_ID, Issuer

REQUESTS = 60


class _Auth(session_service_pb2_grpc.SessionServiceServicer):
    """An Auth that counts who asks it for what."""

    def __init__(self, issuer: Issuer) -> None:
        self.asked: Counter[str] = Counter()
        self._key = issuer.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    async def GetKeySet(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return the key that tokens are signed with."""
        self.asked["GetKeySet"] += 1
        key = session_service_pb2.GetKeySetResponse.Key(key_id=KEY_ID, public_key=self._key)
        return session_service_pb2.GetKeySetResponse(keys=[key])

    async def CheckSession(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Say that the session is open."""
        self.asked["CheckSession"] += 1
        return session_service_pb2.CheckSessionResponse(open=True)


async def test_requests_with_a_token_do_not_ask_auth(redis: Redis, redis_url: str, tmp_path: Path) -> None:
    """Sixty requests of three people ask Auth once, for its keys; ended sessions are looked up in Redis alone."""
    issuer, mesh = Issuer(), LocalMesh()
    # Both implement a part of their contracts only.
    auth_class: Any = _Auth
    wallet_class: Any = Credits
    auth = auth_class(issuer)
    around = concerns("test", verifier=standard_verifier(mesh.peers("edge"), redis))
    add = session_service_pb2_grpc.add_SessionServiceServicer_to_server
    mesh.add(Application("auth", [Registered(add, auth)]), around)
    add_credits = credit_service_pb2_grpc.add_CreditServiceServicer_to_server
    mesh.add(Application("wallet", [Registered(add_credits, wallet_class())]), around)
    config = Config(redis_url=redis_url, object_store_directory=tmp_path, object_url_secret="a secret of the tests")
    runner = GatewayRunner(await build(config, mesh.peers("gateway")), drain_s=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        tokens = [issuer.token(sub=f"user-{n}", sid=f"session-{n}", jti=f"token-{n}") for n in range(3)]
        async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            for number in range(REQUESTS):
                headers = {"Authorization": f"Bearer {tokens[number % len(tokens)]}"}
                async with client.get("/api/v1/wallet/balance", headers=headers) as answer:
                    assert answer.status == 200
    finally:
        await runner.cleanup()
    assert auth.asked == {"GetKeySet": 1}
