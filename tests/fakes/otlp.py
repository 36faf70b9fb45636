"""A receiver of traces: plain OTLP over HTTP, and the same behind Langfuse's door. Facts: contract page (AI) section 5.

What it keeps of Langfuse: basic auth with the two keys (401), protobuf or JSON, gzip or not, `{}` for what was taken,
400 for a version above 4, for what cannot be read, and for a whole export of which a single span has a malformed id or
attributes in the wrong shape; logs sent to the path of traces are found out; 16 MB at most. In JSON ids are hex and not
base64, and whole numbers are text.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections import deque
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from services.kit.clock import Clock, now
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC_KEY = "pk-lf-sandbox"
SECRET_KEY = "sk-lf-sandbox-worth-nothing"
LARGEST = 16 * 1024 * 1024
NEWEST_VERSION = 4
MOST_SPANS = 20_000
PROTOBUF, JSON = "application/x-protobuf", "application/json"
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


class Unreadable(Exception):
    """The export is refused whole; the text says why."""


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it came; ids in hex, times in nanoseconds, `parent_id` empty at the root."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


class Otlp(StandIn):
    """A receiver of traces, plain and by Langfuse's door; what came is at `/otlp/_sandbox/spans`."""

    name = "otlp"
    FAULTS = {  # noqa: RUF012  # read only
        "down": Fault(status=503, body="unavailable"),
        "slow": Fault(delay_s=30.0),
        "cut": Fault(cut=True),
        "quota": Fault(status=429, body={"error": "Rate limit exceeded"}, headers={"Retry-After": "1"}),
        "suspended": Fault(status=403, body={"error": "Ingestion suspended"}),
        "partial": Fault(name="partial"),
    }

    def __init__(self, *, clock: Clock = now) -> None:
        super().__init__(clock=clock)
        self.spans: deque[ReceivedSpan] = deque(maxlen=MOST_SPANS)

    def settings(self) -> dict[str, str]:
        """Return what lets every process send its spans here, by Langfuse's door."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{self.url}/api/public/otel",
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization={authorization()},x-langfuse-ingestion-version=4",
        }

    def routes(self) -> list[web.RouteDef]:
        """Return the receiver's routes."""
        return [
            web.post("/v1/traces", self._plain),
            web.post("/api/public/otel/v1/traces", self._langfuse),
            web.get("/api/public/health", self._health),
            web.get("/_sandbox/spans", self._shown),
        ]

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Return the spans of a trace in the order of their beginning."""
        return sorted((each for each in self.spans if each.trace_id == trace_id), key=lambda each: each.start_ns)

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Send one span as JSON."""
        headers = {"Authorization": authorization(SECRET_KEY if good_key else "wrong"), "Content-Type": JSON}
        return [await ask("POST", "/api/public/otel/v1/traces", data=json.dumps(example()), headers=headers)]

    def refused(self, reply: Reply) -> bool:
        """Return whether it is 401 with Langfuse's words."""
        return reply.status == HTTPStatus.UNAUTHORIZED and "error" in reply.json()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK", "version": "3.200.0"})

    async def _shown(self, request: web.Request) -> web.Response:
        wanted = request.query.get("trace_id", "")
        return web.json_response([asdict(each) for each in self.spans if wanted in {"", each.trace_id}])

    async def _plain(self, request: web.Request) -> web.Response:
        return await self._received(request)

    async def _langfuse(self, request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", ""), authorization()):
            return _refused(
                HTTPStatus.UNAUTHORIZED, "Invalid credentials. Confirm that you've configured the correct host."
            )
        version = request.headers.get("x-langfuse-ingestion-version", "1")
        if not version.isdecimal() or int(version) > NEWEST_VERSION:
            return _refused(HTTPStatus.BAD_REQUEST, "Unsupported x-langfuse-ingestion-version")
        return await self._received(request)

    async def _received(self, request: web.Request) -> web.Response:
        """Take the whole export or refuse it whole."""
        try:
            body = _unpacked(await request.read(), request.headers.get("Content-Encoding", ""))
            spans = list(read(body, request.content_type))
        except Unreadable as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        rejected = 1 if spans and self.told("partial", request.path) else 0
        self.spans.extend(spans[rejected:])
        if request.content_type == JSON or "langfuse" in "".join(request.headers).lower():
            return web.json_response({"partialSuccess": {"rejectedSpans": rejected}} if rejected else {})
        partial = ExportTracePartialSuccess(rejected_spans=rejected) if rejected else None
        taken = ExportTraceServiceResponse(partial_success=partial)
        return web.Response(body=taken.SerializeToString(), content_type=PROTOBUF)


def authorization(secret: str = SECRET_KEY) -> str:
    """Return the header that opens Langfuse's door."""
    return "Basic " + base64.b64encode(f"{PUBLIC_KEY}:{secret}".encode()).decode()


def read(body: bytes, content_type: str) -> Iterator[ReceivedSpan]:
    """Yield the spans of an export; raises Unreadable for what Langfuse does not take."""
    if content_type == JSON:
        yield from _read_json(body)
    elif content_type == PROTOBUF:
        yield from _read_protobuf(body)
    else:
        raise Unreadable("Invalid content type")


def example() -> dict[str, Any]:
    """Return a small export as JSON."""
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "walk",
        "kind": 1,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": "n", "value": {"intValue": "5"}}],
    }
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"spans": [span]}]}]}


