"""More than can be answered: few are let in, the rest is refused at once and cheaply, and then all is as before."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from gateway.admission import ADMISSION, LAG_S, Admission
from gateway.webhooks import WECHAT
from tests.gateway.conftest import ALICE, Gateway, runners
from tests.gateway.services import Fakes
from tests.gateway.test_connections_http import opened

PATH = "/api/v1/wallet/balance"
HEAD = b"GET /api/v1/wallet/balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n"
LATE, IN_TIME = 2 * LAG_S, 0.0


def _admission(http: ClientSession) -> Admission:
    """Return what lets requests into the gateway behind this client."""
    return runners[http].app[ADMISSION]


def _loaded(inside: int, limit: float) -> Admission:
    admission = Admission(1000, 64)
    admission.limit = limit
    assert all(admission.enter() for _ in range(inside))
    admission.look(IN_TIME)
    admission.limit = limit
    return admission


# Inside, limit, whether the look before was slow, the lag now, the limit after.
LOOKS: dict[tuple[int, float, bool, float], float] = {
    (400, 1000, False, IN_TIME): 1000,
    (400, 1000, False, LATE): 1000,  # once is no time
    (400, 1000, True, IN_TIME): 1000,
    (400, 1000, True, LATE): 200,  # half of what there is, not of what there might be
    (100, 200, True, LATE): 64,
    (64, 64, True, LATE): 64,  # never less
    (64, 64, True, IN_TIME): 70.4,
    (64, 64, False, IN_TIME): 70.4,
    (64, 64, False, LATE): 64,
    (10, 64, False, IN_TIME): 64,  # nobody needs more
    (10, 64, True, LATE): 64,
    (1000, 1000, False, IN_TIME): 1000,  # never more
    (990, 990, False, IN_TIME): 1000,
}


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_look_at_every_state(look: tuple[int, float, bool, float]) -> None:
    """The limit is halved when the loop is late twice in a row, grows when it is used, and stays in its bounds."""
    inside, limit, slow, lag_s = look
    admission = _loaded(inside, limit)
    if slow:
        admission.look(LATE)
    admission.look(lag_s)
    assert admission.limit == pytest.approx(LOOKS[look])


def test_routes_that_take_many_times_as_long_as_ever_are_a_queue() -> None:
    """When half of them take more than eight times their route's best, the limit falls; a slow route alone is none."""
    admission = _loaded(500, 1000)
    for route, quickest in (("read", 0.002), ("song", 5.0)):
        admission.note(route, quickest)
    for _ in range(2):
        for _ in range(20):
            admission.note("song", 6.0)
            admission.note("read", 0.003)
        admission.look(IN_TIME)
    assert admission.limit == 1000
    for _ in range(2):
        for _ in range(20):
            admission.note("read", 0.05)
        admission.look(IN_TIME)
    assert admission.limit == 250


def test_a_full_house_lets_in_what_is_urgent_and_gives_places_back_once() -> None:
    """The ends of what is under way go in up to what the process can hold; leaving twice frees one place."""
    admission = Admission(3, 2)
    admission.limit = 2
    first, second = admission.enter(), admission.enter()
    assert (admission.enter(), admission.inside) == (None, 2)
    assert admission.enter(urgent=True) is not None
    assert admission.enter(urgent=True) is None
    assert first is not None
    first.leave()
    first.leave()
    assert admission.inside == 2
    assert second is not None


BODY = b'{"theme": "x"}'
POST = b"POST /api/v1/ai/lyrics HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % len(
    BODY
)


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (HEAD + b"\r\n", True),
        (HEAD + b"Connection: keep-alive\r\n\r\n", True),
        (POST + b"\r\n" + BODY, True),
        (POST + b"\r\n" + BODY[:-1], False),
        (POST + b"\r\n" + BODY + HEAD, False),
        (HEAD, False),
        (HEAD + b"Connection: close\r\n\r\n", False),
        (HEAD + b"oRIGIN: https://x.test\r\n\r\n", False),
        (HEAD + b"X-Trace-Id: " + b"ab" * 16 + b"\r\n\r\n", False),
        (HEAD + b"Expect: 100-continue\r\n\r\n", False),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (HEAD.replace(b"1.1", b"1.0") + b"\r\n", False),
        (HEAD.replace(b"/api/", b"/cadenza.") + b"\r\n", False),
        (b"HEAD" + HEAD[3:] + b"\r\n", False),
        (b"OPTIONS" + HEAD[3:] + b"\r\n", False),
    ],
)
def test_only_what_needs_no_reading_is_refused_unread(data: bytes, refused: bool) -> None:  # noqa: FBT001  # a table
    """Whole, plain requests of our API are; another origin, a body on its way, an end of the connection are read."""
    assert bool(Admission(1).refusal(data)) is refused


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    async with asyncio.timeout(10):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        body = orjson.loads(await reader.readexactly(int(fields["content-length"])))
    return int(lines[0].split()[1]), fields, body


