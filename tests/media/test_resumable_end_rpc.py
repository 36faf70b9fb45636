"""How uploads that come piece by piece end: given up, abandoned, and with an object store that was away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import grpc
import pytest
from sqlalchemy import select

from cadenza.media.v1 import asset_service_pb2 as asset_pb
from cadenza.media.v1 import resumable_upload_service_pb2 as pb
from services.kit.clock import now
from services.media.config import Config
from services.media.domain.resumable_upload import PART_BYTES
from services.media.storage.tables import assets, resumable_tails
from services.media.usecases.resumable_upload import ResumableUploads
from tests.media.conftest import Media, running
from tests.media.recordings import sound
from tests.media.resumable import LARGE, Uploader, change, long_sound, messages, raw_bytes, tails
from tests.media.test_upload_rpc import get, refusal


@pytest.fixture
def uploader(media: Media) -> Uploader:
    """Return somebody with files to send."""
    return Uploader(media)


async def test_deleted(media: Media, uploader: Uploader) -> None:
    """An upload that is given up leaves no object, no part and no tail, and is gone for everybody."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    await uploader.append(upload.asset_id, data[: PART_BYTES + 1000])
    assert len(media.files()) == 2
    await uploader.delete(upload.asset_id)
    await uploader.delete(upload.asset_id)
    await media.settle()
    assert (media.files(), await tails(media)) == ([], 0)
    for call in (uploader.get(upload.asset_id), uploader.append(upload.asset_id, b"x", PART_BYTES + 1000)):
        assert (await refusal(call)).reason == "NOT_FOUND"


async def test_deleted_meanwhile(media: Media, uploader: Uploader) -> None:
    """An append to an upload that is given up meanwhile fails and leaves nothing."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[pb.AppendUploadRequest]:
        first, *rest = messages(upload.asset_id, data[: PART_BYTES * 2])
        yield first
        begun.set()
        await go_on.wait()
        for message in rest:
            yield message

    waiting = asyncio.ensure_future(uploader.appending(upload.asset_id, slowly()))
    await begun.wait()
    await uploader.delete(upload.asset_id)
    await media.settle()
    go_on.set()
    with pytest.raises(grpc.aio.AioRpcError):
        await waiting
    async with media.db.transaction() as tx:
        key = (await tx.execute(select(assets.c.raw_key).where(assets.c.asset_id == upload.asset_id))).scalar_one()
    # What it stored after the deletion goes with the second round, after the longest append.
    await media.store.abort_parts(key)
    assert (media.files(), await tails(media)) == ([], 0)


async def test_abandoned(config: Config) -> None:
    """An upload that nobody finished within its time leaves no row, no object and no part."""
    object.__setattr__(config, "upload_abandoned_h", -2.0)
    async with running(config) as media:
        uploader, data = Uploader(media), long_sound(LARGE)
        upload = await uploader.create(data)
        error = await refusal(uploader.append(upload.asset_id, data[:1000]))
        assert error.reason == "NOT_FOUND"
        assert (await refusal(uploader.get(upload.asset_id))).reason == "NOT_FOUND"
        # As if it had come in time.
        await change(media, upload.asset_id, expire_time=now() + timedelta(hours=1))
        await uploader.append(upload.asset_id, data[: PART_BYTES + 1000])
        assert len(media.files()) == 2
        sweep = media.application.background[1]
        sweeping = asyncio.ensure_future(sweep())
        async with asyncio.timeout(10):
            while await media.left_behind() != (0, 0):
                await asyncio.sleep(0.05)
                await media.worker.dispatcher.drain()  # type: ignore[union-attr]
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        assert await tails(media) == 0


async def test_store_away_at_the_end(media: Media, uploader: Uploader) -> None:
    """Bytes that came while the store was away are safe, and become the asset once it is back."""
    data = sound("take.wav")
    upload = await uploader.create(data)
    folder = media.config.object_store_directory / media.config.s3_bucket
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("a file where a folder should be")
    done = await uploader.append(upload.asset_id, data)
    assert (done.offset_bytes, done.asset.state) == (len(data), asset_pb.Asset.STATE_UPLOADING)
    assert await tails(media) == len(data)
    folder.unlink()
    aside.rename(folder)

    finishing = next(each for each in media.application.background if isinstance(each.__self__, ResumableUploads))  # type: ignore[attr-defined]
    assert await finishing.__self__.once() >= 1  # type: ignore[attr-defined]
    assert (await get(media, upload.asset_id)).state == asset_pb.Asset.STATE_UPLOADED
    assert (await raw_bytes(media, upload.asset_id), await tails(media)) == (data, 0)


async def test_store_away_in_the_middle(media: Media, uploader: Uploader) -> None:
    """A store that fails in the middle of a large file costs no byte that had come."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    folder = media.config.object_store_directory / media.config.s3_bucket
    folder.rename(folder.with_name("aside"))
    folder.write_text("a file where a folder should be")
    error = await refusal(uploader.append(upload.asset_id, data))
    assert error.reason == "SERVICE_UNAVAILABLE"
    folder.unlink()
    folder.with_name("aside").rename(folder)
    offset = (await uploader.get(upload.asset_id)).offset_bytes
    assert offset >= PART_BYTES
    await uploader.append(upload.asset_id, data[offset:], offset)
    assert await raw_bytes(media, upload.asset_id) == data


async def test_finished_by_the_next_look(media: Media, uploader: Uploader) -> None:
    """A file whose last byte was safe when its process died becomes its asset when somebody asks for it."""
    data = sound("take.wav")
    upload = await uploader.create(data)
    await uploader.append(upload.asset_id, data[:-1])
    async with media.db.transaction() as tx:
        # As the process left it that took the last byte and then died.
        await tx.execute(
            resumable_tails.insert().values(asset_id=upload.asset_id, start_bytes=len(data) - 1, data=data[-1:])
        )
    await change(media, upload.asset_id, offset_bytes=len(data), content_type="audio/wav")
    found = await uploader.get(upload.asset_id)
    assert (found.offset_bytes, found.asset.state) == (len(data), asset_pb.Asset.STATE_UPLOADED)
    assert await raw_bytes(media, upload.asset_id) == data
