"""Files that are no songs: each is refused by its number, costs nothing and leaves no bytes behind."""

import asyncio
import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.kit.clock import now
from services.kit.objects.local import LocalObjectStore
from services.mesh.up import RunningMesh
from tests.e2e import sounds
from tests.e2e.conftest import Arrive
from tests.e2e.people import Person, until

MEBIBYTE = 1024 * 1024


def stored(mesh: RunningMesh) -> set[str]:
    """Return the names of all objects in the store of the mesh."""
    return {str(Path(folder, name)) for folder, _, names in os.walk(mesh.home.objects) for name in names}


def large(size: int) -> bytes:
    """Return a WAV file of so many bytes."""
    head = sounds.silence(0.1)[:44]
    return head + bytes(size - len(head))


@pytest.mark.parametrize(
    ("data", "filename", "headers", "refusal"),
    [
        pytest.param(lambda: b"", "empty.wav", {}, (415, 30002, "UPLOAD_FORMAT_INVALID"), id="0-byte"),
        pytest.param(sounds.text, "song.mp3", {}, (415, 30002, "UPLOAD_FORMAT_INVALID"), id="text-named-mp3"),
        pytest.param(lambda: b"\x89PNG\r\n\x1a\n" * 9, "a.wav", {}, (415, 30002, "UPLOAD_FORMAT_INVALID"), id="png"),
        pytest.param(lambda: large(51 * MEBIBYTE), "a.wav", {}, (413, 30001, "UPLOAD_TOO_LARGE"), id="51-mb"),
        pytest.param(
            lambda: large(11 * MEBIBYTE), "a.wav", {"X-Platform": "wxmp"}, (413, 30001, "UPLOAD_TOO_LARGE"),
            id="11-mb-mini-program",
        ),
    ],
)  # fmt: skip
async def test_a_file_that_is_none_is_refused_at_once(
    mesh: RunningMesh,
    arrive: Arrive,
    data: Callable[[], bytes],
    filename: str,
    headers: dict[str, str],
    refusal: tuple[int, int, str],
) -> None:
    """Empty, mislabelled and oversized files get status, number and field, and neither a row nor an object is left."""
    person = await arrive()
    before, objects = await person.belongings(), stored(mesh)
    answer = await person.send(data(), filename, "audio/mpeg", **headers)

    assert answer.refusal == refusal
    assert answer.fields == {"file"}
    assert await person.belongings() == before
    await until(_look(stored, mesh), lambda found: found <= objects)


@pytest.mark.parametrize(
    ("data", "filename", "reason", "code"),
    [
        pytest.param(sounds.moving_pictures, "clip.mp4", "UPLOAD_FORMAT_INVALID", 30002, id="video"),
        pytest.param(sounds.cut_short, "cut.m4a", "UPLOAD_FORMAT_INVALID", 30002, id="truncated"),
        pytest.param(sounds.ten_minutes, "long.wav", "UPLOAD_DURATION_INVALID", 30003, id="10-minute"),
    ],
)
async def test_a_file_that_cannot_be_used_fails_its_asset(
    mesh: RunningMesh, arrive: Arrive, data: Callable[[], bytes], filename: str, reason: str, code: int
) -> None:
    """Pictures, a lost end and far too much sound: the asset fails with its number, nobody pays, the bytes go."""
    person = await arrive()
    objects = stored(mesh)
    answer = await person.send(data(), filename)
    assert answer.status == 201, answer.body
    asset = await person.settled_asset(answer.body["data"]["asset"]["asset_id"])
    refused = await person.ask("POST", "/api/v1/tracks", json={"asset_id": asset["asset_id"]})

    assert asset["state"] == "failed"
    assert (asset["error"]["reason"], asset["error"]["code"]) == (reason, code)
    assert asset["error"]["metadata"]["field"] == "file"
    assert asset["error"]["message"]
    assert refused.refusal == (409, 30006, "ASSET_NOT_READY")
    assert ((await person.belongings())["tracks"], await person.credits()) == ([], (100, 0))
    await until(_look(stored, mesh), lambda found: found <= objects)


@pytest.mark.parametrize(
    ("data", "reason", "code"),
    [
        pytest.param(sounds.silence, "TAKE_SILENT", 30011, id="silent"),
        pytest.param(sounds.noise, "TAKE_NOISE", 30012, id="white-noise"),
        pytest.param(sounds.speech, "TAKE_SPEECH", 30013, id="speech-only"),
    ],
)
async def test_a_take_without_a_tune_costs_nothing(
    arrive: Arrive, data: Callable[[], bytes], reason: str, code: int
) -> None:
    """Silence, noise and speech end the job with their number; the twenty credits come back and no song is there."""
    person = await arrive()
    asset = await person.settled_asset((await person.send(data(), "take.wav")).body["data"]["asset"]["asset_id"])
    assert asset["state"] == "ready", asset
    created = await person.order(asset["asset_id"])
    job = await person.finished(created["job_id"])
    await until(person.credits, lambda found: found == (100, 0))
    left = await person.belongings()

    assert (job["state"], job["error"]["reason"], job["error"]["code"]) == ("failed", reason, code)
    assert job["error"]["message"]
    assert [(each["state"], each["variants"]) for each in left["tracks"]] == [("failed", [])]
    assert [each["kind"] for each in left["entries"]] == ["release", "hold", "signup_grant"]
    assert [each["asset_id"] for each in left["assets"]] == [asset["asset_id"]]


@pytest.fixture
async def signed(arrive: Arrive, take: bytes) -> tuple[Person, dict[str, Any], bytes]:
    """A person with an address for one upload of the take."""
    person = await arrive()
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    return person, await person.call("POST", "/api/v1/assets/audio/presign", wish), take


