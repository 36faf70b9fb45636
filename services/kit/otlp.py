"""Sends spans as OTLP over HTTP, in batches from a thread of its own, with OpenTelemetry's SDK.

Loaded only where a receiver is configured. What cannot be sent in time is dropped, never waited for: the queue is
bounded, and a request is answered as fast when the receiver is away.
"""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import Counter

from services.kit.telemetry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from services.kit.tracing import Kind, Place, Value

_log = logging.getLogger(__name__)

LOST: Final = Counter("cadenza_spans_lost", "Spans that no receiver has taken", registry=REGISTRY)

_QUEUE: Final = 4096
_BATCH: Final = 256
_EVERY_MS: Final = 1000
_SEND_S: Final = 2.0
_SAY_EVERY_S: Final = 60.0
_LIMITS: Final = SpanLimits(max_span_attributes=64, max_span_attribute_length=256, max_events=0, max_links=0)
_KINDS: Final[Mapping[Kind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class Sender:
    """The recorder of a process that sends its spans to a receiver."""

    def __init__(self, service: str, *, endpoint: str, headers: str, environment: str) -> None:
        """Send to `endpoint`/v1/traces with `headers` (name=value with commas, values percent-encoded or not)."""
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers=headers_of(headers),
            timeout=_SEND_S,
            compression=Compression.Gzip,
        )
        for name in ("opentelemetry.exporter", "opentelemetry.sdk", "urllib3"):
            # They tell every failure of every batch, with addresses; we count them and say it once a minute.
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(
                {"service.name": f"cadenza-{service}", "deployment.environment.name": environment}
            ),
            id_generator=self._ids,
            span_limits=_LIMITS,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                _Counting(exporter),
                max_queue_size=_QUEUE,
                max_export_batch_size=_BATCH,
                schedule_delay_millis=_EVERY_MS,
                export_timeout_millis=_SEND_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("cadenza")

    def begin(
        self, name: str, *, kind: Kind, place: Place | None, span_id: str, attributes: Mapping[str, Value]
    ) -> Begun:
        """Begin a span: inside the place's span, else as the first of its trace, else of a new one."""
        context = Context()
        trace_id = int(place.trace_id, 16) if place else 0
        if place is not None and place.span_id:
            parent = trace.SpanContext(
                trace_id, int(place.span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED)
            )
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        with self._ids.next(trace_id, int(span_id, 16) if span_id else 0):
            return Begun(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def close(self) -> None:
        """Send what is left, for two seconds at most; what a slow receiver has not taken by then is lost.

        The SDK would try every batch of the queue to its own time limit, so it does that in a thread that ends with
        the process.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(_SEND_S)


class _Counting(SpanExporter):
    """Counts what could not be sent, and says so once a minute instead of with every batch."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._said_at = float("-inf")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            LOST.inc(len(spans))
            if time.monotonic() - self._said_at > _SAY_EVERY_S:
                self._said_at = time.monotonic()
                _log.warning("spans are lost: their receiver does not take them")
        return result

    def shutdown(self) -> None:
        """End the connections."""
        self._inner.shutdown()


class Begun:
    """A span that was begun."""

    __slots__ = ("_span", "span_id", "trace_id")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"

    def set(self, name: str, value: Value) -> None:
        """Add an attribute."""
        self._span.set_attribute(name, value)

    def end(self, error: str) -> None:
        """Finish the span, as failed when an error is named."""
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class _Ids(RandomIdGenerator):
    """Ids at random, unless the next ones are known: a trace's from the request, a span's from a job."""

    def __init__(self) -> None:
        self._wanted: ContextVar[tuple[int, int]] = ContextVar("cadenza_ids", default=(0, 0))

    def next(self, trace_id: int, span_id: int) -> _Next:
        """Return a block in which these ids are given out, where they are not nought."""
        return _Next(self._wanted, (trace_id, span_id))

    def generate_trace_id(self) -> int:
        """Return the trace id that is wanted, or a new one."""
        return self._wanted.get()[0] or super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the span id that is wanted, or a new one."""
        return self._wanted.get()[1] or super().generate_span_id()


class _Next:
    __slots__ = ("_ids", "_token", "_wanted")

    def __init__(self, wanted: ContextVar[tuple[int, int]], ids: tuple[int, int]) -> None:
        self._wanted = wanted
        self._ids = ids

    def __enter__(self) -> None:
        self._token = self._wanted.set(self._ids)

    def __exit__(self, *_: object) -> None:
        self._wanted.reset(self._token)


def headers_of(text: str) -> dict[str, str]:
    """Return the headers of a setting: `name=value` with commas, where a value may be percent-encoded."""
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
