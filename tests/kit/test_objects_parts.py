"""Objects that come in parts, by one contract: files here, `rclone serve s3` and moto."""

import asyncio
import os
from contextlib import suppress

import pytest

from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.objects.local import LocalObjectStore
from services.kit.objects.s3 import S3ObjectStore
from services.kit.objects.store import ObjectNotFound, ObjectStore, Part
from tests.kit.test_objects_store import Shop, moto_url, rclone_url, read, shop

__all__ = ["moto_url", "rclone_url", "shop"]

PART = 5 * 1024 * 1024


async def unfinished(store: ObjectStore) -> int:
    """Return how many objects of the whole store are in parts."""
    if isinstance(store, S3ObjectStore):
        return len((await store._call("list_multipart_uploads", Bucket=store.bucket)).get("Uploads", []))
    assert isinstance(store, LocalObjectStore)
    return len([path for path in store._root.rglob("*") if path.suffix in {".part", ".parts"}])


async def test_parts_become_an_object(shop: Shop) -> None:
    """Parts in their order are the object; one that is stored again replaces what was in its place."""
    key, first, second, third = new_id(), os.urandom(PART), os.urandom(PART), os.urandom(1000)
    parts_id = await shop.store.begin_parts(key, content_type="audio/wav")
    parts = [await shop.store.put_part(key, parts_id, 1, first)]
    # Of an attempt that nobody lived to write down.
    await shop.store.put_part(key, parts_id, 2, second)
    parts.append(await shop.store.put_part(key, parts_id, 2, second))
    parts.append(await shop.store.put_part(key, parts_id, 3, bytearray(third)))
    assert await shop.store.head(key) is None
    await shop.store.finish_parts(key, parts_id, parts)

    found = await shop.store.head(key)
    assert found is not None
    assert (found.size_bytes, found.content_type) == (2 * PART + 1000, "audio/wav")
    assert await read(shop.store, key) == first + second + third
    assert await unfinished(shop.store) == 0


async def test_finishing_again_changes_nothing(shop: Shop) -> None:
    """After an object was made of parts it stays as it is, whoever comes late."""
    key = new_id()
    parts_id = await shop.store.begin_parts(key, content_type="audio/wav")
    parts = [await shop.store.put_part(key, parts_id, 1, b"sound")]
    await shop.store.finish_parts(key, parts_id, parts)
    with suppress(ObjectNotFound):
        await shop.store.finish_parts(key, parts_id, parts)
    assert await read(shop.store, key) == b"sound"
    assert await unfinished(shop.store) == 0


async def test_a_part_with_other_bytes_than_were_noted_makes_no_object(shop: Shop) -> None:
    """Bytes that a writer who was believed dead put in a part's place never become part of the object."""
    key = new_id()
    parts_id = await shop.store.begin_parts(key, content_type="audio/wav")
    parts = [await shop.store.put_part(key, parts_id, 1, b"sound")]
    with suppress(ObjectNotFound):
        await shop.store.put_part(key, parts_id, 1, b"noise")
        await shop.store.finish_parts(key, parts_id, parts)
    if await shop.store.head(key):
        assert await read(shop.store, key) == b"sound"
    await shop.store.abort_parts(key)


async def test_giving_up_removes_every_part(shop: Shop) -> None:
    """Giving up takes all unfinished objects of the key, also those whose id is lost, and leaves others alone."""
    key, other = new_id(), new_id()
    kept = await shop.store.begin_parts(other, content_type="audio/wav")
    for _ in range(2):
        parts_id = await shop.store.begin_parts(key, content_type="audio/wav")
        await shop.store.put_part(key, parts_id, 1, b"sound")
    await shop.store.abort_parts(key)
    await shop.store.abort_parts(key)
    # moto answers 500 to a part of what was given up.
    with pytest.raises(Unavailable if shop.name == "moto" else ObjectNotFound):
        await shop.store.put_part(key, parts_id, 2, b"late")
    await shop.store.finish_parts(other, kept, [await shop.store.put_part(other, kept, 1, b"other")])
    assert await read(shop.store, other) == b"other"
    assert (await shop.store.head(key), await unfinished(shop.store)) == (None, 0)


async def test_a_late_writer_leaves_nothing(shop: Shop) -> None:
    """Parts that are written while the object is given up do not stay, however the two meet."""
    key = new_id()
    parts_id = await shop.store.begin_parts(key, content_type="audio/wav")
    writing = [shop.store.put_part(key, parts_id, number, bytes(1000)) for number in range(1, 9)]
    results = await asyncio.gather(*writing[:4], shop.store.abort_parts(key), *writing[4:], return_exceptions=True)
    assert all(each is None or isinstance(each, Part | ObjectNotFound | Unavailable) for each in results)
    assert await unfinished(shop.store) == 0
