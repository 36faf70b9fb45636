"""The gateway as a process of its own: it starts without the services, serves, and stops when told."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientConnectionError, ClientSession

from services.mesh.ca import Authority

STOP_S = 5.0


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(tmp_path: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python -m gateway` until the block ends."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "GATEWAY_PORT": str(port),
        "GATEWAY_REUSE_PORT": "true",
        "CADENZA_TLS": str(tmp_path / "tls"),
        "OBJECT_STORE_DIR": str(tmp_path / "objects"),
        "OBJECT_URL_SECRET": "a secret of the tests",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        **{f"{name}_ADDRESS": "127.0.0.1:1" for name in ("AUTH", "WALLET", "COMPOSER", "MEDIA", "SHARE")},
    }
    with (tmp_path / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def told(log: Path) -> str:
    """Return what the processes have logged."""
    return log.read_text()


async def until_live(http: ClientSession, log: Path, *processes: asyncio.subprocess.Process) -> None:
    """Wait until every process listens and the port answers; a process that dies fails with its log."""
    async with asyncio.timeout(40):
        while told(log).count("the gateway listens") < len(processes):
            assert all(process.returncode is None for process in processes), told(log)
            await asyncio.sleep(0.05)
        while True:
            try:
                async with http.get("/health/live") as response:
                    assert response.status == 200
                    return
            except ClientConnectionError:
                await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
async def test_the_process_serves_without_its_services_and_stops_within_five_seconds(tmp_path: Path) -> None:
    """Unreachable services are 503 in the envelope, two processes share the port, SIGTERM ends both with status 0."""
    Authority(tmp_path / "authority", tmp_path / "tls").ensure()
    port = free_port()
    async with (
        running(tmp_path, port) as one,
        running(tmp_path, port) as two,
        ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        await until_live(http, tmp_path / "log", one, two)
        async with http.get("/api/v1/wallet/prices") as response:
            body = orjson.loads(await response.read())
        assert (response.status, body["code"]) == (503, 10003)
        assert "127.0.0.1" not in body["details"]["description"]
        for process in (one, two):
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            assert [await process.wait() for process in (one, two)] == [0, 0]
