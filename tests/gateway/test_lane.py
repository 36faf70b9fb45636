"""The short way of unary calls, held against the long way through aiohttp's application."""

import asyncio
import io
import logging
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from yarl import URL

from gateway.lane import LANE, Lane, _lines
from gateway.observe import REQUESTS, SECONDS
from tests.gateway.asking import JSON
from tests.gateway.conftest import ALICE, Gateway, runners
from tests.gateway.services import ASSET, TRACK, Fakes
from tests.kit.span_memory import remembering

BALANCE, TRACKS = "/api/v1/wallet/balance", "/api/v1/tracks"
ORIGIN = "https://app.example"

# Method, path, headers, body; those of the second list are not for the lane.
SHORT: list[tuple[str, str, dict[str, str], bytes]] = [
    ("GET", BALANCE, ALICE, b""),
    ("GET", BALANCE, {}, b""),
    ("GET", BALANCE, {"Authorization": "Bearer expired"}, b""),
    ("GET", BALANCE, {"Authorization": "Bearer \tx"}, b""),
    ("GET", f"{BALANCE}?colour=red", ALICE, b""),
    ("GET", f"{BALANCE}?fields=available_credits", {**ALICE, "X-Request-Id": "mine"}, b""),
    ("GET", BALANCE, {**ALICE, "Origin": ORIGIN, "Accept-Language": "en"}, b""),
    ("GET", BALANCE, {**ALICE, "Origin": "https://other.example"}, b""),
    ("GET", BALANCE, {**ALICE, "Accept": "text/html"}, b""),
    ("GET", BALANCE, {**ALICE, "X-Platform": "toaster"}, b""),
    ("GET", BALANCE, {**ALICE, "X-Timeout-Ms": "0"}, b""),
    ("GET", BALANCE, {**ALICE, "Connection": "close"}, b""),
    ("GET", BALANCE, {**ALICE, "X-Trace-Id": "a" * 32, "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, b""),
    ("GET", BALANCE, ALICE, b"{}"),
    ("GET", f"{TRACKS}/{TRACK}", {**ALICE, "Accept-Encoding": "gzip"}, b""),
    ("GET", f"{TRACKS}/{TRACK}", {**ALICE, "Accept-Encoding": "gzip;q=0"}, b""),
    ("GET", f"{TRACKS}/{TRACK}", {"Authorization": "Bearer bob"}, b""),
    ("POST", TRACKS, JSON, orjson.dumps({"asset_id": ASSET})),
    ("POST", TRACKS, {**JSON, "Idempotency-Key": "wish"}, orjson.dumps({"asset_id": ASSET, "request_id": "other"})),
    ("POST", TRACKS, JSON, orjson.dumps({"title": "poor", "asset_id": ASSET})),
    ("POST", TRACKS, JSON, b"{"),
    ("POST", TRACKS, {**ALICE, "Content-Type": "text/plain"}, b"{}"),
    ("POST", TRACKS, {**JSON, "Content-Encoding": "gzip"}, b"{}"),
    ("POST", TRACKS, JSON, b" " * 2_000_000),
    ("PATCH", f"{TRACKS}/{TRACK}", JSON, b'{"title": "new"}'),
    ("DELETE", f"{TRACKS}/{TRACK}", ALICE, b""),
    ("GET", "/api/v1/jobs", ALICE, b""),  # which the service does not implement
]
LONG = [
    ("HEAD", BALANCE, ALICE, b""),
    ("OPTIONS", BALANCE, {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}, b""),
    ("PUT", BALANCE, ALICE, b""),
    ("GET", f"{BALANCE}/", ALICE, b""),
    ("GET", "/api/v1/wallet/b%61lance", ALICE, b""),
    ("POST", TRACKS, {**JSON, "Expect": "100-continue"}, orjson.dumps({"asset_id": ASSET})),
    ("GET", "/api/v1/config/client", {}, b""),
]


async def _both(gateway: Gateway, **settings: Any) -> tuple[ClientSession, ClientSession]:
    """Return the clients of a gateway that takes the short way and of one that cannot."""
    short = await gateway(allowed_origins=(ORIGIN,), **settings)
    long = await gateway(allowed_origins=(ORIGIN,), **settings)
    runners[long].app[LANE]._entries.clear()
    return short, long


async def _told(http: ClientSession, asked: tuple[str, str, dict[str, str], bytes]) -> tuple[Any, ...]:
    """Return everything that an answer says, but what is another at each request."""
    method, path, headers, body = asked
    headers = {"X-Trace-Id": "c" * 32, **headers}  # or a packed answer is a byte longer or shorter each time
    async with http.request(
        method, URL(path, encoded=True), headers=headers, data=io.BytesIO(body) if body else None
    ) as response:
        text = await response.read()
        pairs = sorted(each for each in response.headers.items() if each[0] != "Date")
        return response.status, pairs, text


async def test_both_ways_answer_alike(gateway: Gateway) -> None:
    """Status, every header and every byte of the body are the same the short way and the long way."""
    short, long = await _both(gateway)
    for asked in (*SHORT, *LONG):
        assert await _told(short, asked) == await _told(long, asked), asked[:3]


async def test_unary_calls_take_the_short_way(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls written plainly go through the lane, everything else does not."""
    taken, answer = [], Lane._answer

    async def counting(self: Lane, request: Any, unary: Any, variables: dict[str, str]) -> Any:
        taken.append(request.method)
        return await answer(self, request, unary, variables)

    monkeypatch.setattr(Lane, "_answer", counting)
    http = await gateway(allowed_origins=(ORIGIN,))
    for asked in (*SHORT, *LONG):
        await _told(http, asked)
    assert taken == [method for method, *_ in SHORT]


async def test_both_ways_are_observed_alike(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """Each request leaves the same spans, counts and lines whichever way it takes."""
    left = []
    for http in await _both(gateway):
        before = _counted()
        with remembering() as memory, caplog.at_level(logging.INFO, "gateway.access"):
            caplog.clear()
            for asked in SHORT:
                await _told(http, asked)
        lines = [
            (r.levelname, r.method, r.route, r.status_code, r.content_length)  # type: ignore[attr-defined]  # its extra
            for r in caplog.records
            if r.name == "gateway.access"
        ]
        after = _counted()
        spans = [(s.name, s.kind, s.attributes, s.error, s.parent != "") for s in memory.spans]
        left.append((lines, spans, {each: after[each] - before.get(each, 0) for each in after}))
    short, long = left
    assert len(short[0]) == len(SHORT)
    assert len(short[1]) >= len(SHORT)
    assert short == long


def _counted() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return how many requests were counted so far, by metric and labels."""
    samples = [each for metric in (REQUESTS, SECONDS) for family in metric.collect() for each in family.samples]
    return {(s.name, tuple(s.labels.items())): s.value for s in samples if s.name.endswith(("_total", "_count"))}


async def test_both_ways_are_limited_alike(gateway: Gateway, fakes: Fakes) -> None:
    """The fourth request of three is refused with the same words, and a gateway that is full says so."""
    short, long = await _both(gateway, rate_user_per_minute=3)
    told = [[await _told(http, SHORT[0]) for _ in range(5)] for http in (short, long)]
    assert [each[0] for each in told[0]] == [200, 200, 200, 429, 429]
    assert told[0] == told[1]
    fakes.credits.delay_s = 20.0
    full = []
    for http in await _both(gateway, requests_most=1):
        fakes.credits.asked.clear()
        waiting = asyncio.create_task(_told(http, SHORT[0]))
        await fakes.credits.asked.wait()
        full.append(await _told(http, SHORT[0]))
        fakes.credits.cancelled.clear()
        waiting.cancel()
        await fakes.credits.cancelled.wait()
        fakes.credits.delay_s = 0.0
        assert (await _told(http, SHORT[0]))[0] == 200
        fakes.credits.delay_s = 20.0
    assert full[0][0] == 503
    assert full[0] == full[1]


async def test_each_middleware_has_its_part_in_the_lane(http: ClientSession) -> None:
    """Whoever adds a concern to the application must think of the lane: these are the ones it knows."""
    names = [getattr(each, "__qualname__", "").partition(".<")[0] for each in runners[http].app.middlewares]
    assert names == [
        "observing",
        "compressing",
        "speaking",  # of other paths only
        "enveloping",
        "answering_preflights",  # of OPTIONS only
        "limiting",
        "Pages.answering_people",  # of addresses that nothing serves
    ]


def test_no_header_can_bring_another_one() -> None:
    """A value with the end of a line in it is refused."""
    for value in ("a\r\nSet-Cookie: b", "a\nb", "a\rb"):
        with pytest.raises(ValueError, match="end of a line"):
            _lines([("Location", value)])
