"""What a connection may cost before it brings a request: places, time and bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from gateway import connections
from gateway.connections import Bounds, Crowd
from tests.gateway.conftest import Gateway, runners

HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def opened(http: ClientSession) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a bare connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", runners[http].addresses[0][1])
    try:
        yield reader, writer
    finally:
        writer.close()


async def answered(reader: asyncio.StreamReader) -> tuple[int, Any, bytes]:
    """Return status, JSON and head of the one answer on a connection that is then closed."""
    async with asyncio.timeout(5):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body), head


@pytest.mark.point(12, 15)
async def test_a_head_that_never_ends_is_cut_after_its_time(gateway: Gateway) -> None:
    """A letter now and then keeps no connection open; the refusal is an envelope, and keep-alive may be longer."""
    http = await gateway(head_deadline_s=0.5)
    async with opened(http) as (reader, writer):
        sending = asyncio.create_task(_drip(writer))
        status, body, head = await answered(reader)
        sending.cancel()
    assert (status, body["code"], body["error"]) == (408, 10008, "TIMEOUT")
    assert b"Connection: close" in head
    assert body["trace_id"].encode() in head
    async with opened(http) as (reader, writer):
        for last in (b"", b"", b"Connection: close\r\n"):
            writer.write(HEAD + last + b"\r\n")
            assert b" 200 " in await reader.readuntil(b"}")
            await asyncio.sleep(0.6)


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in HEAD + b"X-Slow: " + b"a" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


@pytest.mark.point(12)
@pytest.mark.parametrize(("count", "length", "pieces"), [(100, 400, 1), (100, 400, 50), (600, 10, 1)])
async def test_many_small_headers_are_too_long_together(
    http: ClientSession, count: int, length: int, pieces: int
) -> None:
    """However short each line is and in however many pieces they come, 431 ends a head of too many bytes or lines."""
    raw = HEAD + b"".join(b"X-%d: %s\r\n" % (number, b"a" * length) for number in range(count))
    size = -(-len(raw) // pieces)
    async with opened(http) as (reader, writer):
        for start in range(0, len(raw), size):
            writer.write(raw[start : start + size])
            await asyncio.sleep(0)
        status, body, _ = await answered(reader)
    assert (status, body["code"], body["details"]["fields"][0]["field"]) == (431, 10001, "headers")


async def test_a_slow_body_is_not_a_slow_head(gateway: Gateway) -> None:
    """The head's time ends with the head: a body that takes longer is bounded by its own."""
    http = await gateway(head_deadline_s=0.3)
    async with opened(http) as (reader, writer):
        writer.write(b"POST /api/v1/tracks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
        await asyncio.sleep(0.6)
        writer.write(b"}")
        status, body, _ = await answered(reader)
    assert (status, body["error"]) == (401, "AUTH_REQUIRED")


async def test_one_address_holds_so_many_connections_and_no_more(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is refused with the time to come back, and served again once another has gone."""
    monkeypatch.setattr(connections, "is_loopback", lambda _address: False)
    http = await gateway(connections_per_address_most=3)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(opened(http))
        async with opened(http), opened(http) as (reader, _):
            status, body, head = await answered(reader)
        assert (status, body["code"]) == (429, 10029)
        assert b"Retry-After: 5" in head
        async with asyncio.timeout(5):
            while True:
                async with opened(http) as (reader, writer):
                    writer.write(HEAD + b"Connection: close\r\n\r\n")
                    if b" 200 " in await reader.read():
                        break


def test_proxies_and_this_machine_are_not_counted_as_one_client() -> None:
    """Behind a proxy of ours stand many; a crowd that has gone leaves nothing behind."""
    import ipaddress

    crowd = Crowd(Bounds(1, exempt=(ipaddress.ip_network("10.0.0.0/8"),)))
    for address in ("10.1.2.3", "127.0.0.1", "::1", ""):
        assert [crowd.enter(address) for _ in range(3)] == [True] * 3
    assert [crowd.enter("203.0.113.9") for _ in range(2)] == [True, False]
    for address in ("10.1.2.3", "127.0.0.1", "::1", "", "203.0.113.9"):
        for _ in range(1 if address == "203.0.113.9" else 3):
            crowd.leave(address)
    assert crowd._open == {}
