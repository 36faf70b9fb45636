"""Errors as clients see them: one table in both languages, and nothing of the inside in any of them."""

import asyncio
import io
import logging
import re
from collections.abc import Iterator
from typing import Any

import grpc
import orjson
import pytest
from aiohttp import ClientSession
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import ProgrammingError

from cadenza.wallet.v1 import credit_service_pb2
from gateway.envelope import CODES, STATUSES
from gateway.messages import MESSAGES
from services.kit.errors import DomainError
from services.kit.log import JsonLines
from tests.gateway.asking import ask
from tests.gateway.conftest import ALICE
from tests.gateway.services import Fakes, rpc_error
from tests.gateway.test_sockets_http import opened, subscribed, told
from tests.gateway.test_stream_http import PATH, next_event, watching

BALANCE = "/api/v1/wallet/balance"

SQL = "SELECT secret_column FROM wallet.accounts WHERE id = $1"
INSIDE = [
    RuntimeError("password=hunter2 at /srv/cadenza/secret.py line 7"),
    OSError(2, "No such file or directory", "/var/lib/cadenza/objects/x"),
    ConnectionRefusedError(111, "Connect call failed ('10.1.2.3', 5432)"),
    ProgrammingError(SQL, {"id": "hunter2"}, Exception('relation "wallet.accounts" does not exist')),
    KeyError("secret_column"),
    ValueError("Traceback (most recent call last): File /srv/cadenza/secret.py"),
    RecursionError("maximum recursion depth exceeded in /srv/cadenza"),
    AssertionError("hunter2"),
    rpc_error(grpc.StatusCode.UNAVAILABLE, "ipv4:10.1.2.3:50052: Failed to connect"),
    rpc_error(grpc.StatusCode.INTERNAL, "stream reset by 10.1.2.3 /srv/cadenza"),
]
LEAK = re.compile(
    r"hunter2|/srv|/var/lib|10\.1\.2\.3|5432|SELECT|secret_column|wallet\.accounts|Traceback|\.py\b|0x[0-9a-f]{6}"
)


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Return what the process logs meanwhile, as its operators read it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("gateway"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def logged(lines: io.StringIO, trace_id: str) -> list[Any]:
    """Return what was logged under the trace id."""
    return [line for line in map(orjson.loads, lines.getvalue().splitlines()) if line.get("trace_id") == trace_id]


def failing(fakes: Fakes, error: BaseException) -> None:
    """Let the wallet fail by the error."""

    def fail() -> Any:
        raise error

    fakes.credits.answer = fail


def of_reason(reason: str, **metadata: str | int) -> DomainError:
    """Return an error of any reason."""
    error = DomainError("for developers", **metadata)
    error.reason = reason  # type: ignore[misc]  # one error of every kind
    return error


@pytest.mark.point(15, 16)
@pytest.mark.parametrize("reason", sorted(STATUSES))
async def test_every_reason_is_told_alike_in_both_languages(http: ClientSession, fakes: Fakes, reason: str) -> None:
    """Number, symbol and status are the same in either language; the sentence is the catalogue's in that one."""
    failing(fakes, of_reason(reason, limit=5))
    for accept, locale in (("zh-CN,en;q=0.5", "zh-CN"), ("en-GB", "en")):
        status, body, headers = await ask(http, "GET", BALANCE, headers={**ALICE, "Accept-Language": accept})
        assert (status, body["code"], body["error"]) == (STATUSES[reason], CODES[reason], reason)
        assert body["message"] == MESSAGES[reason].told(locale, {"limit": "5"})
        assert set(body) == {"code", "message", "error", "details", "trace_id"}
        assert headers["Content-Type"].startswith("application/json")
        assert ("Retry-After" in headers) == (status in {423, 429, 503})
        assert ("WWW-Authenticate" in headers) == (status == 401)


@pytest.mark.point(17)
@pytest.mark.parametrize("error", INSIDE, ids=lambda each: type(each).__name__)
async def test_nothing_of_the_inside_is_told_and_the_trace_id_finds_the_line(
    http: ClientSession, fakes: Fakes, lines: io.StringIO, error: BaseException
) -> None:
    """Neither stack nor SQL, path or address stands in header or body; the log says what it was, by the trace id."""
    failing(fakes, error)
    async with http.get(BALANCE, headers=ALICE) as response:
        raw = (await response.read()).decode()
    body = orjson.loads(raw)
    assert not LEAK.search(raw)
    assert not LEAK.search(str(response.headers))
    found = logged(lines, body["trace_id"])
    assert found
    if not isinstance(error, grpc.aio.AioRpcError):
        assert (response.status, body["code"]) == (500, 10000)
        assert any(type(error).__name__ in str(line) for line in found)


@pytest.mark.point(17)
async def test_a_fault_of_the_gateway_itself_is_told_like_one_of_a_service(
    http: ClientSession, fakes: Fakes, lines: io.StringIO
) -> None:
    """An answer that has no JSON, here a time after the year 9999, is 10000 with a trace id that finds the stack."""
    late = credit_service_pb2.Balance(update_time=Timestamp(seconds=2**40))
    fakes.credits.answer = lambda: credit_service_pb2.GetBalanceResponse(balance=late)
    status, body, _ = await ask(http, "GET", BALANCE)
    assert (status, body["code"], body["details"]["description"]) == (500, 10000, "internal error")
    found = logged(lines, body["trace_id"])
    assert any("unforeseen error" in line["message"] for line in found)


@pytest.mark.point(17)
@pytest.mark.parametrize("error", INSIDE[:5], ids=lambda each: type(each).__name__)
async def test_streams_and_sockets_tell_nothing_of_the_inside_either(
    http: ClientSession, fakes: Fakes, error: Exception
) -> None:
    """After the first byte an unforeseen failure is an event with the same envelope."""
    async with watching(http) as response:
        fakes.jobs.failure = error  # type: ignore[assignment]  # of any kind
        fakes.jobs.wake()
        event = await next_event(response)
    assert event is not None
    fakes.jobs.failure = None
    async with await opened(http) as socket:
        await subscribed(socket)
        fakes.jobs.failure = error  # type: ignore[assignment]  # of any kind
        fakes.jobs.wake()
        message = await told(socket)
    for data in (event.data, message["data"]):
        assert (data["code"], len(data["trace_id"])) == (10000, 32)
        assert not LEAK.search(orjson.dumps(data).decode())


async def test_every_refusal_before_a_handler_has_the_same_shape(http: ClientSession) -> None:
    """Paths, methods, types, tokens and sizes are refused in one shape with a number, whoever refuses."""
    asked = [
        ("GET", "/api/v1/nothing", {}, None),
        ("PATCH", BALANCE, {}, None),
        ("GET", BALANCE, {}, None),
        ("GET", BALANCE, {**ALICE, "Accept": "text/html"}, None),
        ("POST", "/api/v1/tracks", {**ALICE, "Content-Type": "text/plain"}, b"x"),
        ("POST", "/api/v1/tracks", {**ALICE, "Content-Type": "application/json"}, b"{"),
        ("POST", "/api/v1/tracks", {**ALICE, "Content-Type": "application/json"}, io.BytesIO(b"[" * 2_000_000)),
        ("GET", PATH, {**ALICE, "Accept": "image/png"}, None),
        ("GET", f"{BALANCE}?x=1", ALICE, None),
        ("GET", BALANCE, {**ALICE, "X-Platform": "toaster"}, None),
        ("PUT", "/_objects/b/k", {}, b"x"),
    ]
    found = await asyncio.gather(
        *(ask(http, verb, path, headers=headers, data=data) for verb, path, headers, data in asked)
    )
    statuses = [status for status, _, _ in found]
    assert statuses == [404, 405, 401, 406, 415, 400, 413, 406, 400, 400, 403]
    for _, body, headers in found:
        assert set(body) == {"code", "message", "error", "details", "trace_id"}
        assert body["trace_id"] == headers["X-Trace-Id"]
        assert CODES[body["error"]] == body["code"]
