"""What each sort of S3 server is asked, to the letter; and a server that takes the bucket from the host name."""

import os
import shutil
import socket
import sysconfig
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from botocore.awsrequest import AWSResponse

from services.kit.config import ConfigError, ProcessConfig
from services.kit.ids import new_id
from services.kit.objects.choice import object_store
from services.kit.objects.dialect import DIALECTS
from services.kit.objects.s3 import S3ObjectStore
from services.kit.objects.store import ObjectNotFound
from services.mesh.process import free_port
from tests.kit.test_objects_store import ACCESS, PASSWORD, read, serving, stream

PART = 5 * 1024 * 1024

# Endpoint, region as set, host and path of a key, region that is signed.
CASES = {
    "minio": ("http://minio:9000", "us-east-1", "minio:9000", "/cadenza/raw/a", "us-east-1"),
    "s3": (
        "https://s3.eu-west-1.amazonaws.com", "us-east-1",
        "cadenza.s3.eu-west-1.amazonaws.com", "/raw/a", "eu-west-1",
    ),
    "r2": (
        "https://account.r2.cloudflarestorage.com", "us-east-1",
        "account.r2.cloudflarestorage.com", "/cadenza/raw/a", "auto",
    ),
    "oss": (
        "https://s3.oss-cn-hangzhou.aliyuncs.com", "us-east-1",
        "cadenza.s3.oss-cn-hangzhou.aliyuncs.com", "/raw/a", "cn-hangzhou",
    ),
    "cos": (
        "https://cos.ap-guangzhou.myqcloud.com", "us-east-1",
        "cadenza.cos.ap-guangzhou.myqcloud.com", "/raw/a", "ap-guangzhou",
    ),
}  # fmt: skip


class Recorded:
    """A store whose requests are answered here and kept."""

    def __init__(self, name: str, *, region: str = "") -> None:
        endpoint, given, self.host, self.path, self.region = CASES[name]
        self.requests: list[Any] = []
        self.store = S3ObjectStore(
            endpoint_url=endpoint,
            access_key=ACCESS,
            secret_key=PASSWORD,
            bucket="cadenza",
            region=region or given,
            dialect=DIALECTS[name],
        )

    async def open(self) -> S3ObjectStore:
        """Return the store, with nobody behind it."""
        client = await self.store._client()
        client.meta.events.register("before-send.s3", self._answer)
        return self.store

    def _answer(self, request: Any, **_more: Any) -> AWSResponse:
        self.requests.append(request)
        body = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
        answer = AWSResponse(request.url, 200, {"ETag": '"5D41402ABC4B2A76B9719D911017C592"'}, None)
        answer._content = body if request.method == "POST" else b""
        return answer


@pytest.fixture(params=sorted(CASES))
async def recorded(request: pytest.FixtureRequest) -> AsyncIterator[Recorded]:
    """Yield each dialect in turn."""
    made = Recorded(request.param)
    await made.open()
    yield made
    await made.store.close()


async def test_every_request_is_addressed_and_signed_for_its_server(recorded: Recorded) -> None:
    """Host, path and region are the server's own, the signature is version 4, and no body is chunked or trailed."""
    store = recorded.store
    await store.put("raw/a", b"sound", content_type="audio/wav")
    parts_id = await store.begin_parts("raw/a", content_type="audio/wav")
    part = await store.put_part("raw/a", parts_id, 1, b"sound")
    assert part.etag == '"5D41402ABC4B2A76B9719D911017C592"'
    assert len(recorded.requests) == 3
    for each in recorded.requests:
        scheme, _, rest = each.url.partition("://")
        host, _, path = rest.partition("/")
        headers = {name.lower(): str(value) for name, value in each.headers.items()}
        authorization = each.headers["Authorization"]
        authorization = authorization.decode() if isinstance(authorization, bytes) else authorization
        assert (host, f"/{path}".partition("?")[0]) == (recorded.host, recorded.path)
        assert authorization.startswith("AWS4-HMAC-SHA256 ")
        assert f"/{recorded.region}/s3/aws4_request" in authorization
        assert "aws-chunked" not in headers.get("content-encoding", "")
        assert not [name for name in headers if name.startswith(("x-amz-checksum", "x-amz-sdk", "x-amz-trailer"))]
        assert scheme in {"http", "https"}


