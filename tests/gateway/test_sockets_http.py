"""Event streams over a WebSocket: who may listen, the same events, sharing, resuming, bounds and the end."""

import asyncio
import socket as sockets
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from gateway import sockets as gateway_sockets
from services.kit.errors import Unavailable
from tests.gateway.conftest import ALICE, Gateway, runners
from tests.gateway.services import TRACK, Fakes
from tests.gateway.test_stream_http import PATH, next_event, until_reading

WS = gateway_sockets.PATH


async def told(socket: ClientWebSocketResponse) -> Any:
    """Return the next message as JSON, or the code that the socket was closed with."""
    message = await socket.receive(timeout=5)
    return orjson.loads(message.data) if message.type is WSMsgType.TEXT else message.data


async def opened(http: ClientSession, token: str = "alice") -> ClientWebSocketResponse:  # noqa: S107  # of a fake
    """Return a socket that may subscribe."""
    socket = await http.ws_connect(WS)
    await socket.send_json({"op": "auth", "token": token})
    assert await told(socket) == {"event": "ready"}
    return socket


async def subscribed(socket: ClientWebSocketResponse, **wish: Any) -> Any:
    """Subscribe, to the job's stream where the test names no other, and return the first event."""
    await socket.send_json({"op": "subscribe", "path": PATH, **wish})
    return await told(socket)


async def test_a_socket_tells_what_server_sent_events_tell(http: ClientSession, fakes: Fakes) -> None:
    """Event by event the names, places and data are equal; the subscription ends with the stream, the socket stays."""
    for last in (False, False, True):
        fakes.jobs.add(final=last)
    async with http.get(PATH, headers=ALICE) as response:
        events = []
        while event := await next_event(response):
            events.append({"tag": "a", "event": event.name, "data": event.data})
            events[-1] |= {"id": int(event.id)} if event.id else {}
    async with await opened(http) as socket:
        for _ in range(2):
            found = [await subscribed(socket, tag="a")] + [await told(socket) for _ in events[1:]]
            assert found == events


@pytest.mark.parametrize(
    "wish", [{"after": 2}, {"after": "2"}, {"path": f"{PATH}?after_sequence=2"}, {"path": f"{PATH}?after=2"}]
)
async def test_a_subscription_goes_on_where_another_stopped(
    http: ClientSession, fakes: Fakes, wish: dict[str, Any]
) -> None:
    """Only later events follow the snapshot."""
    for last in (False, False, False, True):
        fakes.jobs.add(final=last)
    async with await opened(http) as socket:
        found = [await subscribed(socket, **wish)] + [await told(socket) for _ in range(3)]
    assert [(each["event"], each.get("id")) for each in found] == [
        ("snapshot", 2),
        ("change", 3),
        ("change", 4),
        ("end", None),
    ]


async def test_many_sockets_and_streams_share_one_upstream_call(http: ClientSession, fakes: Fakes) -> None:
    """Browsers with sockets, and one with server-sent events, cost one subscription to the job."""
    fakes.jobs.add()
    async with await opened(http) as one, await opened(http) as other, http.get(PATH, headers=ALICE) as stream:
        for socket in (one, other):
            assert (await subscribed(socket))["event"] == "snapshot"
        await until_reading(fakes, 1)
        fakes.jobs.add(final=True)
        for socket in (one, other):
            assert [(await told(socket))["event"] for _ in range(3)] == ["change", "change", "end"]
        assert b"event: end" in await stream.read()
    await until_reading(fakes, 0)


async def test_the_token_comes_in_the_handshake_or_in_the_first_message_and_never_in_the_address(
    http: ClientSession,
) -> None:
    """A native client may send the header; an address with a parameter is refused before anything is opened."""
    async with http.ws_connect(WS, headers=ALICE) as socket:
        assert await told(socket) == {"event": "ready"}
        assert (await subscribed(socket))["event"] == "snapshot"
    async with http.get(
        f"{WS}?access_token=alice", headers={"Connection": "Upgrade", "Upgrade": "websocket"}
    ) as answer:
        body = orjson.loads(await answer.read())
    assert (answer.status, body["details"]["fields"][0]["field"]) == (400, "access_token")


