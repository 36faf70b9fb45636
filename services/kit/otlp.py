"""Sends spans as OTLP over HTTP, in batches from a thread of its own.

Loaded only where a receiver is configured. What cannot be sent in time is dropped, never waited for: the queue is
bounded, and a request is answered as fast when the receiver is away. A span costs its request five microseconds;
OpenTelemetry's SDK, which says the same to a receiver, made it nearly half of what a small read costs.
"""

from __future__ import annotations

import gzip
import http.client
import logging
import random
import struct
import threading
import time
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import Counter

from services.kit.telemetry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.kit.tracing import Kind, Place, Value

_log = logging.getLogger(__name__)

LOST: Final = Counter("cadenza_spans_lost", "Spans that no receiver has taken", registry=REGISTRY)

_QUEUE: Final = 4096
_BATCH: Final = 512
_EVERY_S: Final = 1.0
_SEND_S: Final = 2.0
_SAY_EVERY_S: Final = 60.0
_MOST_ATTRIBUTES: Final = 64
_GZIP_LEVEL: Final = 1
_KINDS: Final[Mapping[Kind, trace_pb2.Span.SpanKind.ValueType]] = {
    "internal": trace_pb2.Span.SPAN_KIND_INTERNAL,
    "server": trace_pb2.Span.SPAN_KIND_SERVER,
    "client": trace_pb2.Span.SPAN_KIND_CLIENT,
    "producer": trace_pb2.Span.SPAN_KIND_PRODUCER,
    "consumer": trace_pb2.Span.SPAN_KIND_CONSUMER,
}


class Sender:
    """The recorder of a process that sends its spans to a receiver."""

    def __init__(self, service: str, *, endpoint: str, headers: str, environment: str) -> None:
        """Send to `endpoint`/v1/traces with `headers` (name=value with commas, values percent-encoded or not)."""
        self._receiver = _Receiver(f"{endpoint.rstrip('/')}/v1/traces", headers_of(headers))
        about = {
            "service.name": f"cadenza-{service}",
            "deployment.environment.name": environment,
            "telemetry.sdk.name": "cadenza",
            "telemetry.sdk.language": "python",
        }
        self._resource = Resource(attributes=[_pair(name, value) for name, value in about.items()])
        self._waiting: deque[Begun] = deque()
        self._woken = threading.Event()
        self._ending = False
        self._over_at = float("inf")
        self._said_at = float("-inf")
        self._worker = threading.Thread(target=self._work, name="spans", daemon=True)
        self._worker.start()

    def begin(
        self, name: str, *, kind: Kind, place: Place | None, span_id: str, attributes: Mapping[str, Value]
    ) -> Begun:
        """Begin a span: inside the place's span, else as the first of its trace, else of a new one."""
        trace_id, parent_id = (place.trace_id, place.span_id) if place else (f"{random.getrandbits(128):032x}", "")
        begun = Begun(self, trace_id, span_id or f"{random.getrandbits(64):016x}")
        begun.name, begun.kind, begun.parent_id, begun.attributes = name, kind, parent_id, dict(attributes)
        return begun

    def keep(self, span: Begun) -> None:
        """Send the span with the next batch, or count it as lost when too many wait already."""
        waiting = len(self._waiting)
        if waiting >= _QUEUE:
            LOST.inc()
            return
        self._waiting.append(span)
        if waiting >= _BATCH and not self._woken.is_set():
            self._woken.set()

    def close(self) -> None:
        """Send what is left, for two seconds at most; what a slow receiver has not taken by then is lost."""
        self._over_at = time.monotonic() + _SEND_S
        self._ending = True
        self._woken.set()
        self._worker.join(_SEND_S)

    def _work(self) -> None:
        while not self._ending:
            self._woken.wait(_EVERY_S)
            self._woken.clear()
            while self._waiting:
                # Only this thread takes away, so what was counted is there.
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                if time.monotonic() > self._over_at or not self._sent(batch):
                    self._lose(len(batch))
        self._receiver.close()

    def _sent(self, batch: list[Begun]) -> bool:
        """Return whether the receiver has them; a value that OTLP cannot carry costs its batch and not the thread."""
        try:
            export = _packed(self._resource, batch)
        except ValueError:
            return False
        return self._receiver.takes(export)

    def _lose(self, spans: int) -> None:
        """Count what could not be sent, and say so once a minute instead of with every batch."""
        LOST.inc(spans)
        if time.monotonic() - self._said_at > _SAY_EVERY_S:
            self._said_at = time.monotonic()
            _log.warning("spans are lost: their receiver does not take them")


