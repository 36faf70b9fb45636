"""The local store's own facts: signatures taken apart, crashes between two writes, many writers."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from services.kit.config import ProcessConfig, load
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.objects.choice import object_store
from services.kit.objects.local import LocalObjectStore
from services.kit.objects.s3 import S3ObjectStore
from services.kit.objects.store import ObjectUrlExpired, ObjectUrlInvalid
from tests.conftest import SettableClock

SECRET = "a secret of the tests"


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> LocalObjectStore:
    """Return a store in a fresh folder."""
    return LocalObjectStore(tmp_path, SECRET, "http://127.0.0.1:8080/", clock=clock)


def query_of(url: str) -> dict[str, str]:
    """Return the query of an address."""
    return dict(parse_qsl(urlsplit(url).query))


def files(directory: Path) -> list[Path]:
    """Return every file below a folder."""
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_a_put_address_grants_what_was_announced(store: LocalObjectStore) -> None:
    """The gateway learns type and size from the address alone."""
    put = await store.presign_put("takes/a", content_type="audio/webm", size_bytes=5, expires_s=60)
    assert put.url.startswith("http://127.0.0.1:8080/_objects/cadenza/takes/a?")
    grant = store.verify("PUT", "cadenza", "takes/a", query_of(put.url))
    assert (grant.content_type, grant.size) == ("audio/webm", 5)


@pytest.mark.parametrize(
    ("method", "bucket", "key", "changes"),
    [
        ("GET", "cadenza", "a", {}),
        ("DELETE", "cadenza", "a", {}),
        ("PUT", "other", "a", {}),
        ("PUT", "cadenza", "b", {}),
        ("PUT", "cadenza", "a", {"exp": "9999999999"}),
        ("PUT", "cadenza", "a", {"len": "6"}),
        ("PUT", "cadenza", "a", {"ct": "text/html"}),
        ("PUT", "cadenza", "a", {"fn": "x.html"}),
        ("PUT", "cadenza", "a", {"sig": ""}),
        ("PUT", "cadenza", "a", {"sig": "A" * 43}),
        ("PUT", "cadenza", "a", {"sig": "\udcff小"}),
    ],
)
async def test_any_change_to_an_address_makes_it_invalid(
    store: LocalObjectStore, method: str, bucket: str, key: str, changes: dict[str, str]
) -> None:
    """Method, bucket, key, expiry, size, type, name and signature are all covered."""
    put = await store.presign_put("a", content_type="audio/webm", size_bytes=5, expires_s=60)
    with pytest.raises(ObjectUrlInvalid):
        store.verify(method, bucket, key, {**query_of(put.url), **changes})


async def test_leaving_a_part_out_makes_it_invalid(store: LocalObjectStore) -> None:
    """No part of the query can be dropped."""
    put = await store.presign_put("a", content_type="audio/webm", size_bytes=5, expires_s=60)
    query = query_of(put.url)
    for name in query:
        with pytest.raises(ObjectUrlInvalid):
            store.verify("PUT", "cadenza", "a", {each: value for each, value in query.items() if each != name})


async def test_expired_is_told_apart_from_forged(store: LocalObjectStore, clock: SettableClock) -> None:
    """A true address whose time is up is expired; a forged one is invalid, expired or not."""
    query = query_of(await store.presign_get("a", expires_s=60))
    clock.advance(59)
    store.verify("HEAD", "cadenza", "a", query)
    clock.advance(2)
    with pytest.raises(ObjectUrlExpired):
        store.verify("GET", "cadenza", "a", query)
    with pytest.raises(ObjectUrlInvalid):
        store.verify("GET", "cadenza", "b", query)


async def test_another_secret_opens_nothing(store: LocalObjectStore, tmp_path: Path) -> None:
    """An address signed with another secret is forged."""
    other = LocalObjectStore(tmp_path, "some other secret", "http://x")
    with pytest.raises(ObjectUrlInvalid):
        store.verify("GET", "cadenza", "a", query_of(await other.presign_get("a", expires_s=60)))


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    """A store without a real secret does not start."""
    with pytest.raises(ValueError, match="OBJECT_URL_SECRET"):
        LocalObjectStore(tmp_path, "short", "http://x")


@pytest.mark.parametrize("expires_s", [0, -1, 604801])
async def test_addresses_have_an_end(store: LocalObjectStore, expires_s: int) -> None:
    """An address lives one second to seven days, as in S3."""
    with pytest.raises(ValueError, match="valid"):
        await store.presign_get("a", expires_s=expires_s)


async def test_nothing_is_left_of_failed_and_replaced_objects(store: LocalObjectStore, tmp_path: Path) -> None:
    """One object is two files, however often it was replaced or its upload broke; deleted it is none."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise ConnectionResetError

    for number in range(3):
        await store.put("a", b"%d" % number, content_type="text/plain")
    with pytest.raises(ConnectionResetError):
        await store.put("a", broken(), content_type="text/plain")
    assert len(files(tmp_path)) == 2
    await store.delete("a")
    assert files(tmp_path) == []


