"""Signed addresses of the local store over HTTP: reading with ranges, writing once, refusing the rest."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import ClientSession

from gateway.config import Config
from services.kit.objects.choice import local_object_store
from services.kit.objects.local import LocalObjectStore
from tests.gateway.conftest import Gateway

KEY = "music/a/b.mp3"
TYPE = "audio/mpeg"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
async def store(config: Config) -> LocalObjectStore:
    """Return the store that the gateway serves, with one object in it."""
    made = local_object_store(config)
    await made.put(KEY, CONTENT, content_type=TYPE)
    return made


def path_of(url: str) -> str:
    """Return path and query of an address, as sent to the gateway of the test."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def test_an_object_is_sent_whole_with_its_type(http: ClientSession, store: LocalObjectStore) -> None:
    """GET gives the bytes, HEAD the same headers, and no browser runs what was stored."""
    path = path_of(await store.presign_get(KEY, expires_s=60))
    async with http.get(path) as response:
        assert (response.status, await response.read()) == (200, CONTENT)
        assert response.headers["Content-Type"] == TYPE
        assert response.headers["Accept-Ranges"] == "bytes"
        assert response.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    async with http.head(path) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(CONTENT)))


async def test_a_file_name_makes_a_download(http: ClientSession, store: LocalObjectStore) -> None:
    """The name is in the signature, so nobody can choose another one."""
    path = path_of(await store.presign_get(KEY, expires_s=60, filename="晨曲.mp3"))
    async with http.get(path) as response:
        assert response.status == 200
        assert response.headers["Content-Disposition"].startswith("attachment;")
        assert "%E6%99%A8%E6%9B%B2.mp3" in response.headers["Content-Disposition"]
    async with http.get(path.replace("fn=", "fn=x")) as response:
        assert response.status == 403


@pytest.mark.point(26, 31)
@pytest.mark.parametrize(
    ("wanted", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, len(CONTENT)),
        ("bytes=-10", 206, len(CONTENT) - 10, len(CONTENT)),
        (f"bytes=0-{len(CONTENT) * 2}", 206, 0, len(CONTENT)),
        (f"bytes={len(CONTENT)}-", 416, 0, 0),
    ],
)
async def test_ranges_are_served_as_players_ask_for_them(
    http: ClientSession, store: LocalObjectStore, wanted: str, status: int, start: int, end: int
) -> None:
    """A part is 206 with its place, a place beyond the end is 416 with the size."""
    path = path_of(await store.presign_get(KEY, expires_s=60))
    async with http.get(path, headers={"Range": wanted}) as response:
        body = await response.read()
        place = response.headers["Content-Range"]
    assert response.status == status
    if status == 206:
        assert (body, place) == (CONTENT[start:end], f"bytes {start}-{end - 1}/{len(CONTENT)}")
    else:
        assert place == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("change", ["exp=1", "sig=x", "nothing"])
async def test_an_address_that_is_not_ours_opens_nothing(
    http: ClientSession, store: LocalObjectStore, change: str
) -> None:
    """A changed expiry, a wrong signature and no query at all are 403 / 20004."""
    path = path_of(await store.presign_get(KEY, expires_s=60))
    bad = path.partition("?")[0] + "?" + {"nothing": ""}.get(change, f"{path.partition('?')[2]}&{change}")
    if change != "nothing":
        name = change.partition("=")[0]
        kept = [part for part in path.partition("?")[2].split("&") if not part.startswith(f"{name}=")]
        bad = path.partition("?")[0] + "?" + "&".join([*kept, change])
    async with http.get(bad) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (403, 20004)


async def test_an_address_for_one_object_opens_no_other(http: ClientSession, store: LocalObjectStore) -> None:
    """Another key, another bucket and another method are not what was signed."""
    path = path_of(await store.presign_get(KEY, expires_s=60))
    for other in (path.replace("b.mp3", "c.mp3"), path.replace("/_objects/cadenza/", "/_objects/other/")):
        async with http.get(other) as response:
            assert response.status == 403
    async with http.put(path, data=b"x", headers={"Content-Type": TYPE}) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (403, 20004)