def _refused(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)


def _unpacked(data: bytes, encoding: str) -> bytes:
    """Return the body, which the server has unpacked already, unless it was packed otherwise or is too much."""
    if encoding not in {"", "identity", "gzip"}:
        raise Unreadable("Invalid content encoding")
    if len(data) > LARGEST:
        raise Unreadable("Payload too large")
    return data


def _read_protobuf(body: bytes) -> Iterator[ReceivedSpan]:
    try:
        export = ExportTraceServiceRequest.FromString(body)
    except DecodeError as error:
        raise Unreadable("Failed to parse OTel Protobuf Trace") from error
    for group in export.resource_spans:
        resource = {each.key: _plain(each.value) for each in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _checked(
                    ReceivedSpan(
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.name,
                        KINDS[span.kind],
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code == 2,
                        {each.key: _plain(each.value) for each in span.attributes},
                        resource,
                    )
                )


def _read_json(body: bytes) -> Iterator[ReceivedSpan]:
    try:
        export = json.loads(body)
        if "resourceLogs" in export:
            raise Unreadable("Logs are not taken here")
        for group in export["resourceSpans"]:
            resource = _pairs(group.get("resource", {}).get("attributes", []))
            for scope in group["scopeSpans"]:
                for span in scope["spans"]:
                    yield _checked(
                        ReceivedSpan(
                            span.get("traceId", ""),
                            span.get("spanId", ""),
                            span.get("parentSpanId", ""),
                            span.get("name", ""),
                            KINDS[span.get("kind", 0)],
                            int(span["startTimeUnixNano"]),
                            int(span["endTimeUnixNano"]),
                            span.get("status", {}).get("code", 0) == 2,
                            _pairs(span.get("attributes", [])),
                            resource,
                        )
                    )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Unreadable("Failed to parse OTel JSON Trace") from error


def _checked(span: ReceivedSpan) -> ReceivedSpan:
    ids = ((span.trace_id, 32), (span.span_id, 16), (span.parent_id or "1" * 16, 16))
    for text, length in ids:
        good = (
            isinstance(text, str)
            and len(text) == length
            and set(text) <= set("0123456789abcdef")
            and set(text) != {"0"}
        )
        if not good:
            raise Unreadable("Invalid trace or span id")
    return span


def _pairs(attributes: Any) -> dict[str, Any]:
    if not isinstance(attributes, list):
        raise Unreadable("Attributes must be an array")
    return {each["key"]: _json_value(each["value"]) for each in attributes}


def _json_value(value: Any) -> Any:
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    return [_json_value(each) for each in inner.get("values", [])] if kind == "arrayValue" else inner


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(each) for each in value.array_value.values]
    return getattr(value, kind) if kind else None
