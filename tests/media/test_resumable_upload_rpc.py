"""Files that come piece by piece, over real PostgreSQL and the local store."""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cadenza.media.v1 import asset_service_pb2 as asset_pb
from cadenza.media.v1 import resumable_upload_service_pb2 as pb
from services.kit.clock import now
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.media.config import Config
from services.media.domain.resumable_upload import PART_BYTES
from services.media.domain.upload import MEBIBYTE
from tests.media.conftest import Media, running
from tests.media.recordings import sound
from tests.media.resumable import LARGE, Uploader, change, checksum, long_sound, messages, raw_bytes, tails
from tests.media.test_upload_rpc import get, refusal


@pytest.fixture
def uploader(media: Media) -> Uploader:
    """Return somebody with files to send."""
    return Uploader(media)


async def test_in_one_append(media: Media, uploader: Uploader) -> None:
    """A file that comes whole becomes the asset that any other upload would make of it."""
    data = sound("take.webm")
    upload = await uploader.create(data, filename="../../我的 take.webm", content_type="audio/webm")
    assert (upload.offset_bytes, upload.size_bytes, upload.asset.state) == (
        0,
        len(data),
        asset_pb.Asset.STATE_UPLOADING,
    )
    assert upload.asset.filename == "我的 take.webm"

    done = await uploader.append(upload.asset_id, data)
    assert (done.offset_bytes, done.asset.state) == (len(data), asset_pb.Asset.STATE_UPLOADED)
    assert await raw_bytes(media, upload.asset_id) == data
    await media.settle()
    ready = await get(media, upload.asset_id)
    assert ready.state == asset_pb.Asset.STATE_READY
    assert ready.duration_ms == pytest.approx(2000, abs=60)
    assert (await uploader.get(upload.asset_id)).offset_bytes == len(data)
    assert await media.left_behind() == (1, 4)


@pytest.mark.parametrize("step", [PART_BYTES, PART_BYTES - 1, 3_000_001, LARGE])
async def test_in_several_appends(media: Media, uploader: Uploader, step: int) -> None:
    """However the bytes are cut, the file is the same, and no part or tail stays."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    for start in range(0, len(data), step):
        upload = await uploader.append(upload.asset_id, data[start : start + step], start)
        assert upload.offset_bytes == min(start + step, len(data))
        assert (await uploader.get(upload.asset_id)).offset_bytes == upload.offset_bytes
    await media.worker.dispatcher.drain()  # type: ignore[union-attr]

    assert upload.asset.state == asset_pb.Asset.STATE_UPLOADED
    assert await raw_bytes(media, upload.asset_id) == data
    assert (await media.left_behind(), await tails(media)) == ((1, 2), 0)


async def test_goes_on_elsewhere(config: Config, media: Media, uploader: Uploader) -> None:
    """What one instance took, another one goes on with: nothing lives in a process."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    await uploader.append(upload.asset_id, data[: PART_BYTES + 1000])
    async with running(config) as other:
        other.user_id = media.user_id
        elsewhere = Uploader(other)
        assert (await elsewhere.get(upload.asset_id)).offset_bytes == PART_BYTES + 1000
        await elsewhere.append(upload.asset_id, data[PART_BYTES + 1000 :], PART_BYTES + 1000)

    assert await raw_bytes(media, upload.asset_id) == data


