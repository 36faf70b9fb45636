"""The whole mesh of one home, as ``cadenza up`` runs it: addresses, crashes, and leaving nothing behind."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import grpc.aio
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.kit.ids import new_id
from services.mesh.client import Client
from services.mesh.home import Home
from services.mesh.hum import write_sample_hum
from services.mesh.postgres import Postgres
from services.mesh.up import RunningMesh, start_mesh, stop_mesh

pytestmark = pytest.mark.timeout(300)
WAIT_S = 60.0
SONG_S = 200.0
FREE = {
    "GATEWAY_PORT": "0",
    "EDGE_PORT": "0",
    "WORKERS": "1",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "S3_ENDPOINT_URL": "",
}

Up = Callable[[], Awaitable[tuple[subprocess.Popen[bytes], dict[str, str]]]]


@pytest.fixture(scope="module")
async def home(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """A home with free ports and one worker."""
    root = tmp_path_factory.mktemp("up") / "home"
    yield Home(root, {**Home().environ, **FREE})
    Postgres(root / "postgres").remove()


@pytest.fixture
async def up(home: Home) -> AsyncIterator[Up]:
    """Run ``cadenza up`` on the home as often as the test likes; what still runs is ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    async def run() -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        environment = {**home.environ, "CADENZA_HOME": str(home.root), "COLUMNS": "200"}
        output = home.root.parent / "up.txt"
        with output.open("wb") as out:
            command = [sys.executable, "-m", "services.mesh", "up"]
            process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)  # noqa: ASYNC220
        started.append(process)
        deadline = time.monotonic() + WAIT_S
        while "Ctrl-C stops it." not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            await asyncio.sleep(0.05)
        found = dict(re.findall(r"^ *(API|gRPC) {2,}(\S+)", output.read_text(), re.MULTILINE))
        found["API"] = found["API"].removesuffix("/api/v1")
        return process, found

    yield run
    for process in started:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


@pytest.fixture(scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningMesh]:
    """A running mesh on a home of its own, shared because a start costs seconds of CPU."""
    root = tmp_path_factory.mktemp("mesh") / "home"
    running = await start_mesh(Home(root, {**Home().environ, **FREE}))
    yield running
    await stop_mesh(running)
    Postgres(root / "postgres").remove()


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> dict[str, Any]:
    async with session.post(url, json=body) as answer:
        found: dict[str, Any] = await answer.json()
        assert answer.status == 200, found
        return found


async def _login(base_url: str, device: str) -> str:
    async with aiohttp.ClientSession() as session:
        found = await _post(session, f"{base_url}/api/v1/auth/anonymous", {"provider": "web", "provider_id": device})
    return str(found["data"]["access_token"])


async def _balance(base_url: str, token: str) -> int:
    async with (
        aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as session,
        session.get(f"{base_url}/api/v1/wallet/balance") as answer,
    ):
        found = await answer.json()
        assert answer.status == 200, found
        return int(found["data"]["balance"]["available_credits"])


async def test_a_person_is_served_on_both_public_ports(mesh: RunningMesh) -> None:
    """A login over HTTP gives a token that the plaintext gRPC port accepts, and internal methods are not there."""
    token = await _login(mesh.base_url, new_id())
    assert await _balance(mesh.base_url, token) == 100
    async with grpc.aio.insecure_channel(mesh.edge_address) as channel:
        health = await _health(channel)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        wallet = credit_service_pb2_grpc.CreditServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await wallet.Hold(credit_service_pb2.HoldRequest())
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_the_database_has_a_connection_for_every_place_in_every_pool(mesh: RunningMesh) -> None:
    """As many requests at once as all pools have places never meet "too many clients"."""
    token = await _login(mesh.base_url, new_id())
    paths = ("users/me", "wallet/balance", "tracks", "assets", "shares")
    headers, connector = {"authorization": f"Bearer {token}"}, aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(mesh.base_url, headers=headers, connector=connector) as session:

        async def status(path: str) -> int:
            async with session.get(f"/api/v1/{path}") as answer:
                return answer.status

        statuses = await asyncio.gather(*(status(path) for path in paths * 30))
    assert set(statuses) == {200}
    assert mesh.postgres is not None
    connection = await asyncpg.connect(mesh.postgres.url)
    most = int(await connection.fetchval("SHOW max_connections"))
    await connection.close()
    assert most == 20 + 60 * mesh.home.mesh_processes + 40 * mesh.home.workers


