"""Uploads that can be resumed, over HTTP: tus 1.0, and the same for clients that do not speak it."""

import asyncio
import base64
from collections.abc import AsyncIterator

import aiohttp
import pytest

from services.mesh.up import RunningMesh
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, until
from tests.e2e.test_refusals_files import stored
from tests.e2e.tus import BYTES, Tus, sha256

PATH = "/api/v1/uploads"


@pytest.fixture(params=["web", "wxmp"])
async def tus(request: pytest.FixtureRequest, arrive: Arrive) -> AsyncIterator[tuple[Tus, Person]]:
    """Somebody who uploads with a tus client, from a browser and from a mini-program."""
    person = await arrive()
    async with aiohttp.ClientSession() as session:
        yield Tus(session, person.base_url, person.token, platform=request.param), person


def asset_of(url: str) -> str:
    """Return the id in an upload's address."""
    return url.rpartition("/")[2]


async def test_what_is_spoken(mesh: RunningMesh) -> None:
    """OPTIONS tells version, extensions, algorithms and the largest size, to anybody."""
    async with aiohttp.ClientSession() as session, session.options(mesh.base_url + PATH) as answer:
        headers = answer.headers
        assert answer.status == 204
    assert headers["Tus-Version"] == headers["Tus-Resumable"] == "1.0.0"
    assert set(headers["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "checksum", "expiration",
    }  # fmt: skip
    assert headers["Tus-Max-Size"] == str(100 * 1024 * 1024)
    assert "sha1" in headers["Tus-Checksum-Algorithm"].split(",")


async def test_a_cut_upload_goes_on(tus: tuple[Tus, Person], take: bytes) -> None:
    """An upload that breaks off twice goes on where HEAD says, and its asset is ready with the file's name."""
    client, person = tus
    status, made = await client.create(len(take), name="晨歌.wav")
    assert (status, made["Tus-Resumable"]) == (201, "1.0.0")
    assert made["Upload-Expires"].endswith("GMT")
    url = made["Location"]
    await client.cut_patch(url, take, 0, after=200_000)

    async def kept() -> int:
        return await client.offset(url)

    await until(kept, lambda found: found > 0, patience_s=20)
    offset = await kept()
    assert 0 < offset <= 200_000
    # The first request may still be at its end; a client that meets it comes again.
    await client.cut_patch(url, take[offset:], offset, after=100_000)
    while True:
        offset = await client.offset(url)
        status, answered = await client.patch(url, take[offset:], offset)
        if status not in {409, 423}:
            break
        await asyncio.sleep(0.1)
    assert (status, answered["Upload-Offset"]) == (204, str(len(take)))
    asset = await person.settled_asset(asset_of(url))
    assert (asset["state"], asset["filename"]) == ("ready", "晨歌.wav")
    assert await client.offset(url) == len(take)


async def test_refusals_by_number(mesh: RunningMesh, tus: tuple[Tus, Person], take: bytes) -> None:
    """Offset 409, too much 413, checksum 460, type 415, version 412: each has its number, and nothing of it counts."""
    client, _ = tus
    status, made = await client.create(len(take))
    url = made["Location"]
    wrong = await client.patch(url, take, 7)
    too_much = await client.patch(url, take + b"x", 0)
    damaged = await client.patch(url, take[:1000], 0, Upload_Checksum=sha256(b"another"))
    unknown = await client.patch(url, take[:1000], 0, Upload_Checksum="crc64 AAAA")
    nowhere, *_ = await client.request("PATCH", url, data=take, Content_Type=BYTES)
    typed, *_ = await client.request("PATCH", url, data=take, Content_Type="audio/wav", Upload_Offset="0")
    version, answered, _ = await client.request("HEAD", url, Tus_Resumable="0.2.2")

    assert (status, wrong[0], too_much[0], damaged[0], unknown[0]) == (201, 409, 413, 460, 400)
    assert (nowhere, typed, version, answered["Tus-Version"]) == (400, 415, 412, "1.0.0")
    assert wrong[1]["Tus-Resumable"] == "1.0.0"
    assert await client.offset(url) == 0
    assert (await client.patch(url, take[:1000], 0, Upload_Checksum=sha256(take[:1000])))[0] == 204
    assert await client.offset(url) == 1000


async def test_beginning_with_the_announcement(tus: tuple[Tus, Person], take: bytes) -> None:
    """A file may come with its announcement, whole or in part."""
    client, person = tus
    status, made = await client.create(len(take), data=take[:5000])
    assert (status, made["Upload-Offset"]) == (201, "5000")
    assert (await client.patch(made["Location"], take[5000:], 5000))[0] == 204
    whole_status, whole = await client.create(len(take), data=take)
    assert (whole_status, whole["Upload-Offset"]) == (201, str(len(take)))
    assert (await person.settled_asset(asset_of(whole["Location"])))["state"] == "ready"
    assert (await person.settled_asset(asset_of(made["Location"])))["state"] == "ready"


async def test_termination(mesh: RunningMesh, tus: tuple[Tus, Person], take: bytes) -> None:
    """An upload that is given up is gone with its bytes, twice alike; a POST may stand for DELETE."""
    client, _ = tus
    before = stored(mesh)
    for method, more in (("DELETE", {}), ("POST", {"X_HTTP_Method_Override": "DELETE"})):
        _, made = await client.create(len(take), data=take[:1000])
        url = made["Location"]
        assert (await client.request(method, url, **more))[0] == 204
        assert (await client.request(method, url, **more))[0] == 204
        assert (await client.request("HEAD", url))[0] == 404
        assert (await client.patch(url, take[1000:], 1000))[0] == 404
    assert stored(mesh) <= before


async def test_limits_of_platforms(tus: tuple[Tus, Person]) -> None:
    """A mini-program keeps its ten megabytes, others the setting; what is no number is no size."""
    client, _ = tus
    mebibyte = 1024 * 1024
    statuses = {size: (await client.create(size))[0] for size in (0, 11 * mebibyte, 101 * mebibyte)}
    assert statuses == {0: 415, 11 * mebibyte: 413 if client.platform == "wxmp" else 201, 101 * mebibyte: 413}
    for given in ("", "-1", "many"):
        assert (await client.request("POST", PATH, Upload_Length=given))[0] == 400
    deferred, *_ = await client.request("POST", PATH, Upload_Defer_Length="1")
    odd, *_ = await client.request("POST", PATH, Upload_Length="10", Upload_Metadata="filename %%%")
    assert (deferred, odd) == (400, 400)


async def test_without_tus(arrive: Arrive, take: bytes) -> None:
    """Announced in JSON, a file comes as bytes or as forms of a mini-program, and the answers are JSON."""
    person = await arrive()
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    upload = (await person.call("POST", PATH, wish))["upload"]
    path = f"{PATH}/{upload['asset_id']}"
    first = await person.ask("PATCH", path, data=take[:4000], headers={"Content-Type": BYTES, "Upload-Offset": "0"})
    form = await person.send(take[4000:9000], "piece", path=f"{path}?offset_bytes=4000", **{"X-Platform": "wxmp"})
    looked = (await person.call("GET", path))["upload"]
    wrong = await person.ask("PATCH", path, data=b"x", headers={"Content-Type": BYTES, "Upload-Offset": "3"})
    rest = await person.ask("POST", path, data=take[9000:], headers={"Content-Type": BYTES, "Upload-Offset": "9000"})

    assert first.body["data"]["upload"]["offset_bytes"] == 4000, first.body
    assert form.body["data"]["upload"]["offset_bytes"] == looked["offset_bytes"] == 9000
    assert wrong.refusal == (409, 30008, "UPLOAD_OFFSET_WRONG")
    assert wrong.body["details"]["metadata"]["offset_bytes"] == "9000"
    assert rest.body["data"]["upload"]["asset"]["state"] == "uploaded"
    assert (await person.settled_asset(upload["asset_id"]))["state"] == "ready"


async def test_somebody_elses(arrive: Arrive, take: bytes) -> None:
    """Nobody else sees an upload; without a token nobody sees anything."""
    owner, thief = await arrive(), await arrive()
    async with aiohttp.ClientSession() as session:
        mine = Tus(session, owner.base_url, owner.token)
        theirs = Tus(session, owner.base_url, thief.token)
        _, made = await mine.create(len(take))
        url = made["Location"]
        assert (await theirs.request("HEAD", url))[0] == 404
        assert (await theirs.patch(url, take, 0))[0] == 404
        assert (await theirs.request("DELETE", url))[0] == 404
        theirs.extra = {"Authorization": ""}
        assert (await theirs.patch(url, take, 0))[0] == 401
        assert await mine.offset(url) == 0


async def test_a_repeated_announcement_is_one_upload(arrive: Arrive) -> None:
    """An Idempotency-Key brings the first upload's address again."""
    person = await arrive()
    async with aiohttp.ClientSession() as session:
        client = Tus(session, person.base_url, person.token)
        first = (await client.create(1000, Idempotency_Key="take-1"))[1]["Location"]
        again = (await client.create(1000, Idempotency_Key="take-1"))[1]["Location"]
        other = (await client.create(1001, Idempotency_Key="take-1"))[0]
    assert (first, other) == (again, 422)


async def test_metadata_comes_back(arrive: Arrive) -> None:
    """HEAD repeats the name and the type that were announced."""
    person = await arrive()
    async with aiohttp.ClientSession() as session:
        client = Tus(session, person.base_url, person.token)
        url = (await client.create(1000, name="a b.wav"))[1]["Location"]
        _, headers, _ = await client.request("HEAD", url)
    pairs = dict(each.split(" ") for each in headers["Upload-Metadata"].split(","))
    assert base64.b64decode(pairs["filename"]).decode() == "a b.wav"
    assert (headers["Cache-Control"], headers["Upload-Length"]) == ("no-store", "1000")