@pytest.mark.parametrize("sent", [100, PART_BYTES - 70_000, PART_BYTES + 200_000])
async def test_breaks_off(media: Media, uploader: Uploader, sent: int) -> None:
    """What came before a client went away is kept to the last message, and the next append goes on there."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    taken = asyncio.Event()

    async def breaking() -> AsyncIterator[pb.AppendUploadRequest]:
        for message in messages(upload.asset_id, data[:sent]):
            yield message
        taken.set()
        await asyncio.sleep(60)

    call = uploader.appending(upload.asset_id, breaking())
    waiting = asyncio.ensure_future(call)
    await taken.wait()
    await asyncio.sleep(0.3)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await media.mesh.drain(2.0)

    offset = (await uploader.get(upload.asset_id)).offset_bytes
    assert offset == sent
    await uploader.append(upload.asset_id, data[offset:], offset)
    assert await raw_bytes(media, upload.asset_id) == data


async def test_two_at_once(media: Media, uploader: Uploader) -> None:
    """While one appends another one is turned away, and the file is that of the first."""
    data = long_sound(300_000)
    upload = await uploader.create(data)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[pb.AppendUploadRequest]:
        first, *rest = messages(upload.asset_id, data)
        yield first
        begun.set()
        await go_on.wait()
        for message in rest:
            yield message

    waiting = asyncio.ensure_future(uploader.appending(upload.asset_id, slowly()))
    await begun.wait()
    await asyncio.sleep(0.1)
    error = await refusal(uploader.append(upload.asset_id, bytes(len(data))))
    assert error.reason == "UPLOAD_LOCKED"
    go_on.set()
    await waiting
    assert await raw_bytes(media, upload.asset_id) == data


async def test_many_at_once(media: Media, uploader: Uploader) -> None:
    """Of ten appends of the same bytes in one moment one is taken."""
    data = long_sound(200_000)
    upload = await uploader.create(data)
    results = await asyncio.gather(*(uploader.append(upload.asset_id, data) for _ in range(10)), return_exceptions=True)
    assert any(isinstance(each, pb.ResumableUpload) for each in results)
    assert await raw_bytes(media, upload.asset_id) == data
    async with media.db.transaction() as tx:
        assert await media.worker.runner.queue.active_count(tx, media.user_id) == 1


async def test_taken_over(media: Media, uploader: Uploader) -> None:
    """Whoever was believed dead and writes on after another one took over changes nothing."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[pb.AppendUploadRequest]:
        first, *rest = messages(upload.asset_id, sound("take.wav")[:65536] + bytes(LARGE - 65536))
        yield first
        begun.set()
        await go_on.wait()
        for message in rest:
            yield message

    waiting = asyncio.ensure_future(uploader.appending(upload.asset_id, slowly()))
    await begun.wait()
    await asyncio.sleep(0.1)
    await change(media, upload.asset_id, lock_until=now())
    await uploader.append(upload.asset_id, data[: PART_BYTES + 5])
    go_on.set()
    with pytest.raises(grpc.aio.AioRpcError):
        await waiting
    await uploader.append(upload.asset_id, data[PART_BYTES + 5 :], PART_BYTES + 5)
    assert await raw_bytes(media, upload.asset_id) == data


@pytest.mark.parametrize("offset", [0, 999, 1001, 10_000])
async def test_wrong_offset(uploader: Uploader, offset: int) -> None:
    """Bytes that would overlap or leave a gap are refused with the place where they belong."""
    data = long_sound(10_000)
    upload = await uploader.create(data)
    await uploader.append(upload.asset_id, data[:1000])
    error = await refusal(uploader.append(upload.asset_id, b"x", offset))
    assert (error.reason, error.metadata["offset_bytes"]) == ("UPLOAD_OFFSET_WRONG", "1000")


async def test_more_than_announced(media: Media, uploader: Uploader) -> None:
    """One byte too many is refused, and the file can still be finished as it was announced."""
    data = long_sound(PART_BYTES + 1000)
    upload = await uploader.create(data)
    error = await refusal(uploader.append(upload.asset_id, data + b"x"))
    assert error.reason == "UPLOAD_TOO_LARGE"
    offset = (await uploader.get(upload.asset_id)).offset_bytes
    assert offset == PART_BYTES
    await uploader.append(upload.asset_id, data[offset:], offset)
    assert await raw_bytes(media, upload.asset_id) == data


@pytest.mark.parametrize(
    "digest",
    [
        pytest.param(checksum, id="sha256"),
        pytest.param(lambda data: "sha1 " + base64.b64encode(hashlib.sha1(data).digest()).decode(), id="sha1"),  # noqa: S324
        pytest.param(lambda data: "md5 " + base64.b64encode(hashlib.md5(data).digest()).decode(), id="md5"),  # noqa: S324
        pytest.param(
            lambda data: "crc32 " + base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode(), id="crc32"
        ),
    ],
)
async def test_checksum(media: Media, uploader: Uploader, digest: Any) -> None:
    """With a wrong checksum nothing of an append is kept, with the right one all of it, also over several parts."""
    data = long_sound(LARGE)
    upload = await uploader.create(data)
    await uploader.append(upload.asset_id, data[:1000])
    error = await refusal(uploader.append(upload.asset_id, data[1000:-1] + b"?", 1000, checksum=digest(data[1000:])))
    assert error.reason == "UPLOAD_CHECKSUM_WRONG"
    assert (await uploader.get(upload.asset_id)).offset_bytes == 1000

    await uploader.append(upload.asset_id, data[1000:], 1000, checksum=digest(data[1000:]))
    assert await raw_bytes(media, upload.asset_id) == data


@pytest.mark.parametrize("text", ["sha256", "sha512 AAAA", "md5 !!", "md5 " + "A" * 200])
async def test_unknown_checksum(uploader: Uploader, text: str) -> None:
    """A checksum that cannot be checked is refused before a byte is taken."""
    upload = await uploader.create(b"x" * 100)
    error = await refusal(uploader.append(upload.asset_id, b"x", checksum=text))
    assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", "checksum")


