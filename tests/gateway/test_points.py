"""The checklist of what a JSON gateway must get right: 36 points, each marked on the test that holds it.

The numbers are those of the survey of grpc-gateway, Envoy and Connect that this gateway was made after. A test
anywhere may carry `point(number)`; here are those that belong to no other module.
"""

import ast
import asyncio
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from aiohttp import ClientSession
from google.rpc import error_details_pb2, status_pb2

from gateway.routes import public_bindings
from gateway.transcode import JOB_PATH
from gateway.upstream import upstream_error
from tests.gateway.asking import JSON, ask
from tests.gateway.conftest import Gateway
from tests.gateway.services import ASSET, JOB, Fakes
from tests.gateway.test_stream_http import names, watching

_POINTS = 36


def _caught(fail: Callable[[], Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        fail()
    return raised.value


def test_every_point_is_held_by_a_test() -> None:
    """All 36 numbers stand on tests; a number beyond them is a mistake."""
    found = set()
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        text = path.read_text()
        if "mark.point(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.point":
                found |= {ast.literal_eval(each) for each in node.args}
    assert found == set(range(1, _POINTS + 1))


@pytest.mark.point(14)
async def test_a_bomb_is_refused_before_it_is_unpacked(http: ClientSession, fakes: Fakes) -> None:
    """A gigabyte of zeros in a megabyte is 415 as it stands, whatever the packing is called."""
    bomb = gzip.compress(bytes(2**24))
    for coding in ("gzip", "deflate", "br", "x-gzip", "gzip, identity", "GZIP"):
        headers = {**JSON, "Content-Encoding": coding}
        status, body, _ = await ask(http, "POST", "/api/v1/tracks", data=bomb, headers=headers)
        assert (status, body["code"]) == (415, 10010)
    assert fakes.tracks.request is None


@pytest.mark.point(16)
async def test_details_of_a_type_that_is_not_known_here_are_left_out(http: ClientSession, fakes: Fakes) -> None:
    """A service may tell more than this gateway can read; reason and status arrive all the same."""
    status = status_pb2.Status(code=9, message="more than you know")
    status.details.add(type_url="type.googleapis.com/future.v9.Detail", value=b"\xff\x00\x01")
    info = error_details_pb2.ErrorInfo(reason="PRICE_CHANGED", domain="cadenza", metadata={"amount": "30"})
    status.details.add().Pack(info)
    status.details.add(type_url="no address", value=b"")

    def fail() -> Any:
        trailing = grpc.aio.Metadata(("grpc-status-details-bin", status.SerializeToString()))
        raise grpc.aio.AioRpcError(grpc.StatusCode.FAILED_PRECONDITION, grpc.aio.Metadata(), trailing, details="x")

    told_to_client = upstream_error(_caught(fail), service="wallet")
    assert (told_to_client.reason, told_to_client.metadata["amount"]) == ("PRICE_CHANGED", "30")


@pytest.mark.point(20)
async def test_a_stream_lasts_longer_than_any_call_may(gateway: Gateway, fakes: Fakes) -> None:
    """The deadline of calls and of bodies ends no stream."""
    http = await gateway(call_deadline_s=0.1, body_deadline_s=0.1)
    async with watching(http) as response:
        await asyncio.sleep(0.4)
        fakes.jobs.add(final=True)
        assert await names(response) == [("change", "1"), ("end", "")]


@pytest.mark.point(24)
async def test_what_begins_a_job_says_where_to_ask_for_it(http: ClientSession) -> None:
    """The answer carries the job's address and the seconds to wait before asking, and the address is served."""
    data = orjson.dumps({"asset_id": ASSET})
    _, body, headers = await ask(http, "POST", "/api/v1/tracks", data=data, headers=JSON)
    assert headers["Location"] == f"/api/v1/jobs/{body['data']['job_id']}"
    assert headers["Retry-After"] == "2"
    assert (await ask(http, "GET", headers["Location"]))[1]["data"]["job"]["job_id"] == JOB
    assert (await ask(http, "GET", f"/api/v1/jobs/{JOB}"))[2].get("Location") is None
    assert f"{JOB_PATH}{{job_id}}" in {each.path for each in public_bindings()}