@pytest.mark.parametrize("read", ["", "X-Request-Id: a\r\n"])
async def test_a_flood_is_refused_with_retry_after_and_ends(gateway: Gateway, fakes: Fakes, read: str) -> None:
    """Of 40 requests at once two are in work at any time; each refusal is whole and leaves its connection usable."""
    http = await gateway(requests_most=2, requests_least=2)
    fakes.credits.delay_s = 0.2
    most = 0
    async with AsyncExitStack() as stack:
        pairs = [await stack.enter_async_context(opened(http)) for _ in range(40)]
        for _, writer in pairs:
            writer.write(HEAD + b"Accept-Language: en\r\n" + read.encode() + b"\r\n")
        while _admission(http).inside or not most:
            most = max(most, _admission(http).inside)
            await asyncio.sleep(0.01)
        answers = [await _answer(reader) for reader, _ in pairs]
        assert most == 2
        assert sorted(status for status, _, _ in answers) == [200] * 2 + [503] * 38
        for status, fields, body in answers:
            if status == 503:
                assert fields["retry-after"] == "1"
                assert (body["code"], body["error"]) == (10003, "SERVICE_UNAVAILABLE")
                assert body["trace_id"] == fields["x-trace-id"]
                assert body["message"].isascii()
        fakes.credits.delay_s = 0
        for reader, writer in pairs:
            writer.write(HEAD + b"\r\n")
            assert (await _answer(reader))[0] == 200
    assert _admission(http).inside == 0


async def test_a_body_is_not_decoded_to_be_refused(gateway: Gateway, fakes: Fakes) -> None:
    """What would be PARAM_INVALID is 503 while there is no place, whether it came in one piece or in two."""
    http = await gateway(requests_most=1, requests_least=1)
    fakes.credits.delay_s = 0.5
    busy = asyncio.create_task(_status(http, PATH))
    await fakes.credits.asked.wait()
    broken = POST.replace(b"14", b"2") + b"\r\n{x"
    async with opened(http) as (reader, writer):
        for pieces in ([broken], [broken[:-1], broken[-1:]]):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.02)
            assert (await _answer(reader))[0] == 503
    assert await busy == 200
    async with opened(http) as (reader, writer):
        writer.write(broken)
        assert (await _answer(reader))[0] == 400


async def _status(http: ClientSession, path: str) -> int:
    async with http.get(path, headers=ALICE) as response:
        return response.status


async def test_half_a_head_takes_no_place(gateway: Gateway) -> None:
    """Connections that send their headers slowly keep nobody out."""
    http = await gateway(requests_most=1, requests_least=1)
    async with AsyncExitStack() as stack:
        for _ in range(5):
            _, writer = await stack.enter_async_context(opened(http))
            writer.write(HEAD)
        await asyncio.sleep(0.05)
        assert await _status(http, PATH) == 200


async def test_what_a_vendor_pushes_is_let_in_first(gateway: Gateway, fakes: Fakes) -> None:
    """At the limit a push still goes to its service, while a request of a client is refused."""
    http = await gateway(requests_most=5, requests_least=1)
    _admission(http).limit = 1
    fakes.credits.delay_s = 0.3
    busy = asyncio.create_task(_status(http, PATH))
    await fakes.credits.asked.wait()
    _admission(http).limit = 1
    assert await _status(http, PATH) == 503
    async with http.post(WECHAT, data=b"x") as response:
        assert response.status != 503
    assert await busy == 200