async def test_a_crash_before_the_end_leaves_the_old_object(store: LocalObjectStore, tmp_path: Path) -> None:
    """Bytes and a draft that a killed process left are not the object, and go away with it."""
    await store.put("a", b"old", content_type="text/plain")
    (facts,) = [path for path in files(tmp_path) if path.suffix == ".json"]
    rest = facts.with_name(f"{facts.stem}.{new_id()}")
    rest.write_bytes(b"half of the new")
    rest.with_name(rest.name + ".draft").write_text("{")
    assert [piece async for piece in store.open("a")] == [b"old"]
    await store.delete("a")
    assert files(tmp_path) == []


async def test_writers_and_readers_at_once_see_whole_objects(store: LocalObjectStore) -> None:
    """Whoever reads while others write gets one of the written objects, never a mixture."""
    wholes = [bytes([number]) * 300_000 for number in range(8)]
    await store.put("a", wholes[0], content_type="text/plain")
    seen: list[bytes] = []

    async def reader() -> None:
        for _ in range(10):
            pieces = [piece async for piece in store.open("a")]
            seen.append(b"".join(pieces))

    writers = [store.put("a", whole, content_type="text/plain") for whole in wholes]
    await asyncio.gather(*writers, reader(), reader())
    assert set(seen) <= set(wholes)
    stored = await store.head("a")
    assert stored is not None
    assert stored.size_bytes == 300_000


async def test_key_names_that_are_folders_of_each_other(store: LocalObjectStore) -> None:
    """`a` and `a/b` are two objects."""
    await store.put("a", b"1", content_type="text/plain")
    await store.put("a/b", b"2", content_type="text/plain")
    assert [piece async for piece in store.open("a")] == [b"1"]
    assert [piece async for piece in store.open("a/b")] == [b"2"]


async def test_files_are_closed_to_others(store: LocalObjectStore, tmp_path: Path) -> None:
    """Nobody else on the machine can list the objects, and the facts name the key for people."""
    await store.put("a/b", b"2", content_type="text/plain")
    (facts,) = [path for path in files(tmp_path) if path.suffix == ".json"]
    assert json.loads(facts.read_text())["key"] == "a/b"
    assert facts.parent.stat().st_mode & 0o077 == 0


async def test_a_store_that_cannot_write_is_unavailable(tmp_path: Path) -> None:
    """A folder that cannot be made is an outage, not a crash."""
    (tmp_path / "objects").write_text("in the way")
    store = LocalObjectStore(tmp_path / "objects", SECRET, "http://x")
    with pytest.raises(Unavailable):
        await store.ping()
    with pytest.raises(Unavailable):
        await store.put("a", b"x", content_type="text/plain")


async def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    """An S3 endpoint takes the local store's place, and only then is no secret needed."""
    s3 = object_store(load(ProcessConfig, {"S3_ENDPOINT_URL": "http://127.0.0.1:9000"}))
    assert isinstance(s3, S3ObjectStore)
    settings = {"OBJECT_STORE_DIR": os.fspath(tmp_path), "OBJECT_URL_SECRET": SECRET}
    assert isinstance(object_store(load(ProcessConfig, settings)), LocalObjectStore)
    with pytest.raises(ValueError, match="OBJECT_URL_SECRET"):
        object_store(load(ProcessConfig, {}))
