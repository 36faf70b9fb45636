"""One contract for every object store: files here, `rclone serve s3` and moto.

rclone checks signatures and lets ranges answer 200; moto accepts every signature. What a server
cannot show is skipped with that reason.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from services.kit.errors import ParamInvalid, Unavailable
from services.kit.ids import new_id
from services.kit.objects.local import LocalObjectStore
from services.kit.objects.s3 import S3ObjectStore
from services.kit.objects.store import (
    ObjectIncomplete,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    ObjectUrlExpired,
    ObjectUrlInvalid,
)
from services.mesh.process import free_port
from tests.conftest import SettableClock
from tests.kit.tiny_service import until

SECRET = "a secret of the tests"
ACCESS, PASSWORD = "cadenza", "cadenza-secret"


@dataclass
class Shop:
    """A store under test and what its server can show."""

    name: str
    store: ObjectStore

    def needs(self, *names: str, because: str) -> None:
        """Skip the test for stores whose server cannot show the fact."""
        if self.name not in names:
            pytest.skip(f"{self.name}: {because}")


@pytest.fixture(scope="module")
def rclone_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of rclone's S3 server."""
    program = shutil.which("rclone", path=sysconfig.get_path("scripts"))
    if program is None:
        pytest.skip("rclone is not installed on this platform")
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "cadenza").mkdir()
    port = free_port(None)
    settings = ["--auth-key", f"{ACCESS},{PASSWORD}", "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    yield from serving([program, "serve", "s3", *settings, str(folder)], port)


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """Yield the address of moto's server."""
    port = free_port(None)
    yield from serving([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port)


def serving(command: list[str], port: int) -> Iterator[str]:
    """Yield the address of a server process once it takes connections, and end it afterwards."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                probe.settimeout(0.1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert child.poll() is None
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(10)


@pytest.fixture(params=["local", "rclone", "moto"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> AsyncIterator[Shop]:
    """Yield each store in turn, with a bucket."""
    if request.param == "local":
        async with serve_local(tmp_path, clock) as local:
            yield Shop("local", local)
        return
    url = request.getfixturevalue(f"{request.param}_url")
    store = s3(url)
    await store.prepare()
    yield Shop(request.param, store)
    await store.close()


def s3(url: str, *, secret_key: str = PASSWORD) -> S3ObjectStore:
    """Return a store on an S3 server."""
    return S3ObjectStore(endpoint_url=url, access_key=ACCESS, secret_key=secret_key, bucket="cadenza")


class serve_local:  # noqa: N801  # reads as a verb where it is used
    """The local store behind a small HTTP server that does what the gateway's route does."""

    def __init__(self, directory: Path, clock: SettableClock) -> None:
        self._directory = directory
        self._clock = clock

    async def __aenter__(self) -> LocalObjectStore:
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/_objects/{bucket}/{key:.+}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.store = LocalObjectStore(self._directory, SECRET, f"http://{host}:{port}", clock=self._clock)
        return self.store

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        try:
            grant = self.store.verify(request.method, request.match_info["bucket"], key, request.query)
            if request.method == "GET":
                return web.FileResponse((await self.store.located(key))[0])
            if request.content_type != grant.content_type:
                return web.Response(status=403)
            body = request.content.iter_any()
            await self.store.put(key, body, content_type=grant.content_type, size=grant.size)
        except (ObjectUrlInvalid, ObjectUrlExpired):
            return web.Response(status=403)
        except (ObjectTooLarge, ObjectIncomplete):
            return web.Response(status=400)
        return web.Response()


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks."""
    for chunk in chunks:
        yield chunk


async def read(store: ObjectStore, key: str, *, start: int = 0, end: int | None = None) -> bytes:
    """Return the bytes of a slice of an object."""
    return b"".join([piece async for piece in store.open(key, start=start, end=end)])


async def test_put_head_open_delete(shop: Shop) -> None:
    """What is put is there with its type and size, byte for byte, until it is deleted."""
    key, data = f"takes/{new_id()}.mp3", os.urandom(70_000)
    stored = await shop.store.put(key, data, content_type="audio/mpeg")
    assert (stored.size_bytes, stored.sha256) == (70_000, hashlib.sha256(data).hexdigest())
    found = await shop.store.head(key)
    assert found is not None
    assert (found.key, found.size_bytes, found.content_type, found.etag) == (key, 70_000, "audio/mpeg", stored.etag)
    assert await read(shop.store, key) == data
    await shop.store.delete(key)
    assert await shop.store.head(key) is None
    with pytest.raises(ObjectNotFound):
        await read(shop.store, key)
    await shop.store.delete(key)


async def test_put_again_replaces(shop: Shop) -> None:
    """A second put under the same key leaves only the second object."""
    key = new_id()
    await shop.store.put(key, b"first", content_type="text/plain")
    await shop.store.put(key, b"second one", content_type="audio/wav")
    found = await shop.store.head(key)
    assert found is not None
    assert (found.size_bytes, found.content_type) == (10, "audio/wav")
    assert await read(shop.store, key) == b"second one"


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 4, b"0123"),
        (3, None, b"3456789"),
        (3, 5, b"34"),
        (9, 100, b"9"),
        (10, None, b""),
        (4, 4, b""),
        (0, 10**9, b"0123456789"),
    ],
)
async def test_open_reads_slices(shop: Shop, start: int, end: int | None, expected: bytes) -> None:
    """A range means what a Python slice means, also past the end."""
    key = new_id()
    await shop.store.put(key, b"0123456789", content_type="text/plain")
    assert await read(shop.store, key, start=start, end=end) == expected


async def test_an_empty_object_is_an_object(shop: Shop) -> None:
    """Zero bytes can be stored and read."""
    key = new_id()
    assert (await shop.store.put(key, stream(), content_type="text/plain", size=0)).size_bytes == 0
    assert await read(shop.store, key) == b""


async def test_a_long_stream_goes_through_in_parts(shop: Shop) -> None:
    """Twenty megabytes in uneven chunks arrive whole, which for S3 means three parts."""
    key, chunk = new_id(), os.urandom(1_000_003)
    stored = await shop.store.put(key, stream(*[chunk] * 20), content_type="audio/wav", limit=30_000_000)
    assert stored.size_bytes == 20_000_060
    assert await read(shop.store, key, start=19_000_057) == chunk
    assert stored.sha256 == hashlib.sha256(chunk * 20).hexdigest()


@pytest.mark.parametrize("chunks", [3, 25])
async def test_a_stream_that_grows_too_long_is_stopped_and_leaves_nothing(shop: Shop, chunks: int) -> None:
    """The cap holds while the bytes come in; the source is not read to its end and the old object stays."""
    key = new_id()
    await shop.store.put(key, b"old", content_type="text/plain")
    taken: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        for number in range(1000):
            taken.append(number)
            yield bytes(1_000_000)

    with pytest.raises(ObjectTooLarge):
        await shop.store.put(key, source(), content_type="audio/wav", limit=chunks * 1_000_000 - 1)
    assert len(taken) == chunks
    assert await read(shop.store, key) == b"old"


@pytest.mark.parametrize(("size", "error"), [(5, ObjectTooLarge), (7, ObjectIncomplete)])
async def test_the_announced_size_must_be_met(shop: Shop, size: int, error: type[Exception]) -> None:
    """Six bytes are neither five nor seven, as a stream and as bytes, and nothing is stored."""
    key = new_id()
    for data in (stream(b"abc", b"def"), b"abcdef"):
        with pytest.raises(error):
            await shop.store.put(key, data, content_type="text/plain", size=size)
    assert await shop.store.head(key) is None


async def test_a_source_that_breaks_leaves_nothing(shop: Shop) -> None:
    """The client's hang-up comes out as it is, and neither an object nor a part stays."""

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(20_000_000)
        raise ConnectionResetError

    key = new_id()
    with pytest.raises(ConnectionResetError):
        await shop.store.put(key, broken(), content_type="audio/wav")
    assert await shop.store.head(key) is None
    if isinstance(shop.store, S3ObjectStore):
        uploads = await shop.store._call("list_multipart_uploads", Bucket="cadenza")
        assert uploads.get("Uploads", []) == []


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/.", "a\0b", "a b", "ä", "a\\b", "x" * 513, "a?b", "a%2e"]
)
async def test_bad_keys_are_refused_by_every_method(shop: Shop, key: str) -> None:
    """A key that could mean another place never reaches the store."""
    calls = [
        shop.store.put(key, b"", content_type="text/plain"),
        shop.store.head(key),
        shop.store.delete(key),
        read(shop.store, key),
        shop.store.presign_get(key, expires_s=60),
        shop.store.presign_put(key, content_type="text/plain", size_bytes=1, expires_s=60),
    ]
    for call in calls:
        with pytest.raises(ParamInvalid):
            await call


async def test_an_upload_through_its_address(shop: Shop) -> None:
    """A client that sends what was announced to the address has stored it."""
    key = f"takes/{new_id()}"
    put = await shop.store.presign_put(key, content_type="audio/webm", size_bytes=5, expires_s=60)
    async with aiohttp.ClientSession() as client, client.put(put.url, data=b"hello", headers=put.headers) as answer:
        assert answer.status == 200
    found = await shop.store.head(key)
    assert found is not None
    assert (found.size_bytes, found.content_type) == (5, "audio/webm")


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"hello", "text/html"), (b"hello you", "audio/webm"), (b"hell", "audio/webm")]
)
async def test_an_upload_of_something_else_is_refused(shop: Shop, body: bytes, content_type: str) -> None:
    """The wrong type, more bytes and fewer bytes are refused and leave nothing."""
    shop.needs("local", "rclone", because="it does not check signatures")
    key = new_id()
    put = await shop.store.presign_put(key, content_type="audio/webm", size_bytes=5, expires_s=60)
    headers = {"Content-Type": content_type}
    async with aiohttp.ClientSession() as client, client.put(put.url, data=body, headers=headers) as answer:
        assert answer.status in {400, 403}
    assert await shop.store.head(key) is None


