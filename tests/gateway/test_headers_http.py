"""Headers of every answer: security, origins, compression, caching and names."""

import gzip

import orjson
import pytest
from aiohttp import ClientSession

from tests.gateway.conftest import ALICE, Gateway
from tests.gateway.services import TRACK

LONG = f"/api/v1/tracks/{TRACK}"


@pytest.mark.parametrize("path", ["/health/live", "/api/v1/wallet/prices", "/nothing", "/api/v1/wallet/balance"])
async def test_every_answer_carries_the_security_headers(http: ClientSession, path: str) -> None:
    """Also errors; and no script may stand in a page."""
    async with http.get(path) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src 'self';" in policy
    assert "object-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
    assert headers["X-Trace-Id"]
    assert "Strict-Transport-Security" not in headers


async def test_https_behind_a_trusted_proxy_is_asked_to_stay_https(gateway: Gateway) -> None:
    """HSTS is sent only where the client spoke https, and only a trusted proxy may say so."""
    secure = {"X-Forwarded-Proto": "https"}
    http = await gateway(trusted_proxies=("127.0.0.1",))
    async with http.get("/health/live", headers=secure) as response:
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    http = await gateway()
    async with http.get("/health/live", headers=secure) as response:
        assert "Strict-Transport-Security" not in response.headers


@pytest.mark.point(28)
async def test_an_allowed_origin_passes_and_another_does_not(gateway: Gateway) -> None:
    """The preflight names methods and headers and may be kept; another origin is refused and sees no header."""
    http = await gateway(allowed_origins=("https://app.example",))
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-platform"}
    async with http.options("/api/v1/tracks", headers={"Origin": "https://app.example", **ask}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "X-Platform" in response.headers["Access-Control-Allow-Headers"]
        assert int(response.headers["Access-Control-Max-Age"]) > 0
    async with http.options("/api/v1/tracks", headers={"Origin": "https://evil.example", **ask}) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (403, 20004)
        assert "Access-Control-Allow-Origin" not in response.headers
    async with http.get("/api/v1/wallet/balance", headers={"Origin": "https://app.example"}) as response:
        assert response.status == 401
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "X-Trace-Id" in response.headers["Access-Control-Expose-Headers"]
        assert "Origin" in response.headers["Vary"]
    async with http.get("/health/live", headers={"Origin": "https://evil.example"}) as response:
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(
    ("headers", "packed"),
    [
        ({"Accept-Encoding": "gzip, br"}, True),
        ({"Accept-Encoding": "*"}, True),
        ({"Accept-Encoding": "gzip;q=0.5"}, True),
        ({"Accept-Encoding": "gzip;q=0"}, False),
        ({"Accept-Encoding": "br"}, False),
        ({"Accept-Encoding": "gzip", "X-No-Compression": "1"}, False),
    ],
)
async def test_long_answers_are_packed_for_whoever_takes_them(
    http: ClientSession, headers: dict[str, str], *, packed: bool
) -> None:
    """Above 1024 bytes JSON is gzip unless the client refuses; caches are told that it depends."""
    async with http.get(LONG, headers={**ALICE, **headers}) as response:
        raw = await response.read()
        assert (response.headers.get("Content-Encoding") == "gzip") == packed
        assert "Accept-Encoding" in response.headers["Vary"]
        assert int(response.headers["Content-Length"]) == len(raw)
    body = orjson.loads(gzip.decompress(raw) if packed else raw)
    assert body["data"]["track"]["title"].startswith("晨曲")


async def test_short_answers_are_not_packed(http: ClientSession) -> None:
    """Below the threshold packing only costs."""
    async with http.get("/api/v1/wallet/balance", headers={**ALICE, "Accept-Encoding": "gzip"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_personal_answers_are_not_kept_and_requests_keep_their_names(http: ClientSession) -> None:
    """JSON is no-store; the client's request id comes back, a malformed one does not."""
    async with http.get("/api/v1/wallet/balance", headers={**ALICE, "X-Request-Id": "r-1"}) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Request-Id"] == "r-1"
    async with http.get("/api/v1/wallet/balance", headers={**ALICE, "X-Request-Id": "a b"}) as response:
        assert "X-Request-Id" not in response.headers


@pytest.mark.point(36)
async def test_log_lines_and_metrics_name_the_template_and_not_the_path(
    http: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids in labels would make as many series as there are tracks."""
    from services.kit.telemetry import REGISTRY

    with caplog.at_level("INFO", logger="gateway.access"):
        async with http.get(LONG, headers=ALICE) as response:
            assert response.status == 200
    (record,) = [each for each in caplog.records if each.name == "gateway.access"]
    assert vars(record)["route"] == "/api/v1/tracks/{track_id}"
    assert vars(record)["status_code"] == 200
    labels = {"method": "GET", "route": "/api/v1/tracks/{track_id}", "status_code": "200"}
    assert REGISTRY.get_sample_value("http_requests_total", labels)