async def test_without_a_token_nothing_is_told_and_the_socket_is_closed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription before the token is refused, and a client that never brings one is not waited for."""
    monkeypatch.setattr(gateway_sockets.Sockets.__init__, "__kwdefaults__", {"auth_s": 0.2})
    http = await gateway()
    async with http.ws_connect(WS) as socket:
        assert (await subscribed(socket))["data"]["code"] == 20001
        assert (await told(socket))["data"]["code"] == 20001
        assert await told(socket) == 1008


async def test_a_token_is_checked_for_every_subscription(http: ClientSession, fakes: Fakes) -> None:
    """Bob is told that Alice's job does not exist; with her token, sent later, the same socket reads it."""
    async with await opened(http, "bob") as socket:
        refused = await subscribed(socket, tag="x")
        assert (refused["tag"], refused["event"], refused["data"]["code"]) == ("x", "error", 10002)
        await socket.send_json({"op": "auth", "token": "alice"})
        assert await told(socket) == {"event": "ready"}
        assert (await subscribed(socket, tag="x"))["event"] == "snapshot"
        assert fakes.jobs.reading == 1


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "body"),
        ("[]", "op"),
        ('"x"', "op"),
        ('{"op": 1}', "op"),
        ('{"op": "sing"}', "op"),
        ('{"op": "auth"}', "token"),
        ('{"op": "auth", "token": ""}', "token"),
        ('{"op": "subscribe"}', "path"),
        ('{"op": "subscribe", "path": 5}', "path"),
        ('{"op": "subscribe", "path": "http://elsewhere/api/v1/jobs/x/events"}', "path"),
        ('{"op": "subscribe", "path": "api/v1/jobs/x/events"}', "path"),
        ('{"op": "subscribe", "path": "/' + "x" * 3000 + '"}', "path"),
        (f'{{"op": "subscribe", "path": "{PATH}", "tag": ""}}', "tag"),
        (f'{{"op": "subscribe", "path": "{PATH}", "after": "x"}}', "after"),
        (f'{{"op": "subscribe", "path": "{PATH}", "after": true}}', "after"),
        (f'{{"op": "subscribe", "path": "{PATH}?colour=red"}}', "colour"),
        (f'{{"op": "subscribe", "path": "{PATH}?access_token=alice"}}', "access_token"),
        ('{"op": "subscribe", "path": "/api/v1/jobs/%ff/events"}', "job_id"),
    ],
)
async def test_a_message_that_means_nothing_is_refused_and_the_socket_stays(
    http: ClientSession, text: str, field: str
) -> None:
    """The envelope names what was wrong, and the next message is heard."""
    async with await opened(http) as socket:
        await socket.send_str(text)
        refused = await told(socket)
        assert (refused["event"], refused["data"]["code"]) == ("error", 10001)
        assert refused["data"]["details"]["fields"][0]["field"] == field
        await socket.send_json({"op": "ping"})
        assert await told(socket) == {"event": "pong"}


@pytest.mark.parametrize("path", [f"/api/v1/tracks/{TRACK}", "/api/v1/jobs//events", "/api/v1/ws", "/"])
async def test_only_streams_can_be_subscribed_to(http: ClientSession, path: str) -> None:
    """Any other path is NOT_FOUND with the subscription's tag."""
    async with await opened(http) as socket:
        refused = await subscribed(socket, path=path)
    assert (refused["tag"], refused["data"]["code"]) == (path, 10002)


async def test_unsubscribing_and_hanging_up_end_the_upstream_call_within_a_second(
    http: ClientSession, fakes: Fakes
) -> None:
    """Nobody goes on reading for a client that does not want it or is gone, even without a goodbye."""
    async with await opened(http) as socket:
        await subscribed(socket, tag="a")
        await until_reading(fakes, 1)
        await socket.send_json({"op": "unsubscribe", "tag": "a"})
        async with asyncio.timeout(1):
            await until_reading(fakes, 0)
        await subscribed(socket, tag="a")
        await until_reading(fakes, 1)
        transport = socket.get_extra_info("socket")
        transport.shutdown(sockets.SHUT_RDWR)
        async with asyncio.timeout(1):
            await until_reading(fakes, 0)


