"""What HTTP itself demands of every unary route: paths, methods, types, sizes, and requests that are none."""

import asyncio
import gzip
import io
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from cadenza.wallet.v1 import credit_service_pb2
from tests.gateway.asking import JSON, ask
from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import ASSET, JOB, Fakes


@pytest.mark.point(4, 29)
async def test_unknown_paths_and_methods_are_told_apart(http: ClientSession) -> None:
    """404 for no such path, 405 with Allow for another method, 204 with Allow for OPTIONS, no method override."""
    status, body, _ = await ask(http, "GET", "/api/v1/nothing")
    assert (status, body["code"]) == (404, 10002)
    status, body, headers = await ask(http, "PUT", "/api/v1/wallet/balance")
    assert (status, body["code"], headers["Allow"]) == (405, 10004, "GET, HEAD, OPTIONS")
    status, body, headers = await ask(http, "OPTIONS", "/api/v1/tracks")
    assert (status, body, headers["Allow"]) == (204, None, "GET, HEAD, OPTIONS, POST")
    override = {**JSON, "X-HTTP-Method-Override": "GET"}
    status, _, _ = await ask(http, "POST", "/api/v1/wallet/balance", headers=override)
    assert status == 405


@pytest.mark.point(4)
async def test_head_answers_like_get_without_a_body(http: ClientSession) -> None:
    """The length is that of the body that GET would send."""
    status, body, headers = await ask(http, "HEAD", "/api/v1/wallet/prices")
    _, got, _ = await ask(http, "GET", "/api/v1/wallet/prices")
    assert (status, body) == (200, None)
    assert int(headers["Content-Length"]) == len(orjson.dumps(got))


@pytest.mark.point(13)
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/*;q=0.1", 200),
        ("text/html, application/json;q=0.5", 200),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
    ],
)
async def test_a_client_that_takes_no_json_is_told_so(http: ClientSession, accept: str, status: int) -> None:
    """406 only when nothing acceptable is left."""
    found, body, _ = await ask(http, "GET", "/api/v1/wallet/balance", headers={**ALICE, "Accept": accept})
    assert found == status
    assert body["code"] == (0 if status == 200 else 10011)


@pytest.mark.point(13, 14)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=gbk"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_kind_is_415(http: ClientSession, headers: dict[str, str]) -> None:
    """Another type, another charset and compression are refused with what would be accepted."""
    data = gzip.compress(b"{}")
    status, body, answer = await ask(http, "POST", "/api/v1/tracks", data=data, headers={**ALICE, **headers})
    assert (status, body["code"], answer["Accept-Post"]) == (415, 10010, "application/json")


@pytest.mark.point(13)
async def test_json_with_a_charset_and_an_empty_body_are_accepted(http: ClientSession) -> None:
    """UTF-8 may be said aloud; a POST without a body is an empty request, which the service then judges."""
    headers = {**ALICE, "Content-Type": "application/json; charset=UTF-8"}
    data = orjson.dumps({"asset_id": ASSET})
    status, _, _ = await ask(http, "POST", "/api/v1/tracks", data=data, headers=headers)
    assert status == 201
    status, body, _ = await ask(http, "POST", f"/api/v1/tracks/{ASSET}/choose")
    assert (status, body["details"]["fields"][0]["field"]) == (400, "variant_id")


@pytest.mark.point(12)
async def test_a_body_over_the_limit_is_413_announced_or_not(http: ClientSession) -> None:
    """Two megabytes of nested JSON are a numbered error, whether the length is told or the body comes in chunks."""
    nested = b'{"a":' * 200_000 + b"1" + b"}" * 200_000

    async def chunks() -> Any:
        for start in range(0, len(nested), 65536):
            yield nested[start : start + 65536]

    for data in (io.BytesIO(nested), chunks()):
        status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=data, headers=JSON)
        assert (status, body["code"], body["details"]["metadata"]["limit_bytes"]) == (413, 10009, "1048576")
    below = nested[: 5 * 60_000] + b"1" + b"}" * 60_000
    status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=io.BytesIO(below), headers=JSON)
    assert (status, body["code"]) == (400, 10001)


async def test_a_body_that_dawdles_is_given_up(gateway: Gateway) -> None:
    """A client that never finishes its body holds no handler for ever."""
    http = await gateway(body_deadline_s=0.2)

    async def slowly() -> Any:
        yield b"{"
        await asyncio.sleep(5)

    status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=slowly(), headers=JSON)
    assert (status, body["code"]) == (504, 10008)


@pytest.mark.point(12, 15)
@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, 10001),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431, 10001),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", 400, 10001),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, 10001),
        (b"GET /api/v1/tracks/../../health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, 10002),
        (b"GET /api/v1/tracks/%2e%2e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 401, 20001),
    ],
)
async def test_http_that_is_no_http_gets_the_same_error_shape(
    http: ClientSession, raw: bytes, status: int, code: int
) -> None:
    """Lines too long, broken headers, foreign protocols and climbing paths are numbered envelopes too."""
    port = http._base_url.port  # type: ignore[union-attr]  # the client was made with an address
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in {str(status).encode(), b"405" if raw[0] == 0x16 else b""}
    assert orjson.loads(body)["code"] in {code, 10004 if raw[0] == 0x16 else code}


async def test_an_escaped_slash_stays_inside_its_variable(http: ClientSession) -> None:
    """`%2F` in a path variable is a character of the value and no new segment."""
    status, body, _ = await ask(http, "GET", f"/api/v1/jobs/{JOB}%2Flog")
    assert (status, body["details"]["fields"][0]["field"]) == (400, "job_id")


@pytest.mark.point(34)
async def test_a_newer_enum_value_and_a_huge_count_pass_through(http: ClientSession, fakes: Fakes) -> None:
    """What a newer service says in words this gateway does not know is passed on as it is."""
    entry = credit_service_pb2.Balance(available_credits=2**53)
    fakes.credits.answer = lambda: credit_service_pb2.GetBalanceResponse(balance=entry)
    _, body, _ = await ask(http, "GET", "/api/v1/wallet/balance")
    assert body["data"]["balance"]["available_credits"] == 2**53