class Begun:
    """A span that was begun."""

    __slots__ = (
        "_sender", "attributes", "end_ns", "failed", "kind", "name", "parent_id", "span_id", "start_ns", "trace_id",
    )  # fmt: skip

    name: str
    kind: Kind
    parent_id: str
    attributes: dict[str, Value]
    end_ns: int

    def __init__(self, sender: Sender, trace_id: str, span_id: str) -> None:
        self._sender = sender
        self.trace_id = trace_id
        self.span_id = span_id
        self.failed = False
        self.start_ns = time.time_ns()

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        if len(self.attributes) < _MOST_ATTRIBUTES:
            self.attributes[name] = value

    def end(self, error: str) -> None:
        """Finish the span, as failed when an error is named."""
        if error:
            self.attributes["error.type"] = error
            self.failed = True
        self.end_ns = time.time_ns()
        self._sender.keep(self)


class _Receiver:
    """The receiver's address, and the connection that is kept to it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._secure = parts.scheme == "https"
        self._host = parts.netloc.rpartition("@")[2]
        self._path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        self._headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", **headers}
        self._connection: http.client.HTTPConnection | None = None

    def takes(self, body: bytes) -> bool:
        """Return whether the receiver has taken an export; a kept connection that has gone meanwhile is opened anew.

        Only then: a receiver that is slow to answer may have it already, and would have every span of it twice.
        """
        for kept in (self._connection is not None, False):
            try:
                return self._post(body)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if not (kept and isinstance(error, ConnectionError)):
                    return False
        return False

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes) -> bool:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, timeout=_SEND_S)
        self._connection.request("POST", self._path, body, self._headers)
        with self._connection.getresponse() as answer:
            answer.read()
            return http.client.OK <= answer.status < http.client.MULTIPLE_CHOICES


def _packed(resource: Resource, spans: Sequence[Begun]) -> bytes:
    """Return the export of the spans as it goes over the wire.

    The frame is a message like any other. The spans are put together from bytes, most of which come again with every
    request, because making messages of them and copying those into the frame took three times as long.
    """
    scope = trace_pb2.ScopeSpans(scope=InstrumentationScope(name="cadenza")).SerializeToString()
    scope += b"".join([_sized(_SPANS, _span(each)) for each in spans])
    about = trace_pb2.ResourceSpans(resource=resource).SerializeToString() + _sized(_SCOPES, scope)
    return gzip.compress(_sized(_RESOURCES, about), _GZIP_LEVEL)


def _sized(key: bytes, content: bytes) -> bytes:
    """Return a field that holds the content; the Protocol Buffers encoding, "Length-Delimited Records"."""
    size, length = len(content), bytearray()
    while size > _SEVEN_BITS:
        length.append(size & _SEVEN_BITS | _MORE)
        size >>= 7
    length.append(size)
    return key + length + content


def _span(span: Begun) -> bytes:
    """Return the bytes of a span: what is its own, then what it has in common with others."""
    own = _OWN.pack(
        *(_TRACE_ID, bytes.fromhex(span.trace_id), _SPAN_ID, bytes.fromhex(span.span_id)),
        *(_START, span.start_ns, _END, span.end_ns),
    )
    parts = [own, _named(span.name, span.kind), *[_attribute(name, value) for name, value in span.attributes.items()]]
    if span.parent_id:
        parts.append(_PARENT_ID + bytes.fromhex(span.parent_id))
    if span.failed:
        parts.append(_FAILED)
    return b"".join(parts)


# The keys of opentelemetry/proto/trace/v1/trace.proto: number of the field and kind of value, with its length for ids.
_RESOURCES: Final = b"\x0a"  # ExportTraceServiceRequest.resource_spans = 1
_SCOPES: Final = b"\x12"  # ResourceSpans.scope_spans = 2
_SPANS: Final = b"\x12"  # ScopeSpans.spans = 2
_TRACE_ID: Final = b"\x0a\x10"  # Span.trace_id = 1, sixteen bytes
_SPAN_ID: Final = b"\x12\x08"  # span_id = 2, eight bytes
_PARENT_ID: Final = b"\x22\x08"  # parent_span_id = 4, eight bytes
_START: Final = b"\x39"  # start_time_unix_nano = 7, fixed64
_END: Final = b"\x41"  # end_time_unix_nano = 8, fixed64
_OWN: Final = struct.Struct("<2s16s2s8scQcQ")
_SEVEN_BITS: Final = 0x7F
_MORE: Final = 0x80
_FAILED: Final = trace_pb2.Span(status=trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR)).SerializeToString()


@lru_cache(maxsize=2048)
def _named(name: str, kind: Kind) -> bytes:
    return trace_pb2.Span(name=name, kind=_KINDS[kind]).SerializeToString()


# Most attributes come again with every request. Typed, because 1 equals True.
@lru_cache(maxsize=2048, typed=True)
def _attribute(name: str, value: Value) -> bytes:
    return trace_pb2.Span(attributes=[_pair(name, value)]).SerializeToString()


def _pair(name: str, value: Value) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=name, value=AnyValue(string_value=value))
    if isinstance(value, bool):
        return KeyValue(key=name, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=name, value=AnyValue(int_value=value))
    return KeyValue(key=name, value=AnyValue(double_value=value))


def headers_of(text: str) -> dict[str, str]:
    """Return the headers of a setting: `name=value` with commas, where a value may be percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
