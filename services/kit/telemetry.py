"""The metrics of a process, and the page that shows them.

One registry per process and one port per process: prometheus-client's multi-process mode needs
files shared between forks, and nothing here forks.
"""

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)

RPC_SECONDS: Final = Histogram(
    "cadenza_rpc_seconds",
    "Time a server took to answer a call",
    ("service", "method"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
RPC_CALLS: Final = Counter(
    "cadenza_rpc_calls", "Calls answered by a server", ("service", "method", "code"), registry=REGISTRY
)
CALLEE_OPEN: Final = Gauge(
    "cadenza_callee_open",
    "1 while calls of the service are refused by the caller's breaker",
    ("callee",),
    registry=REGISTRY,
)
CALLEE_REFUSED: Final = Counter(
    "cadenza_callee_refused", "Calls of a service that its caller's breaker refused", ("callee",), registry=REGISTRY
)
CALLEE_RETRIES: Final = Counter(
    "cadenza_callee_retries", "Calls of a service that were made a second time", ("callee",), registry=REGISTRY
)
OUTBOUND_SECONDS: Final = Histogram(
    "cadenza_outbound_seconds",
    "Time an outside HTTP server took, retries not included",
    ("client", "outcome"),
    buckets=_BUCKETS,
    registry=REGISTRY,
)
VENDOR_CALLS: Final = Counter(
    "cadenza_vendor_calls", "Calls to vendors of songs", ("vendor", "operation", "outcome"), registry=REGISTRY
)
SONGS: Final = Counter(
    "cadenza_songs",
    "Jobs that were to make a song, by who made it and how that ended",
    ("provider", "outcome"),
    registry=REGISTRY,
)
SONG_SUCCESS_RATIO: Final = Gauge(
    "cadenza_song_success_ratio", "Share of this process's jobs that gave a song, since it began", registry=REGISTRY
)
HEALTHY: Final = Gauge(
    "cadenza_healthy", "1 while the dependency answers its ping", ("application", "dependency"), registry=REGISTRY
)
QUEUE_LENGTH: Final = Gauge(
    "cadenza_queue_length", "Jobs that are due and wait for a worker", ("service", "queue"), registry=REGISTRY
)


@dataclass(frozen=True)
class MetricsPage:
    """A running metrics page."""

    port: int
    _server: object
    _thread: object

    def close(self) -> None:
        """Stop the page and give its port back."""
        server, thread = self._server, self._thread
        server.shutdown()  # type: ignore[attr-defined]
        server.server_close()  # type: ignore[attr-defined]
        thread.join(timeout=5)  # type: ignore[attr-defined]


def start_metrics(port: int, host: str = "127.0.0.1") -> MetricsPage | None:
    """Serve the registry at `/metrics` from a thread; port 0 means no page and returns None."""
    if not port:
        return None
    server, thread = start_http_server(port, addr=host, registry=REGISTRY)
    return MetricsPage(server.server_port, server, thread)
