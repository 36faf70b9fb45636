"""Spans on their way to a receiver: over a socket, in batches, and never in anybody's way."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.kit import otlp as module
from services.kit import tracing
from services.kit.config import ConfigError, ProcessConfig
from services.kit.otlp import LOST, headers_of
from tests.fakes.otlp import Otlp
from tests.fakes.stand_in import served

TRACE = "0af7651916cd43dd8448eb211c80319c"


def _config(endpoint: str, headers: str = "") -> ProcessConfig:
    return ProcessConfig(otlp_endpoint=endpoint, otlp_headers=headers)


async def _close(stop: Callable[[], None]) -> None:
    await asyncio.to_thread(stop)


@pytest.mark.parametrize("door", ["plain", "langfuse"])
async def test_spans_arrive_as_they_were_joined(door: str) -> None:
    """Trace, parent, wanted id, kind, attributes and error arrive, packed, at a plain receiver and at Langfuse's."""
    async with served(Otlp()) as otlp:
        settings = otlp.settings()
        config = _config(settings["OTEL_EXPORTER_OTLP_ENDPOINT"], settings["OTEL_EXPORTER_OTLP_HEADERS"])
        if door == "plain":
            config = _config(otlp.url)
        stop = tracing.start("test", config)
        with tracing.joined(TRACE, platform="wxmp"), tracing.span("outer", kind="server"):
            with tracing.span("made", kind="producer", span_id=tracing.span_of_job("j")):
                pass
            with pytest.raises(KeyError), tracing.span("inner", kind="client", attributes={"n": 5}):
                raise KeyError("secret words")
        await _close(stop)
        assert otlp.seen[0].headers["content-encoding"] == "gzip"
        outer, made, inner = otlp.trace(TRACE)
    assert [each.name for each in (outer, made, inner)] == ["outer", "made", "inner"]
    assert (outer.parent_id, made.parent_id, inner.parent_id) == ("", outer.span_id, outer.span_id)
    assert made.span_id == tracing.span_of_job("j")
    assert (outer.kind, made.kind, inner.kind) == ("server", "producer", "client")
    assert inner.attributes["n"] == 5
    assert (inner.failed, inner.attributes["error.type"], outer.failed) == (True, "KeyError", False)
    assert inner.resource["service.name"] == "cadenza-test"
    assert not tracing.recording()


@pytest.mark.parametrize("fault", ["down", "quota", "suspended", "slow", "cut"])
async def test_a_receiver_that_fails_is_in_nobodys_way(fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the receiver does, the end is not held up, and the loss is counted and told once at most."""
    async with served(Otlp()) as otlp:
        lost = LOST._value.get()
        otlp.fail(fault, times=100)
        stop = tracing.start("test", _config(otlp.settings()["OTEL_EXPORTER_OTLP_ENDPOINT"]))
        with caplog.at_level(logging.WARNING):
            for _ in range(600):
                with tracing.span("work"):
                    pass
            await _close(stop)
        told = [each for each in caplog.records if each.name.startswith(("services.kit.otlp", "opentelemetry"))]
        assert len(told) <= 1
        if fault == "suspended":
            assert LOST._value.get() >= lost + 600
        if fault == "slow":
            # Three batches would take two seconds each, and the end did not wait for them.
            assert "spans" in {each.name for each in threading.enumerate()}
        # Or it would knock at a receiver that is closing.
        for each in threading.enumerate():
            if each.name == "spans":
                await asyncio.to_thread(each.join, 10)
                assert not each.is_alive()


def test_an_export_reaches_a_receiver_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is answered too late is not sent again; what met a closed connection is sent over a new one."""
    monkeypatch.setattr(module, "_SEND_S", 0.2)
    seen: list[bytes] = []

    class Receiving(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(self.rfile.read(int(self.headers["Content-Length"])))
            if seen[-1] == b"late":
                answering.wait(10)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            # The client is not told, as when the other side was restarted.
            self.close_connection = seen[-1] == b"last of its connection"

    answering = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiving) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        receiver = module._Receiver(f"http://127.0.0.1:{server.server_port}/v1/traces", {})
        took = [receiver.takes(body) for body in (b"first", b"late", b"last of its connection", b"next")]
        answering.set()
        receiver.close()
        server.shutdown()

    assert took == [True, False, True, True]
    assert seen == [b"first", b"late", b"last of its connection", b"next"]


async def test_without_a_receiver_nothing_starts() -> None:
    """With no endpoint nothing is recorded."""
    stop = tracing.start("test", _config(""))
    assert not tracing.recording()
    stop()


def test_without_a_receiver_nothing_is_loaded() -> None:
    """A process without an endpoint carries no exporter and nothing of ours that sends, gateway and services included.

    The Redis client looks for the SDK by itself, which is 1.7 MB that we cannot spare it.
    """
    script = (
        "import sys, gateway.app, services.mesh.colocated, services.composer.worker\n"
        "from services.kit import tracing\n"
        "from services.kit.config import ProcessConfig\n"
        "tracing.start('test', ProcessConfig())()\n"
        "loaded = ('opentelemetry.exporter', 'opentelemetry.proto', 'opentelemetry.sdk.trace', 'services.kit.otlp')\n"
        "print([name for name in sys.modules if name.startswith(loaded)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_headers_of_a_setting() -> None:
    """Names and values are read as OpenTelemetry's specification has them; a value may hold `=` and percent codes."""
    found = headers_of("Authorization=Basic cGs6c2s=, x-langfuse-ingestion-version=4,Other=a%20b")
    assert found == {"authorization": "Basic cGs6c2s=", "x-langfuse-ingestion-version": "4", "other": "a b"}


def test_an_endpoint_is_an_address() -> None:
    """What is no http address is refused at the start."""
    with pytest.raises(ConfigError):
        _config("collector:4318")