@pytest.mark.parametrize("key", ["a/%2e%2e/%2e%2e/etc/passwd", "a//b", "%00", "a%5Cb"])
async def test_a_key_that_could_climb_is_refused(http: ClientSession, key: str) -> None:
    """No path leaves its place, whatever way it is written."""
    async with http.get(f"/_objects/cadenza/{key}?exp=1&sig=x") as response:
        assert response.status in {400, 403, 404}
        assert orjson.loads(await response.read())["code"] in {10001, 10002, 20004}


async def test_an_expired_address_says_so(http: ClientSession, config: Config) -> None:
    """What we signed and is over is 403 / 30005, so that the client asks for a new one."""
    from datetime import timedelta

    from services.kit.clock import now

    past = LocalObjectStore(
        config.object_store_directory,
        config.object_url_secret,
        config.public_url,
        clock=lambda: now() - timedelta(hours=1),
    )
    for method, url in (
        ("GET", await past.presign_get(KEY, expires_s=60)),
        ("PUT", (await past.presign_put(KEY, content_type=TYPE, size_bytes=1, expires_s=60)).url),
    ):
        async with http.request(method, path_of(url), data=None) as response:
            assert (response.status, orjson.loads(await response.read())["code"]) == (403, 30005)


async def test_what_is_put_can_be_read(http: ClientSession, store: LocalObjectStore) -> None:
    """A PUT of the announced type and size is stored under its key."""
    signed = await store.presign_put("new/x.wav", content_type="audio/wav", size_bytes=5, expires_s=60)
    async with http.put(path_of(signed.url), data=b"hello", headers={"Content-Type": "audio/wav"}) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert response.headers["ETag"]
    stored = await store.head("new/x.wav")
    assert stored is not None
    assert (stored.size_bytes, stored.content_type) == (5, "audio/wav")


@pytest.mark.parametrize(
    ("data", "content_type", "chunked", "status", "code"),
    [
        (b"hello", "audio/mpeg", False, 415, 30002),
        (b"hell", "audio/wav", False, 422, 30004),
        (b"hello!", "audio/wav", False, 422, 30004),
        (b"hello", "audio/wav", True, 411, 10001),
        (b"hello!" * 100_000, "audio/wav", True, 411, 10001),
    ],
)
async def test_a_put_of_another_type_or_size_stores_nothing(
    http: ClientSession,
    store: LocalObjectStore,
    *,
    data: bytes,
    content_type: str,
    chunked: bool,
    status: int,
    code: int,
) -> None:
    """The wrong type is 30002, the wrong size 30004, a size that is not said 411; the key stays free."""

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    signed = await store.presign_put("new/y.wav", content_type="audio/wav", size_bytes=5, expires_s=60)
    body = pieces() if chunked else data
    async with http.put(path_of(signed.url), data=body, headers={"Content-Type": content_type}) as response:
        assert (response.status, orjson.loads(await response.read())["code"]) == (status, code)
    assert await store.head("new/y.wav") is None


async def test_with_an_s3_server_the_route_is_not_there(gateway: Gateway, store: LocalObjectStore) -> None:
    """Clients then talk to that server, and its origin stands in the page policy."""
    http = await gateway(s3_endpoint_url="https://s3.example.org:9000")
    async with http.get(path_of(await store.presign_get(KEY, expires_s=60))) as response:
        assert response.status == 404
        assert "connect-src 'self' https://s3.example.org:9000" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("digest", "status", "error"),
    [
        (lambda: base64.b64encode(hashlib.md5(CONTENT).digest()).decode(), 200, ""),  # noqa: S324
        (lambda: base64.b64encode(hashlib.md5(b"other").digest()).decode(), 460, "UPLOAD_CHECKSUM_WRONG"),  # noqa: S324
        (lambda: "not base64!", 400, "PARAM_INVALID"),
        (lambda: "AAAA", 400, "PARAM_INVALID"),
    ],
)
async def test_a_wrong_content_md5_is_refused(
    http: ClientSession, store: LocalObjectStore, digest: Callable[[], str], status: int, error: str
) -> None:
    """An upload whose bytes are not those of its Content-MD5 leaves the object as it was."""
    put = await store.presign_put("raw/checked", content_type=TYPE, size_bytes=len(CONTENT), expires_s=60)
    headers = {**put.headers, "Content-MD5": digest()}
    async with http.put(path_of(put.url), data=CONTENT, headers=headers) as response:
        body = orjson.loads(await response.read() or b"{}")
    assert (response.status, body.get("error", "")) == (status, error)
    assert (await store.head("raw/checked") is not None) == (status == 200)
