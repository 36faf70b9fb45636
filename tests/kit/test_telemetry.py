"""The metrics page of a process."""

import urllib.request

from services.kit import telemetry
from services.mesh.process import free_port


def test_port_zero_means_no_page() -> None:
    """A process whose metrics port is 0 opens none."""
    assert telemetry.start_metrics(0) is None


def test_the_page_shows_calls_and_goes_away() -> None:
    """Counted calls stand on the page in Prometheus' format, and closing it frees the port."""
    telemetry.RPC_CALLS.labels("s.v1.S", "M", "OK").inc()
    page = telemetry.start_metrics(free_port())
    assert page is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    page.close()
    assert 'cadenza_rpc_calls_total{code="OK",method="M",service="s.v1.S"}' in text
    assert "process_resident_memory_bytes" in text
    again = telemetry.start_metrics(page.port)
    assert again is not None
    again.close()
