"""Outbound HTTP against a real server on loopback: limits, retries, breaker, address guard, masked log."""

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from services.kit.address import AddressRefused, PublicResolver, checked_url, is_public
from services.kit.breaker import Breaker, BreakerState
from services.kit.errors import BodyTooLarge, Expired, Unavailable
from services.kit.http import HttpClient, Limits

FAST = Limits(total_s=5.0, pause_s=0.01, body_bytes=1000)


@dataclass
class Partner:
    """An outside server that answers as the test says."""

    answers: list[Any] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the next prepared answer; the last one stays."""
        self.seen.append(request)
        await request.read()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "hang":
            await asyncio.sleep(30)
        if answer == "cut":
            assert request.transport is not None
            request.transport.abort()
        if isinstance(answer, int):
            return web.Response(status=answer, text="x")
        if isinstance(answer, str) and answer.startswith(("/", "http")):
            return web.Response(status=302, headers={"location": answer})
        if callable(answer):
            return answer()  # type: ignore[no-any-return]
        return web.Response(text=str(answer))


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    """Yield a running partner."""
    partner = Partner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", partner.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    partner.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield partner
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """Yield a client that may call inside."""
    async with HttpClient("partner", limits=FAST, private_allowed=True, headers={"x-key": "k"}) as client:
        yield client


async def test_an_answer_is_returned_whole(partner: Partner, client: HttpClient) -> None:
    """Status, headers and JSON come back; own headers and query go out."""
    partner.answers = [lambda: web.json_response({"a": 1}, status=201, headers={"x-id": "7"})]
    answer = await client.request("POST", partner.url + "/p", params={"q": "ä b"}, json={"n": 1})
    assert (answer.status, answer.json(), answer.headers["x-id"]) == (201, {"a": 1}, "7")
    request = partner.seen[0]
    assert (request.query["q"], request.headers["x-key"], request.content_type) == ("ä b", "k", "application/json")


@pytest.mark.parametrize("failure", [429, 502, 503, 504, "cut"])
async def test_a_repeatable_call_is_tried_again(partner: Partner, client: HttpClient, failure: Any) -> None:
    """A passing failure of a GET is not seen by its caller."""
    partner.answers = [failure, failure, "fine"]
    assert (await client.request("GET", partner.url)).body == b"fine"
    assert len(partner.seen) == 3


async def test_a_call_that_must_not_repeat_is_tried_once(partner: Partner, client: HttpClient) -> None:
    """A POST is sent once, unless its caller knows it to be idempotent."""
    partner.answers = [503]
    assert (await client.request("POST", partner.url)).status == 503
    assert len(partner.seen) == 1
    assert (await client.request("POST", partner.url, idempotent=True)).status == 503
    assert len(partner.seen) == 4


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_other_statuses_are_final(partner: Partner, client: HttpClient, status: int) -> None:
    """An answer that will not change by asking again is returned at once."""
    partner.answers = [status]
    assert (await client.request("GET", partner.url)).status == status
    assert len(partner.seen) == 1


async def test_a_silent_partner_costs_the_time_limit_only(partner: Partner, client: HttpClient) -> None:
    """All tries together end with TIMEOUT when the call's time is up."""
    partner.answers = ["hang"]
    with pytest.raises(Expired):
        await client.request("GET", partner.url, timeout_s=0.1)


async def test_an_unreachable_partner_is_unavailable(client: HttpClient) -> None:
    """A refused connection is SERVICE_UNAVAILABLE with the partner's name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unavailable) as caught:
        await client.request("GET", f"http://127.0.0.1:{port}")
    assert caught.value.metadata["dependency"] == "partner"


@pytest.mark.parametrize("how", ["announced", "chunked", "compressed"])
async def test_a_large_answer_is_not_read(partner: Partner, client: HttpClient, how: str) -> None:
    """The limit holds for what is announced, for what comes without a length, and for what unpacks to more."""
    packed = gzip.compress(b"x" * 100_000)
    makers: dict[str, Any] = {
        "announced": lambda: web.Response(body=b"x" * 1001),
        "chunked": lambda: web.Response(body=_chunks()),
        "compressed": lambda: web.Response(body=packed, headers={"content-encoding": "gzip"}),
    }
    partner.answers = [makers[how]]
    assert len(packed) < FAST.body_bytes
    with pytest.raises(BodyTooLarge):
        await client.request("GET", partner.url)


async def _chunks() -> AsyncIterator[bytes]:
    for _ in range(30):
        yield b"x" * 100


async def test_a_failing_partner_is_left_alone(partner: Partner, client: HttpClient) -> None:
    """After five failures the next call does not go out, and says why."""
    partner.answers = [500]
    for _ in range(5):
        await client.request("GET", partner.url)
    with pytest.raises(Unavailable) as caught:
        await client.request("GET", partner.url)
    assert caught.value.metadata["breaker"] == "open"
    assert len(partner.seen) == 5


async def test_redirects_are_returned_and_not_followed(partner: Partner, client: HttpClient) -> None:
    """A partner cannot send a call, with its keys, somewhere else."""
    partner.answers = ["/elsewhere"]
    assert (await client.request("GET", partner.url)).status == 302
    assert len(partner.seen) == 1


async def test_a_download_follows_redirects_and_streams(partner: Partner, client: HttpClient) -> None:
    """A file behind two redirects arrives in chunks; the client's headers do not go past the first host."""
    partner.answers = ["/a", "/b", lambda: web.Response(body=b"x" * 5000)]
    async with client.download(partner.url, most_bytes=5000) as (head, chunks):
        size = sum([len(chunk) async for chunk in chunks])
    assert (head.status, size) == (200, 5000)
    assert [("x-key" in request.headers) for request in partner.seen] == [True, False, False]


