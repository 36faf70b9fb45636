"""What vendors push to us: signed bytes that go on to the service which can read them, exactly as they came.

Nothing is decided here, and nothing of it is written down: a push is neither JSON of ours nor anybody's request.
"""

from typing import Any, Final

from aiohttp import web

from cadenza.composer.v1.moderation_service_pb2 import AcceptWechatPushRequest
from cadenza.composer.v1.moderation_service_pb2_grpc import ModerationServiceStub
from gateway.bodies import read_body
from gateway.caller import CALLER
from gateway.upstream import asking
from services.kit.errors import ParamInvalid
from services.kit.rpc.channel import Peers

WECHAT: Final = "/api/v1/wechat/push"

_LARGEST: Final = 64 * 1024
_BODY_S: Final = 4.0
_ANSWER_S: Final = 4.5  # WeChat waits for five
_MOST_QUERY: Final = 16


def add_webhooks(app: web.Application, peers: Peers) -> None:
    """Take what WeChat pushes, for Composer."""
    stub: Any = ModerationServiceStub(peers.channel("composer"))

    async def push(http: web.Request) -> web.Response:
        if len(http.query) > _MOST_QUERY:
            raise ParamInvalid.of("query", f"must have at most {_MOST_QUERY} parameters", "query")
        body = await read_body(http, limit=_LARGEST, deadline_s=_BODY_S)
        metadata = (("x-trace-id", http[CALLER].trace_id),)
        with asking("composer"):
            request = AcceptWechatPushRequest(query=dict(http.query), body=body)
            made = await stub.AcceptWechatPush(request, timeout=_ANSWER_S, metadata=metadata)
        return web.Response(text=made.answer)

    app.router.add_route("GET", WECHAT, push)
    app.router.add_route("POST", WECHAT, push)