async def test_the_workers_port_wants_a_certificate(mesh: RunningMesh) -> None:
    """A stranger in plaintext gets nowhere on the internal port."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.home.ports.mesh}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _health(channel)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_after_sigkill_of_everything_users_credits_and_the_running_job_go_on(up: Up, tmp_path: Path) -> None:
    """SIGKILL of every process while a song is made: the next start knows the user, finishes the song, charges once."""
    process, addresses = await up()
    device = new_id()
    async with Client(addresses["API"]) as client:
        await client.login(device)
        asset_id = (await client.upload(write_sample_hum(tmp_path / "hum.wav")))["asset_id"]
        await _until_state(client, f"/api/v1/assets/{asset_id}", "asset", "ready")
        made = await client.call(
            "POST", "/api/v1/tracks", {"asset_id": asset_id, "title": "x"}, Idempotency_Key=asset_id
        )
        async for message in client.events(f"/api/v1/jobs/{made['job_id']}/events"):
            if (message.get("event") or {}).get("step") == "music_generate":
                break
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 4
    process.kill()
    for each in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    await asyncio.to_thread(process.wait)

    again, addresses = await up()
    async with Client(addresses["API"]) as client:
        await client.login(device)
        job = await _until_state(client, f"/api/v1/jobs/{made['job_id']}", "job", "completed")
        assert job["attempt"] == 2
        track = (await client.call("GET", f"/api/v1/tracks/{made['track_id']}"))["track"]
        assert [variant["label"] for variant in track["variants"]] == ["A", "B"]
        for _ in range(200):  # The settlement follows the job within moments.
            balance = (await client.call("GET", "/api/v1/wallet/balance"))["balance"]
            if not balance["held_credits"]:
                break
            await asyncio.sleep(0.1)
        assert balance["available_credits"] == 100 - track["cost_credits"] == 80
    again.terminate()
    assert await asyncio.to_thread(again.wait, 30) == 0


async def test_after_sigkill_of_the_supervisor_alone_the_next_start_takes_over(home: Home, up: Up) -> None:
    """Servers left by a killed supervisor are replaced, and no process of the first run is left."""
    process, _ = await up()
    left = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    await asyncio.to_thread(process.wait)
    running = await start_mesh(Home(home.root, home.environ))
    try:
        assert await _balance(running.base_url, await _login(running.base_url, new_id())) == 100
        assert [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        await stop_mesh(running)


async def test_ctrl_c_stops_everything_in_order(up: Up) -> None:
    """SIGINT ends everything with status 0 and leaves no process and no listening port."""
    process, addresses = await up()
    left = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, 30) == 0
    assert [each for each in left if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
    port = int(addresses["API"].split(":")[2].split("/")[0])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


async def test_whatever_dies_comes_back(mesh: RunningMesh) -> None:
    """SIGKILL of database, Valkey, mesh process and worker, one after another: the same person is served again."""
    token = await _login(mesh.base_url, new_id())
    for name in ("postgres", "valkey", "mesh", "worker-1"):
        before = mesh.pids[name]
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + WAIT_S
        while mesh.pids.get(name) in {None, before} or not await _served(mesh.base_url, token):
            assert time.monotonic() < deadline, name
            await asyncio.sleep(0.1)


def test_a_second_up_on_the_same_home_is_refused_in_words(home: Home) -> None:
    """While one runs the other leaves with status 1, the pid of the first and no stack trace."""
    holder = Home(home.root, {})
    holder.claim()
    try:
        command = [sys.executable, "-m", "services.mesh", "up"]
        environment = {**home.environ, "CADENZA_HOME": str(home.root)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    finally:
        holder.release()
    assert done.returncode == 1
    assert f"process {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


async def _until_state(client: Client, path: str, noun: str, state: str) -> dict[str, Any]:
    """Return the resource once it is in the state; fail when it failed or does not get there."""
    deadline = time.monotonic() + SONG_S
    while (found := dict((await client.call("GET", path))[noun]))["state"] != state:
        assert found["state"] not in {"failed", "cancelled"}, found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
    return found


async def _health(channel: grpc.aio.Channel) -> health_pb2.HealthCheckResponse:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
    return answer


async def _served(base_url: str, token: str) -> bool:
    try:
        return await _balance(base_url, token) == 100
    except (aiohttp.ClientError, AssertionError, TimeoutError, json.JSONDecodeError):
        return False