async def test_wrong_digest_of_the_file(media: Media, uploader: Uploader) -> None:
    """A file whose SHA-256 is not the announced one fails when it is looked at."""
    data = sound("take.wav")
    upload = await uploader.create(data, sha256=hashlib.sha256(b"another").hexdigest())
    await uploader.append(upload.asset_id, data)
    await media.settle()
    failed = await get(media, upload.asset_id)
    assert (failed.state, failed.error.reason) == (asset_pb.Asset.STATE_FAILED, "UPLOAD_INCOMPLETE")
    assert failed.error.metadata["field"] == "sha256"


async def test_samples_without_a_header(media: Media, uploader: Uploader) -> None:
    """What a recorder sends without a header is taken as its type says, in pieces as in one."""
    data = sound("take.wav")[44:]
    upload = await uploader.create(data, filename="take.pcm", content_type="audio/pcm;rate=44100;channels=1")
    await uploader.append(upload.asset_id, data[:1000])
    await uploader.append(upload.asset_id, data[1000:], 1000)
    await media.settle()
    ready = await get(media, upload.asset_id)
    assert ready.state == asset_pb.Asset.STATE_READY
    assert ready.duration_ms == pytest.approx(2000, abs=60)


async def test_no_sound(media: Media, uploader: Uploader) -> None:
    """What is no sound is refused at its first bytes, and nothing of it is stored."""
    data = b"PK\x03\x04" + bytes(2 * PART_BYTES)
    upload = await uploader.create(data)
    error = await refusal(uploader.append(upload.asset_id, data))
    assert (error.reason, error.metadata["found"]) == ("UPLOAD_FORMAT_INVALID", "zip")
    assert await media.left_behind() == (1, 0)


@pytest.mark.parametrize(
    ("changes", "platform", "reason"),
    [
        ({"size_bytes": 0}, "web", "UPLOAD_FORMAT_INVALID"),
        ({"size_bytes": 100 * MEBIBYTE + 1}, "web", "UPLOAD_TOO_LARGE"),
        ({"size_bytes": 10 * MEBIBYTE + 1}, "wxmp", "UPLOAD_TOO_LARGE"),
        ({"sha256": "x"}, "web", "PARAM_INVALID"),
    ],
)
async def test_create_refused(media: Media, uploader: Uploader, changes: Any, platform: str, reason: str) -> None:
    """What may not come is refused when it is announced; mini-programs keep their own limit."""
    error = await refusal(uploader.create(b"x" * 100, platform=platform, **changes))
    assert error.reason == reason
    assert await media.left_behind() == (0, 0)


async def test_a_gigabyte_by_setting(config: Config) -> None:
    """A gigabyte can be announced where the setting allows it."""
    object.__setattr__(config, "upload_limit_resumable_mb", 1024)
    async with running(config) as media:
        upload = await Uploader(media).create(b"", size_bytes=1024 * MEBIBYTE)
        assert upload.size_bytes == 1024 * MEBIBYTE


async def test_created_twice(uploader: Uploader) -> None:
    """An announcement whose answer was lost is answered alike, and another one under its id is refused."""
    request_id = new_id()
    first = await uploader.create(b"x" * 100, request_id=request_id)
    second = await uploader.create(b"x" * 100, request_id=request_id)
    error = await refusal(uploader.create(b"x" * 101, request_id=request_id))
    assert first.asset_id == second.asset_id
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_somebody_elses(media: Media, uploader: Uploader) -> None:
    """Nobody sees, appends to or ends an upload of another person."""
    upload = await uploader.create(b"x" * 100)
    thief = Uploader(media, new_id())
    for call in (thief.get(upload.asset_id), thief.append(upload.asset_id, b"x"), thief.delete(upload.asset_id)):
        assert (await refusal(call)).reason == "NOT_FOUND"
    assert (await uploader.get(upload.asset_id)).offset_bytes == 0


async def test_first_message(uploader: Uploader) -> None:
    """An append names its upload, once."""
    upload = await uploader.create(b"x" * 100)
    nameless = await refusal(uploader.stub.AppendUpload(iter([]), metadata=uploader.media.metadata()))
    twice = messages(upload.asset_id, b"x") * 2
    error = await refusal(uploader.stub.AppendUpload(iter(twice), metadata=uploader.media.metadata()))
    assert isinstance(error, RemoteError)
    assert (nameless.reason, error.reason) == ("PARAM_INVALID", "PARAM_INVALID")