async def test_a_download_through_its_address(shop: Shop) -> None:
    """The address gives the bytes, whole and by range."""
    key = new_id()
    await shop.store.put(key, b"0123456789", content_type="audio/mpeg")
    url = await shop.store.presign_get(key, expires_s=60)
    async with aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, b"0123456789")
        async with client.get(url, headers={"Range": "bytes=2-4"}) as answer:
            assert await answer.read() == b"234"
            # rclone answers a range with its bytes and a plain 200.
            assert answer.status == (200 if shop.name == "rclone" else 206)


async def test_a_file_name_travels_with_the_address(shop: Shop) -> None:
    """A download can be given a name of any alphabet, and the name is signed."""
    key = new_id()
    await shop.store.put(key, b"x", content_type="audio/mpeg")
    url = await shop.store.presign_get(key, expires_s=60, filename='小夜曲 "A".mp3')
    if isinstance(shop.store, LocalObjectStore):
        query = dict(part.split("=", 1) for part in url.partition("?")[2].split("&"))
        assert query["fn"] == "%E5%B0%8F%E5%A4%9C%E6%9B%B2+%22A%22.mp3"
        return
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        assert "filename*=UTF-8''%E5%B0%8F%E5%A4%9C%E6%9B%B2" in answer.headers["Content-Disposition"]