async def test_a_signed_address_takes_what_was_announced_only(
    mesh: RunningMesh, signed: tuple[Person, dict[str, Any], bytes]
) -> None:
    """Wrong type, wrong size, a changed query, another key, another method and a late hour are refused by number."""
    person, answer, take = signed
    url, objects = answer["upload_url"], stored(mesh)
    # The length that is sent shall be that of the body, whatever it is.
    headers = {name: value for name, value in answer["headers"].items() if name.lower() != "content-length"}
    past = LocalObjectStore(
        mesh.home.objects,
        mesh.environment["OBJECT_URL_SECRET"],
        mesh.base_url,
        clock=lambda: now() - timedelta(days=1),
    )
    key = url.split("/_objects/cadenza/")[1].split("?")[0]
    late = (await past.presign_put(key, content_type="audio/wav", size_bytes=len(take), expires_s=60)).url
    person.token = ""
    tries = {
        "type": await person.ask("PUT", url, data=io.BytesIO(take), headers={**headers, "Content-Type": "audio/mpeg"}),
        "short": await person.ask("PUT", url, data=io.BytesIO(take[:-1]), headers=headers),
        "long": await person.ask("PUT", url, data=io.BytesIO(take + b"x"), headers=headers),
        "streamed": await person.ask("PUT", url, data=_in_pieces(take + b"x"), headers=headers),
        "length": await person.ask(
            "PUT", url.replace(f"len={len(take)}", "len=9"), data=io.BytesIO(take[:9]), headers=headers
        ),
        "key": await person.ask("PUT", url.replace(key, f"{key}x"), data=io.BytesIO(take), headers=headers),
        "method": await person.ask("GET", url),
        "late": await person.ask("PUT", late, data=io.BytesIO(take), headers=headers),
    }
    refusals = {name: each.refusal for name, each in tries.items()}

    assert refusals.pop("type") == (415, 30002, "UPLOAD_FORMAT_INVALID")
    assert refusals.pop("late") == (403, 30005, "UPLOAD_URL_EXPIRED")
    for name in ("short", "long"):
        assert refusals.pop(name) == (422, 30004, "UPLOAD_INCOMPLETE"), name
    # As S3 does: a signature over a length needs one.
    assert refusals.pop("streamed") == (411, 10001, "PARAM_INVALID")
    assert set(refusals.values()) == {(403, 20004, "PERMISSION_DENIED")}
    assert tries["type"].fields == {"Content-Type"}
    assert tries["short"].fields == {"Content-Length"}
    assert stored(mesh) == objects


async def test_an_upload_that_never_came_cannot_be_completed(signed: tuple[Person, dict[str, Any], bytes]) -> None:
    """Completing before the PUT is refused with the field, and the asset goes on waiting for its file."""
    person, answer, take = signed
    path = f"/api/v1/assets/{answer['asset_id']}/complete"
    early = await person.ask("POST", path, json={})
    put = await person.ask("PUT", answer["upload_url"], data=io.BytesIO(take), headers=answer["headers"])
    await person.call("POST", path, {})

    assert early.refusal == (422, 30004, "UPLOAD_INCOMPLETE")
    assert early.fields == {"asset_id"}
    assert put.status == 200
    assert (await person.settled_asset(answer["asset_id"]))["state"] == "ready"


@pytest.mark.parametrize(
    ("wish", "refusal", "field"),
    [
        ({"size_bytes": 101 * MEBIBYTE}, (413, 30001, "UPLOAD_TOO_LARGE"), "size_bytes"),
        ({"content_type": "text/html"}, (400, 10001, "PARAM_INVALID"), "content_type"),
        ({"filename": ""}, (400, 10001, "PARAM_INVALID"), "filename"),
        ({"size_bytes": 0}, (415, 30002, "UPLOAD_FORMAT_INVALID"), "size_bytes"),
        ({"size_bytes": -1}, (400, 10001, "PARAM_INVALID"), "size_bytes"),
    ],
)
async def test_no_address_is_signed_for_what_is_never_taken(
    arrive: Arrive, wish: dict[str, Any], refusal: tuple[int, int, str], field: str
) -> None:
    """An announcement out of limits is refused with its field and makes no asset."""
    person = await arrive()
    whole = {"filename": "a.wav", "content_type": "audio/wav", "size_bytes": 1000, **wish}
    answer = await person.ask("POST", "/api/v1/assets/audio/presign", json=whole)

    assert answer.refusal == refusal
    assert answer.fields == {field}
    assert (await person.belongings())["assets"] == []


async def test_the_same_upload_twice_is_one_asset(arrive: Arrive, take: bytes) -> None:
    """An Idempotency-Key repeats the first asset for the same file and refuses another file."""
    person = await arrive()
    first = await person.send(take, "hum.wav", **{"Idempotency-Key": "upload-1"})
    again = await person.send(take, "hum.wav", **{"Idempotency-Key": "upload-1"})
    other = await person.send(sounds.noise(2.0), "hum.wav", **{"Idempotency-Key": "upload-1"})
    await person.settled_asset(first.body["data"]["asset"]["asset_id"])  # others count the objects

    assert (first.status, again.status) == (201, 201)
    assert again.body["data"]["asset"]["asset_id"] == first.body["data"]["asset"]["asset_id"]
    assert other.refusal == (422, 10006, "IDEMPOTENCY_KEY_REUSED")
    assert len((await person.belongings())["assets"]) == 1


async def _in_pieces(data: bytes) -> Any:
    """Yield the bytes without saying how many they are."""
    for start in range(0, len(data), 65_536):
        yield data[start : start + 65_536]


def _look(see: Callable[[RunningMesh], set[str]], mesh: RunningMesh) -> Any:
    async def look() -> set[str]:
        return await asyncio.to_thread(see, mesh)

    return look
