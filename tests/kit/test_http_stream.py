"""Answers that grow, read from a real server on loopback while it still writes them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler

from services.kit.errors import BodyTooLarge, Expired, Unavailable
from services.kit.http import HttpClient


@dataclass
class Partner:
    """An outside server that answers as the test says."""

    answer: Handler | None = None
    seen: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read the request whole, and answer."""
        self.seen.append(request)
        await request.read()
        assert self.answer is not None
        return await self.answer(request)


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    """Yield a running partner."""
    partner = Partner()
    application = web.Application()
    application.router.add_post("/{path:.*}", partner.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        partner.url = str(server.make_url("/p"))
        yield partner


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """Yield a client that may call inside."""
    async with HttpClient("partner", private_allowed=True, headers={"x-key": "k"}) as client:
        yield client


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def test_an_answer_is_read_as_it_grows(partner: Partner, client: HttpClient) -> None:
    """The chunks of a streamed answer come while the partner still writes, each before the next one is sent."""
    gate = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200, headers={"x-id": "7"})
        await response.prepare(request)
        await response.write(b"one")
        await gate.wait()
        await response.write(b"two")
        return response

    partner.answer = slow
    async with client.stream(
        "POST", partner.url, json={"n": 1}, headers={"x-own": "o"}, most_bytes=100, silence_s=5.0
    ) as (head, chunks):
        assert (head.status, head.headers["x-id"], head.body) == (200, "7", b"")
        assert await anext(chunks) == b"one"
        gate.set()
        assert await anext(chunks) == b"two"
        assert [chunk async for chunk in chunks] == []
    request = partner.seen[0]
    assert (request.headers["x-key"], request.headers["x-own"]) == ("k", "o")
    assert request.content_type == "application/json"


@pytest.mark.parametrize("begun", [False, True])
async def test_silence_ends_a_stream(partner: Partner, client: HttpClient, begun: bool) -> None:  # noqa: FBT001
    """A partner that falls silent, before or within its answer, costs our patience, and hurts its breaker."""

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if begun:
            await response.prepare(request)
            await response.write(b"x")
        await asyncio.sleep(30)
        return response

    partner.answer = silent
    for _ in range(5):
        with pytest.raises(Expired):
            async with client.stream("POST", partner.url, json={}, most_bytes=100, silence_s=0.02) as (_, chunks):
                await _drain(chunks)
    with pytest.raises(Unavailable) as left:
        async with client.stream("POST", partner.url, json={}, most_bytes=100, silence_s=0.02):
            pass
    assert left.value.metadata["breaker"] == "open"


async def test_a_stream_has_limits(partner: Partner, client: HttpClient) -> None:
    """A streamed answer that is too large or takes too long in all is given up."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10)
            await asyncio.sleep(0.005)

    partner.answer = endless
    with pytest.raises(BodyTooLarge):
        async with client.stream("POST", partner.url, json={}, most_bytes=25, silence_s=5.0) as (_, chunks):
            await _drain(chunks)
    with pytest.raises(Expired):
        async with client.stream("POST", partner.url, json={}, most_bytes=10**6, silence_s=5.0, timeout_s=0.05) as (
            _,
            chunks,
        ):
            await _drain(chunks)
