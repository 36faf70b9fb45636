"""Health, liveness, readiness, and what a client is told before it starts."""

import gzip

import orjson
import pytest
from aiohttp import ClientSession

from tests.gateway.conftest import Gateway
from tests.gateway.services import Fakes

SERVICES = {"auth", "composer", "media", "share", "wallet"}


async def test_a_healthy_mesh_is_200_with_every_part(gateway: Gateway, redis_url: str) -> None:
    """Each service, Redis, memory and disk are named with their state."""
    http = await gateway(redis_url=redis_url)
    async with http.get("/health") as response:
        body = orjson.loads(await response.read())
    assert (response.status, body["status"]) == (200, "ok")
    assert SERVICES | {"redis", "memory", "disk"} <= set(body["services"])
    assert all(state["status"] == "ok" for state in body["services"].values())
    assert body["timestamp"].endswith("Z")
    assert body["services"]["memory"]["resident_mib"] > 0


@pytest.mark.point(33)
async def test_a_service_that_is_gone_makes_it_503_and_leaves_the_process_ready(
    gateway: Gateway, fakes: Fakes, redis_url: str
) -> None:
    """The whole is not well, but this process can still do what the other services offer."""
    http = await gateway(redis_url=redis_url)
    fakes.mesh.remove("share")
    async with http.get("/health") as response:
        body = orjson.loads(await response.read())
    assert response.status == 503
    assert body["services"]["share"] == {"status": "error", "detail": "UNAVAILABLE"}
    assert body["services"]["auth"]["status"] == "ok"
    for path in ("/health/live", "/health/ready"):
        async with http.get(path) as response:
            assert response.status == 200


async def test_a_stopped_redis_is_named(http: ClientSession) -> None:
    """The gateway of this test has an address where nothing listens."""
    async with http.get("/health") as response:
        body = orjson.loads(await response.read())
    assert response.status == 503
    assert body["services"]["redis"]["status"] == "error"


async def test_a_service_that_lost_its_dependency_is_not_serving(
    gateway: Gateway, fakes: Fakes, redis_url: str
) -> None:
    """What the service's own pings find out reaches the page."""

    async def broken() -> None:
        raise ConnectionError

    fakes.database_ping = broken
    http = await gateway(redis_url=redis_url)
    async with http.get("/health") as response:
        body = orjson.loads(await response.read())
    assert body["services"]["wallet"] == {"status": "error", "detail": "NOT_SERVING"}
    assert body["services"]["database"] == {"status": "error", "detail": "NOT_SERVING"}
    assert body["services"]["redis"] == {"status": "ok"}


async def test_clients_learn_limits_and_the_error_list_in_their_language(http: ClientSession) -> None:
    """No token is needed, and the numbers are those that the gateway enforces."""
    async with http.get("/api/v1/config/client", headers={"Accept-Language": "en"}) as response:
        raw = await response.read()
        data = orjson.loads(gzip.decompress(raw) if "Content-Encoding" in response.headers else raw)["data"]
    assert data["upload"]["max_bytes"] == 50 * 1024 * 1024
    assert data["upload"]["max_bytes_wxmp"] == 10 * 1024 * 1024
    assert data["upload"]["max_duration_ms"] == 180_000
    assert data["errors"]["AUTH_REQUIRED"] == {"code": 20001, "status": 401, "message": "Log in first."}
    assert data["poll_interval_ms"] > 0
