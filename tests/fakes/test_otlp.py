"""The receiver of traces: both encodings, both doors, and what it refuses whole."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.fakes.otlp import JSON, PROTOBUF, Otlp, authorization, example
from tests.fakes.stand_in import Ask, Reply, served

DOOR = "/api/public/otel/v1/traces"


@pytest.fixture
async def otlp() -> AsyncIterator[Otlp]:
    """Yield a running receiver."""
    async with served(Otlp()) as vendor:
        yield vendor


async def _send(otlp: Otlp, body: bytes, *, path: str = DOOR, **headers: str) -> Reply:
    sent = {"Authorization": authorization(), **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with aiohttp.ClientSession() as http:
        return await Ask(http, otlp.url)("POST", path, data=body, headers=sent)


def _protobuf() -> bytes:
    export = ExportTraceServiceRequest()
    span = export.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id, span.span_id = bytes.fromhex("0af7651916cd43dd8448eb211c80319c"), bytes.fromhex("b7ad6b7169203331")
    span.name, span.kind = "walk", Span.SPAN_KIND_INTERNAL
    span.start_time_unix_nano, span.end_time_unix_nano = 1_700_000_000_000_000_000, 1_700_000_001_000_000_000
    span.attributes.add(key="n").value.int_value = 5
    return export.SerializeToString()


@pytest.mark.parametrize("path", [DOOR, "/v1/traces"])
@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
@pytest.mark.parametrize("packed", [False, True])
async def test_both_encodings_say_the_same(otlp: Otlp, path: str, kind: str, *, packed: bool) -> None:
    """A span reads alike from protobuf and JSON, with hex ids and text numbers, packed or not, at both doors."""
    body = json.dumps(example()).encode() if kind == JSON else _protobuf()
    more = {"Content_Encoding": "gzip"} if packed else {}
    reply = await _send(otlp, gzip.compress(body) if packed else body, path=path, Content_Type=kind, **more)
    assert reply.status == 200
    (span,) = otlp.trace("0af7651916cd43dd8448eb211c80319c")
    assert (span.span_id, span.parent_id, span.kind, span.attributes) == ("b7ad6b7169203331", "", "internal", {"n": 5})
    assert span.end_ns - span.start_ns == 1_000_000_000


def _spoilt(**change: Any) -> bytes:
    export = example()
    export["resourceSpans"][0]["scopeSpans"][0]["spans"].append(
        {**export["resourceSpans"][0]["scopeSpans"][0]["spans"][0], **change}
    )
    return json.dumps(export).encode()


@pytest.mark.parametrize(
    "body",
    [
        _spoilt(traceId="short"),
        _spoilt(spanId=""),
        _spoilt(traceId="0" * 32),
        _spoilt(traceId="CvdlGRbNQ92ESOshHIAxnA=="),
        _spoilt(attributes={"n": 5}),
        b"{",
        b'{"resourceLogs": []}',
    ],
)
async def test_one_bad_span_spoils_the_export(otlp: Otlp, body: bytes) -> None:
    """A malformed id, attributes as an object, logs and broken JSON are 400, and nothing of the export is kept."""
    assert (await _send(otlp, body, Content_Type=JSON)).status == 400
    assert not otlp.spans


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x_langfuse_ingestion_version": "4"}, 200),
        ({"x_langfuse_ingestion_version": "5"}, 400),
        ({"x_langfuse_ingestion_version": "new"}, 400),
        ({"Content_Type": "text/plain"}, 400),
        ({"Content_Encoding": "br"}, 400),
        ({"Authorization": "Basic eDp5"}, 401),
    ],
)
async def test_langfuses_door(otlp: Otlp, headers: dict[str, str], status: int) -> None:
    """Version, content type, packing and keys are looked at before the spans."""
    body = json.dumps(example()).encode()
    assert (await _send(otlp, body, **{"Content_Type": JSON, **headers})).status == status
    assert bool(otlp.spans) is (status == 200)


async def test_a_small_bomb_is_not_unfolded(otlp: Otlp) -> None:
    """A packed body that would unfold to more than 16 MB is refused."""
    bomb = gzip.compress(b" " * (17 * 1024 * 1024))
    assert (await _send(otlp, bomb, Content_Type=JSON, Content_Encoding="gzip")).status == 400


async def test_a_part_is_taken(otlp: Otlp) -> None:
    """With its fault one span of an export is rejected, and the answer says so."""
    otlp.fail("partial")
    reply = await _send(otlp, _spoilt(spanId="b7ad6b7169203332"), Content_Type=JSON)
    assert reply.json() == {"partialSuccess": {"rejectedSpans": 1}}
    assert len(otlp.spans) == 1
