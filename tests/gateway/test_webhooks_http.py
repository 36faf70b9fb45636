"""What WeChat pushes goes through the gateway as it came, and back what WeChat wants to hear."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from cadenza.composer.v1 import moderation_service_pb2 as pb
from cadenza.composer.v1 import moderation_service_pb2_grpc
from gateway.app import build
from gateway.config import Config
from services.kit.errors import PermissionDenied
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.validation import Validation

PATH = "/api/v1/wechat/push"


class Composer(moderation_service_pb2_grpc.ModerationServiceServicer):
    """Takes what is pushed, from whoever knows the word."""

    def __init__(self) -> None:
        self.pushed: list[tuple[dict[str, str], bytes]] = []

    async def AcceptWechatPush(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Keep it."""
        query = dict(request.query)
        if query.get("signature") != "right":
            raise PermissionDenied("this is not signed by WeChat")
        self.pushed.append((query, request.body))
        return pb.AcceptWechatPushResponse(answer=query.get("echostr", "success"))


@pytest.fixture
def composer() -> Composer:
    """Return the service."""
    made: Any = Composer
    service: Composer = made()
    return service


@pytest.fixture
async def http(composer: Composer, config: Config) -> AsyncIterator[TestClient[Any, Any]]:
    """Yield the client of a gateway in front of it."""
    mesh = LocalMesh()
    registered = Registered(moderation_service_pb2_grpc.add_ModerationServiceServicer_to_server, composer)
    mesh.add(Application("composer", [registered]), (Deadlines, Errors, Validation))
    async with TestClient(TestServer(await build(config, mesh.peers("gateway")))) as client:
        yield client


async def test_a_push_goes_on_as_it_came(http: TestClient[Any, Any], composer: Composer) -> None:
    """Query and body arrive untouched, whatever the body calls itself, and WeChat hears the bare answer."""
    body = b"<xml>\xe4\xbd\xa0</xml>\r\n"
    answer = await http.post(
        PATH, params={"signature": "right", "nonce": "a b"}, data=body, headers={"Content-Type": "text/xml"}
    )
    assert (answer.status, await answer.text()) == (200, "success")
    assert composer.pushed == [({"signature": "right", "nonce": "a b"}, body)]


async def test_the_address_proves_itself(http: TestClient[Any, Any]) -> None:
    """WeChat's check of the address is answered with what it said."""
    answer = await http.get(PATH, params={"signature": "right", "echostr": "4711"})
    assert (answer.status, await answer.text()) == (200, "4711")


@pytest.mark.parametrize(
    ("params", "body", "status"),
    [
        ({"signature": "wrong"}, b"{}", 403),
        ({}, b"{}", 403),
        ({"signature": "right"}, b"x" * (64 * 1024 + 1), 413),
        ({f"p{number}": "x" for number in range(17)}, b"{}", 400),
        ({"signature": "right", "nonce": "x" * 513}, b"{}", 400),
    ],
)
async def test_a_strangers_push_is_refused(
    http: TestClient[Any, Any], composer: Composer, params: dict[str, str], body: bytes, status: int
) -> None:
    """What is not signed, too large or too much is refused by the envelope and goes nowhere."""
    answer = await http.post(PATH, params=params, data=body)
    assert answer.status == status
    assert (await answer.json())["code"] > 10000
    assert composer.pushed == []