async def test_addresses_for_clients_name_the_same_place(recorded: Recorded) -> None:
    """A signed address has the server's host and region, and its signature covers type and length."""
    put = await recorded.store.presign_put("raw/a", content_type="audio/wav", size_bytes=5, expires_s=60)
    get = await recorded.store.presign_get("raw/a", expires_s=60, filename="a.wav")
    for url in (put.url, get):
        assert url.partition("://")[2].startswith(f"{recorded.host}{recorded.path}?")
        assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in url
        assert f"%2F{recorded.region}%2Fs3%2Faws4_request" in url
    assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in put.url
    assert not recorded.requests


async def test_a_region_that_is_set_wins() -> None:
    """What the operator sets is signed, save for R2, which has one region."""
    for name, expected in {"oss": "oss-cn-beijing", "cos": "oss-cn-beijing", "r2": "auto"}.items():
        made = Recorded(name, region="oss-cn-beijing")
        url = await (await made.open()).presign_get("raw/a", expires_s=60)
        assert f"%2F{expected}%2Fs3%2F" in url
        await made.store.close()


def test_a_bucket_is_made_where_it_is_wanted() -> None:
    """AWS has to be told the region of a bucket outside of its first one, others must not be."""
    assert DIALECTS["s3"].bucket_place("eu-west-1") == {
        "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}
    }
    assert {name: each.bucket_place("us-east-1") for name, each in DIALECTS.items()} == {name: {} for name in DIALECTS}
    assert DIALECTS["oss"].bucket_place("cn-hangzhou") == {}


def test_pages_may_load_from_where_addresses_point() -> None:
    """The origin that the gateway lets its pages use is that of the signed addresses."""
    for name, (endpoint, _, host, _, _) in CASES.items():
        assert DIALECTS[name].origin_of(endpoint, "cadenza").partition("://")[2] == host
    assert DIALECTS["oss"].origin_of("", "cadenza") == ""


def test_internal_endpoints_name_their_region_too() -> None:
    """OSS from within its own network is signed for the same region."""
    inside = "https://s3.oss-cn-shanghai-internal.aliyuncs.com"
    assert DIALECTS["oss"].region_at(inside, "us-east-1") == "cn-shanghai"


def test_the_setting_chooses() -> None:
    """S3_DIALECT reaches the store, and a word that is none is refused at the start."""
    config = ProcessConfig(s3_endpoint_url="https://x.r2.cloudflarestorage.com", s3_dialect="r2")
    store = object_store(config)
    assert isinstance(store, S3ObjectStore)
    assert store._dialect is DIALECTS["r2"]
    with pytest.raises(ConfigError, match="S3_DIALECT"):
        ProcessConfig(s3_dialect="azure")


@pytest.fixture(scope="module")
def virtual_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of an S3 server that finds the bucket in the host name only."""
    program = shutil.which("rclone", path=sysconfig.get_path("scripts"))
    if program is None:
        pytest.skip("rclone is not installed on this platform")
    folder = tmp_path_factory.mktemp("virtual")
    (folder / "cadenza").mkdir()
    port = free_port(None)
    settings = ["--auth-key", f"{ACCESS},{PASSWORD}", "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    command = [program, "serve", "s3", "--force-path-style=false", *settings, str(folder)]
    for _ in serving(command, port):
        yield f"http://objects.test:{port}"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name under objects.test be this machine, as a name server would."""
    real = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **more: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if text and text.endswith("objects.test") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("name", ["oss", "cos", "s3"])
async def test_a_server_with_buckets_in_host_names(virtual_url: str, name: str) -> None:
    """Put, parts, read, signed addresses and deletion work where the bucket is found in the host name only."""
    key, data = f"raw/{new_id()}", os.urandom(PART)
    store = S3ObjectStore(
        endpoint_url=virtual_url, access_key=ACCESS, secret_key=PASSWORD, bucket="cadenza", dialect=DIALECTS[name]
    )
    await store.put(key, stream(b"one", b"two"), content_type="audio/wav")
    assert await read(store, key, start=2, end=4) == b"et"
    url = await store.presign_get(key, expires_s=60)
    put = await store.presign_put(key, content_type="audio/wav", size_bytes=3, expires_s=60)
    async with aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, b"onetwo")
        async with client.put(put.url, data=b"new", headers=put.headers) as answer:
            assert answer.status == 200
    parts_id = await store.begin_parts(key, content_type="audio/wav")
    parts = [await store.put_part(key, parts_id, 1, data), await store.put_part(key, parts_id, 2, b"end")]
    await store.finish_parts(key, parts_id, parts)
    assert await read(store, key) == data + b"end"
    await store.delete(key)
    with pytest.raises(ObjectNotFound):
        await read(store, key)
    await store.close()