async def test_a_tampered_address_is_refused(shop: Shop) -> None:
    """An address whose key is changed opens nothing."""
    shop.needs("local", "rclone", because="it does not check signatures")
    mine, other = new_id(), new_id()
    for key in (mine, other):
        await shop.store.put(key, b"x", content_type="audio/mpeg")
    url = await shop.store.presign_get(mine, expires_s=60)
    async with aiohttp.ClientSession() as client, client.get(url.replace(mine, other)) as answer:
        assert answer.status == 403


async def test_an_expired_address_is_refused(shop: Shop, clock: SettableClock) -> None:
    """An address works until its time and not after."""
    shop.needs("local", "rclone", because="it does not check signatures")
    key = new_id()
    await shop.store.put(key, b"x", content_type="audio/mpeg")
    url = await shop.store.presign_get(key, expires_s=1)
    clock.advance(1)
    async with aiohttp.ClientSession() as client:

        async def refused() -> bool:
            async with client.get(url) as answer:
                # AWS says 403 where rclone says 400.
                return answer.status in {400, 403}

        await until(refused)


async def test_ping_and_prepare(shop: Shop) -> None:
    """A store that is there answers, preparing twice does nothing, and it holds nothing yet."""
    await shop.store.prepare()
    await shop.store.ping()
    assert await shop.store.head("raw/never-stored") is None


async def test_an_s3_that_is_away_is_unavailable() -> None:
    """With nobody listening every call ends with Unavailable, naming the objects."""
    store = s3("http://127.0.0.1:1")
    with pytest.raises(Unavailable) as away:
        await store.ping()
    assert away.value.metadata == {"dependency": "objects"}
    with pytest.raises(Unavailable):
        await store.put("a", b"x", content_type="text/plain")
    await store.close()


async def test_wrong_keys_are_unavailable_and_not_missing(rclone_url: str) -> None:
    """A store that refuses our keys does not look like one without the object."""
    store = s3(rclone_url, secret_key="wrong")
    with pytest.raises(Unavailable):
        await store.head("a")
    await store.close()