async def test_a_failure_is_an_event_and_ends_only_its_subscription(http: ClientSession, fakes: Fakes) -> None:
    """The envelope comes with the tag; another stream on the same socket goes on."""
    async with await opened(http) as socket:
        await subscribed(socket, tag="job")
        fakes.jobs.fail(Unavailable("the database is out of reach", dependency="database"))
        error = await told(socket)
        assert (error["tag"], error["event"], error["data"]["code"]) == ("job", "error", 10003)
        balance = await subscribed(socket, path="/api/v1/wallet/events", tag="money")
        assert (balance["tag"], balance["event"]) == ("money", "snapshot")


async def test_a_socket_has_bounds(http: ClientSession, fakes: Fakes) -> None:
    """Not two subscriptions of one name, not more than it may hold, no message too long, not too many of them."""
    async with await opened(http) as socket:
        for number in range(gateway_sockets.MOST_SUBSCRIPTIONS):
            assert (await subscribed(socket, tag=str(number)))["event"] == "snapshot"
        assert (await subscribed(socket, tag="more"))["data"]["code"] == 10029
        await socket.send_json({"op": "unsubscribe", "tag": "0"})
        assert (await subscribed(socket, tag="1"))["data"]["details"]["fields"][0]["field"] == "tag"
        found: Any = None
        for _ in range(121):
            await socket.send_json({"op": "ping"})
            found = await told(socket)
            if found != {"event": "pong"}:
                break
        assert found["data"]["code"] == 10029
        assert await told(socket) == 1008
    async with await opened(http) as socket:
        await socket.send_str("x" * 20_000)
        assert await told(socket) == 1009
    await until_reading(fakes, 0)


async def test_a_socket_that_is_never_read_is_cut(gateway: Gateway, fakes: Fakes) -> None:
    """It costs neither memory without end nor its upstream call for longer than the time allowed."""
    http = await gateway(stream_stall_s=0.3)
    port = runners[http].addresses[0][1]
    lazy = sockets.create_connection(("127.0.0.1", port))
    lazy.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    wish = orjson.dumps({"op": "subscribe", "path": PATH})
    masked = bytes([0x81, 0x80 | len(wish), 0, 0, 0, 0]) + wish
    lazy.sendall(
        f"GET {WS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        + masked
    )
    with lazy:
        await until_reading(fakes, 1)
        for _ in range(200):
            fakes.jobs.add(message="x" * 60_000)
            await asyncio.sleep(0)
        await until_reading(fakes, 0)


async def test_sockets_are_told_to_connect_again_when_their_gateway_ends(gateway: Gateway, fakes: Fakes) -> None:
    """Every subscription and the socket itself say so, the close code is that of going away, in the time to drain."""
    http = await gateway()
    async with await opened(http) as socket:
        await subscribed(socket, tag="a")
        stopping = asyncio.create_task(runners[http].cleanup())
        found = []
        while not isinstance(event := await told(socket), int):
            found.append((event.get("tag"), event["event"]))
        async with asyncio.timeout(5):
            await stopping
    assert {("a", "draining"), (None, "draining")} >= set(found)
    assert (None, "draining") in found
    assert event == 1001
    assert fakes.jobs.reading == 0


async def test_the_handshake_is_judged_like_any_request(gateway: Gateway) -> None:
    """A plain GET is 426, a foreign page 403, our own page and an allowed one may open, a full process is 503."""
    http = await gateway(allowed_origins=("https://studio.example",))
    async with http.get(WS, headers=ALICE) as answer:
        assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    port = runners[http].addresses[0][1]
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with http.get(WS, headers={**handshake, "Origin": "https://evil.example"}) as answer:
        assert (answer.status, orjson.loads(await answer.read())["error"]) == (403, "PERMISSION_DENIED")
    for origin in (f"http://127.0.0.1:{port}", "https://studio.example"):
        async with http.ws_connect(WS, origin=origin, headers=ALICE) as socket:
            assert await told(socket) == {"event": "ready"}
    http = await gateway(streams_most=1)
    async with http.ws_connect(WS), http.get(WS, headers=handshake) as answer:
        assert answer.status == 503