async def test_a_download_stops_at_its_limit(partner: Partner, client: HttpClient) -> None:
    """A file larger than allowed is cut off while it comes."""
    partner.answers = [lambda: web.Response(body=_chunks())]
    async with client.download(partner.url, most_bytes=500) as (_, chunks):
        with pytest.raises(BodyTooLarge):
            _ = [chunk async for chunk in chunks]


async def test_endless_redirects_end(partner: Partner, client: HttpClient) -> None:
    """A ring of redirects is given up."""
    partner.answers = ["/again"]
    with pytest.raises(Unavailable, match="redirects"):
        async with client.download(partner.url, most_bytes=1):
            pass
    assert len(partner.seen) == 4


async def test_the_consumers_own_error_comes_out_as_it_is(partner: Partner, client: HttpClient) -> None:
    """A full disk while saving a download is not reported as the partner's fault."""
    partner.answers = ["data"]
    with pytest.raises(OSError, match="disk full"):
        async with client.download(partner.url, most_bytes=100):
            raise OSError("disk full")
    assert (await client.request("GET", partner.url)).status == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://127.1:{port}/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://0.0.0.0:{port}/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://user:pw@example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http:///nohost",
        "http://" + "a" * 5000,
    ],
)
async def test_addresses_inside_are_refused(partner: Partner, url: str) -> None:
    """However it is spelled, an address of our own network is not called."""
    partner.answers = ["secret"]
    async with HttpClient("stranger", limits=FAST) as client:
        with pytest.raises(AddressRefused):
            await client.request("GET", url.format(port=partner.url.rpartition(":")[2]))
    assert partner.seen == []


class _Fixed(AbstractResolver):
    """A name server that has one answer."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        """Return the addresses."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Do nothing."""


async def test_a_name_with_one_private_address_is_refused() -> None:
    """The check is made on what is connected to, and one bad address is enough."""
    with pytest.raises(AddressRefused):
        await PublicResolver(_Fixed("93.184.215.14", "127.0.0.1")).resolve("rebind.example", 80)


@pytest.mark.parametrize(
    "address",
    [
        "::127.0.0.1",  # IPv4-compatible
        "::ffff:10.0.0.1",
        "::ffff:0:169.254.169.254",  # RFC 2765
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:7f00:1::1",
        "2001:0:7f00:1::1",
        "fec0::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "3fff::1",
        "5f00::1",
        "ff0e::1",
        "::",
        "0.0.0.0",  # noqa: S104  # an address to refuse
        "100.100.100.200",
        "198.18.0.1",
        "255.255.255.255",
        "not an address",
    ],
)
def test_every_spelling_of_a_private_address_is_refused(address: str) -> None:
    """No IPv6 form of an IPv4 address, no reserved block and no metadata server passes for public."""
    assert not is_public(address)


async def test_the_resolver_may_let_loopback_through() -> None:
    """On a developer's machine its own addresses resolve, and still no other private one does."""
    found = await PublicResolver(_Fixed("127.0.0.1", "::1"), loopback_allowed=True).resolve("localhost", 80)
    assert [each["host"] for each in found] == ["127.0.0.1", "::1"]
    with pytest.raises(AddressRefused):
        await PublicResolver(_Fixed("10.0.0.1"), loopback_allowed=True).resolve("inside.example", 80)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_are_allowed(address: str) -> None:
    """The guard lets the Internet through."""
    assert is_public(address)
    host = f"[{address}]" if ":" in address else address
    assert checked_url(f"https://{host}/x", private_allowed=False).host == address


async def test_the_log_hides_query_and_headers(
    partner: Partner, client: HttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per try names method, path and outcome, and nothing that may be a key."""
    caplog.set_level(logging.INFO)
    partner.answers = ["fine"]
    await client.request("GET", partner.url + "/v1/x", params={"key": "hunter2"}, headers={"x-other": "hunter3"})
    record = vars(next(record for record in caplog.records if record.getMessage() == "outbound"))
    assert (record["client"], record["method"], record["outcome"]) == ("partner", "GET", "200")
    assert record["url"] == partner.url + "/v1/x"
    assert "hunter" not in str([vars(each) for each in caplog.records])


class _Elapsed:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def _state(breaker: Breaker) -> BreakerState:
    """Return the state, which the type checker believes to stay what it was."""
    return breaker.state


def test_the_breaker_opens_waits_tries_and_closes() -> None:
    """Five failures open it, 30 s later one call may try, and its outcome decides."""
    elapsed = _Elapsed()
    breaker = Breaker(elapsed=elapsed)
    for _ in range(5):
        assert breaker.admit()
        breaker.fail()
    assert _state(breaker) is BreakerState.OPEN
    assert not breaker.admit()
    elapsed.at = 30.0
    assert breaker.admit()
    assert not breaker.admit(), "one trial at a time"
    breaker.fail()
    assert not breaker.admit(), "the trial failed"
    elapsed.at = 60.0
    assert breaker.admit()
    breaker.give_back()
    assert breaker.admit(), "a trial without an outcome leaves room for the next"
    breaker.succeed()
    assert _state(breaker) is BreakerState.CLOSED
    breaker.fail()
    assert breaker.admit(), "old failures are forgotten"


def test_slow_failures_do_not_open_the_breaker() -> None:
    """Four failures now and then are not an outage; a fifth within 30 s of the first is."""
    elapsed = _Elapsed()
    breaker = Breaker(elapsed=elapsed)
    for at in (0, 10, 20, 30, 31):
        elapsed.at = at
        breaker.fail()
    assert _state(breaker) is BreakerState.CLOSED
    elapsed.at = 32
    breaker.fail()
    assert _state(breaker) is BreakerState.OPEN
