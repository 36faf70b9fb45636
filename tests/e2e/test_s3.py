"""The same mesh on an S3 server: uploads, songs and addresses go there, and it may die while a song is made."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest

from services.kit.objects.s3 import S3ObjectStore
from services.mesh.process import free_port
from services.mesh.up import RunningMesh, running_mesh
from tests.e2e import sounds
from tests.e2e.conftest import home_at
from tests.e2e.people import Person, until
from tests.e2e.split import KEYS, has_rclone, objects_at
from tests.e2e.tus import Tus

pytestmark = pytest.mark.timeout(500)


class Buckets:
    """The S3 server: one folder and one port through all its lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._running = contextlib.ExitStack()

    def start(self) -> None:
        """Take connections soon."""
        self._running.enter_context(objects_at(self.folder, self.port))

    def kill(self) -> None:
        """SIGKILL it; the folder stays."""
        self._running.close()

    def keys(self) -> list[str]:
        """Return the keys of all objects."""
        return [str(each.relative_to(self.folder)) for each in self.folder.rglob("*") if each.is_file()]


@pytest.fixture(scope="module")
def buckets(homes: Callable[[str], Path]) -> Iterator[Buckets]:
    """The S3 server, running."""
    if has_rclone() is None:
        pytest.skip("rclone is not installed on this platform")
    server = Buckets(homes("buckets"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
async def on_s3(homes: Callable[[str], Path], buckets: Buckets) -> AsyncIterator[RunningMesh]:
    """A mesh whose objects are on that server."""
    url = f"http://127.0.0.1:{buckets.port}"
    settings = {"S3_ENDPOINT_URL": url, "S3_ACCESS_KEY": KEYS[0], "S3_SECRET_KEY": KEYS[1], "S3_BUCKET": "cadenza"}
    async with running_mesh(home_at(homes("s3"), **settings)) as running:
        yield running


@pytest.fixture
async def person(on_s3: RunningMesh) -> AsyncIterator[Person]:
    """Somebody new there."""
    async with Person(on_s3.base_url) as newcomer:
        yield await newcomer.arrive()


async def test_a_song_through_s3_and_a_dead_server(
    on_s3: RunningMesh, buckets: Buckets, person: Person, hum: Path
) -> None:
    """Upload, song and addresses live on S3; the server is killed before the take is read, and the song still comes."""
    asset = await person.ready_asset(hum)
    buckets.kill()
    created = await person.order(asset["asset_id"])

    async def states() -> list[str]:
        log = await person.call("GET", f"/api/v1/jobs/{created['job_id']}/log?page_size=100")
        return [each["state"] for each in log["events"]]

    await until(states, lambda found: found.count("queued") == 2)
    unwell = await person.ask("GET", "/health")
    buckets.start()
    job = await person.finished(created["job_id"])
    track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
    await until(person.credits, lambda found: found == (80, 0))
    url = track["variants"][0]["audio_url"]
    async with Person(on_s3.base_url) as bearer_of_the_address:
        whole = await bearer_of_the_address.ask("GET", url)
        shared = await person.call("POST", f"/api/v1/tracks/{created['track_id']}/share", {})
        sound = f"{shared['link_url']}/audio"
        heard = await bearer_of_the_address.ask("GET", sound)
        slice_of_it = await bearer_of_the_address.ask("GET", sound, headers={"Range": "bytes=10-29"})
        head = await bearer_of_the_address.ask("HEAD", sound)
        part = await bearer_of_the_address.ask("GET", url, headers={"Range": "bytes=100-199"})
        forged = await bearer_of_the_address.ask("GET", url.replace("X-Amz-Expires=3600", "X-Amz-Expires=3601"))

    assert job["state"] == "completed", job
    assert unwell.status == 503
    assert urlsplit(url).netloc == f"127.0.0.1:{buckets.port}"
    assert (whole.status, whole.headers["Content-Type"], whole.raw[:3]) == (200, "audio/mpeg", b"ID3")
    assert part.raw == whole.raw[100:200]
    # A shared song is heard through us, or it would go on after its share was called back.
    assert (heard.status, heard.headers["Content-Type"]) == (200, "audio/mpeg")
    # The share plays the recommended variant, which need not be the first.
    assert heard.raw[:3] == b"ID3"
    assert (slice_of_it.status, slice_of_it.raw) == (206, heard.raw[10:30])
    assert (head.status, head.headers["Content-Length"], head.raw) == (200, str(len(heard.raw)), b"")
    assert forged.status == 403
    assert not await asyncio.to_thread(on_s3.home.objects.joinpath("cadenza").exists)
    assert len(await asyncio.to_thread(buckets.keys)) >= 4


async def test_a_presigned_upload_goes_past_us(buckets: Buckets, person: Person, take: bytes) -> None:
    """The signed address is one of the S3 server: the file goes there, a wrong type does not, and it becomes ready."""
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    signed = await person.call("POST", "/api/v1/assets/audio/presign", wish)
    url, mine = signed["upload_url"], signed["headers"]
    async with Person(person.base_url) as bearer_of_the_address:
        wrong = {**mine, "Content-Type": "text/html"}
        refused = await bearer_of_the_address.ask("PUT", url, data=io.BytesIO(take), headers=wrong)
        put = await bearer_of_the_address.ask("PUT", url, data=io.BytesIO(take), headers=mine)
    await person.call("POST", f"/api/v1/assets/{signed['asset_id']}/complete", {})

    assert urlsplit(url).netloc == f"127.0.0.1:{buckets.port}"
    assert (refused.status, put.status) == (403, 200)
    assert (await person.settled_asset(signed["asset_id"]))["state"] == "ready"


async def test_a_file_in_pieces_and_a_dead_server(buckets: Buckets, person: Person) -> None:
    """A server that dies amid a large upload costs no byte that had come, and leaves the file and no parts."""
    take = sounds.wav(np.random.default_rng(3).normal(0, 0.1, 6_400_000).astype(np.float32), 44_100)
    async with aiohttp.ClientSession() as session:
        client = Tus(session, person.base_url, person.token)
        _, made = await client.create(len(take))
        url = made["Location"]
        assert (await client.patch(url, take[:6_000_000], 0))[0] == 204
        buckets.kill()
        away, _ = await client.patch(url, take[6_000_000:], 6_000_000)
        kept = await client.offset(url)
        buckets.start()

        async def rest() -> int:
            offset = await client.offset(url)
            if offset < len(take):
                await client.patch(url, take[offset:], offset)
            return await client.offset(url)

        await until(rest, lambda found: found == len(take))
        _, other = await client.create(len(take), data=take[:6_000_000])
        assert (await client.request("DELETE", other["Location"]))[0] == 204
    asset = await person.settled_asset(url.rpartition("/")[2])
    files = [each for each in buckets.folder.rglob("*") if each.is_file() and each.stat().st_size == len(take)]

    assert len(take) > 12_000_000
    assert away == 503
    assert kept >= 6_000_000
    assert asset["state"] == "ready"
    assert [await asyncio.to_thread(each.read_bytes) for each in files] == [take]
    endpoint = f"http://127.0.0.1:{buckets.port}"
    store = S3ObjectStore(endpoint_url=endpoint, access_key=KEYS[0], secret_key=KEYS[1], bucket="cadenza")

    async def unfinished() -> int:
        return len((await store._call("list_multipart_uploads", Bucket="cadenza")).get("Uploads", []))

    await until(unfinished, lambda found: found == 0)
    await store.close()


async def test_a_refused_file_leaves_nothing_there(buckets: Buckets, person: Person) -> None:
    """A text under the name of a sound leaves no object in the bucket."""
    before = await asyncio.to_thread(buckets.keys)
    answer = await person.send(sounds.text(), "a.mp3", "audio/mpeg")

    async def keys() -> list[str]:
        return await asyncio.to_thread(buckets.keys)

    assert answer.refusal == (415, 30002, "UPLOAD_FORMAT_INVALID")
    await until(keys, lambda found: set(found) <= set(before))
