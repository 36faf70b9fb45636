"""Uploads through the contract: presigned, streamed, made by a service, and everything that goes wrong."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import grpc
import pytest

from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1 import image_service_pb2 as images
from cadenza.media.v1.image_service_pb2_grpc import ImageServiceStub
from services.kit.errors import RemoteError
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from services.media.config import Config
from services.media.domain.upload import MEBIBYTE
from tests.media.conftest import Media
from tests.media.hostile.pictures import picture as png_of
from tests.media.recordings import sound, video

_PIECE = 64 * 1024


def pieces(header: pb.UploadHeader, data: bytes) -> list[pb.UploadAssetRequest]:
    """Return the messages of a streamed upload."""
    chunks = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)]
    return [pb.UploadAssetRequest(header=header), *(pb.UploadAssetRequest(chunk=chunk) for chunk in chunks)]


async def upload(media: Media, data: bytes, *, platform: str = "web", user_id: str = "", **header: Any) -> pb.Asset:
    """Return the asset that a streamed upload makes."""
    messages = pieces(pb.UploadHeader(**{"filename": "take.bin", **header}), data)
    answer = await media.stub().UploadAsset(iter(messages), metadata=media.metadata(user_id, x_platform=platform))
    assert answer.asset_id == answer.asset.asset_id
    return answer.asset


async def get(media: Media, asset_id: str) -> pb.Asset:
    """Return the asset as its owner sees it."""
    answer = await media.stub().GetAsset(pb.GetAssetRequest(asset_id=asset_id), metadata=media.metadata())
    return answer.asset


async def refusal(call: Any) -> RemoteError:
    """Return the error that the call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def presign(media: Media, data: bytes, **changes: Any) -> pb.PresignUploadResponse:
    """Return where to send a wav file."""
    wish = {"filename": "take.wav", "content_type": "audio/wav", "size_bytes": len(data), **changes}
    return await media.stub().PresignUpload(pb.PresignUploadRequest(**wish), metadata=media.metadata())


async def put(media: Media, answer: pb.PresignUploadResponse, data: bytes) -> None:
    """Do what the gateway does with a PUT to a signed address."""
    address = urlsplit(answer.upload_url)
    _, _, bucket, key = address.path.split("/", 3)
    grant = media.store.verify("PUT", bucket, key, dict(parse_qsl(address.query)))
    await media.store.put(key, data, content_type=grant.content_type, size=grant.size)


async def test_streamed(media: Media) -> None:
    """A streamed file is uploaded, then processed, then ready with what was measured of it."""
    asset = await upload(media, sound("take.webm"), filename="../../我的 take.webm", content_type="audio/webm")

    assert asset.state == pb.Asset.STATE_UPLOADED
    assert (asset.filename, asset.content_type, asset.url, asset.storage_key) == (
        "我的 take.webm",
        "audio/webm",
        "",
        "",
    )
    await media.settle()
    ready = await get(media, asset.asset_id)
    assert ready.state == pb.Asset.STATE_READY
    assert ready.content_type == "audio/mpeg"
    assert ready.duration_ms == pytest.approx(2000, abs=60)
    assert len(ready.peaks) == 256
    assert ready.storage_key.startswith("audio/")
    assert "127.0.0.1" not in ready.storage_key
    stored = await media.store.head(ready.storage_key)
    assert stored is not None
    assert (stored.size_bytes, stored.content_type) == (ready.size_bytes, "audio/mpeg")
    # One file as it came and one to play, each with its facts.
    assert await media.left_behind() == (1, 4)


async def test_address(media: Media) -> None:
    """The address of a ready asset is signed, ends in an hour and reads the stored file."""
    asset = await upload(media, sound("take.mp3"))
    await media.settle()

    ready = await get(media, asset.asset_id)
    address = urlsplit(ready.url)
    _, _, bucket, key = address.path.split("/", 3)
    media.store.verify("GET", bucket, key, dict(parse_qsl(address.query)))
    assert key == ready.storage_key
    assert 3500 < ready.url_expire_time.seconds - ready.update_time.seconds <= 3605


@pytest.mark.parametrize(
    ("data", "header", "reason", "field"),
    [
        pytest.param(b"", {}, "UPLOAD_FORMAT_INVALID", "file", id="empty"),
        pytest.param(b"la la la " * 2000, {}, "UPLOAD_FORMAT_INVALID", "file", id="text named mp3"),
        pytest.param(b"PK\x03\x04" + bytes(9000), {}, "UPLOAD_FORMAT_INVALID", "file", id="zip"),
        pytest.param(b"#EXTM3U\nhttp://127.0.0.1/a\n", {}, "UPLOAD_FORMAT_INVALID", "file", id="playlist"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(9000), {}, "UPLOAD_FORMAT_INVALID", "file", id="picture"),
        pytest.param(b"ID3" + bytes(9000), {"size_bytes": 51 * MEBIBYTE}, "UPLOAD_TOO_LARGE", "size_bytes", id="51 MB"),
        pytest.param(b"ID3" + bytes(9000), {"size_bytes": 9999}, "UPLOAD_INCOMPLETE", "size_bytes", id="fewer bytes"),
        pytest.param(b"ID3" + bytes(9000), {"size_bytes": 8}, "UPLOAD_INCOMPLETE", "size_bytes", id="more bytes"),
    ],
)
async def test_refused_at_once(media: Media, data: bytes, header: dict[str, Any], reason: str, field: str) -> None:
    """What can be told from the first bytes or the size is refused before anything is kept."""
    error = await refusal(upload(media, data, filename="take.mp3", content_type="audio/mpeg", **header))

    assert (error.reason, error.metadata["field"]) == (reason, field)
    assert [each.field for each in error.violations] == [field]
    await media.settle()
    assert await media.left_behind() == (0, 0)


@pytest.mark.parametrize(
    ("data", "reason", "found"),
    [
        pytest.param(lambda: video("clip.mp4"), "UPLOAD_FORMAT_INVALID", "video", id="video"),
        pytest.param(lambda: sound("take.mp3", 4.0)[:30_000], "UPLOAD_FORMAT_INVALID", "truncated", id="truncated"),
        pytest.param(lambda: sound("take.wav", 0.4), "UPLOAD_DURATION_INVALID", None, id="too short"),
        pytest.param(lambda: sound("take.flac", 200.0), "UPLOAD_DURATION_INVALID", None, id="too long"),
    ],
)
async def test_refused_inside(media: Media, data: Any, reason: str, found: str | None) -> None:
    """What only a look inside can tell fails the asset at the first attempt, and the file goes."""
    asset = await upload(media, data())
    await media.settle()

    failed = await get(media, asset.asset_id)
    assert (failed.state, failed.error.reason) == (pb.Asset.STATE_FAILED, reason)
    assert failed.error.code in {30002, 30003}
    assert failed.error.metadata["field"] == "file"
    assert failed.error.metadata.get("found") == found
    assert failed.url == ""
    assert await media.left_behind() == (1, 0)


async def test_mini_program(media: Media) -> None:
    """Eleven megabytes are too many from a mini-program, which is told to use the web, where they pass."""
    data = sound("take.wav") + bytes(11 * MEBIBYTE)
    error = await refusal(upload(media, data, platform="wxmp"))

    assert (error.reason, error.metadata["hint"]) == ("UPLOAD_TOO_LARGE", "web")
    await media.settle()
    assert await media.left_behind() == (0, 0)
    assert (await upload(media, data, platform="web")).state == pb.Asset.STATE_UPLOADED


async def test_too_large_while_streaming(config: Config, media: Media) -> None:
    """A stream that says nothing of its size is cut off at the limit and leaves nothing."""
    sent = 0

    async def endless() -> AsyncIterator[pb.UploadAssetRequest]:
        nonlocal sent
        yield pb.UploadAssetRequest(header=pb.UploadHeader(filename="take.wav"))
        yield pb.UploadAssetRequest(chunk=sound("take.wav"))
        while True:
            sent += MEBIBYTE
            yield pb.UploadAssetRequest(chunk=bytes(MEBIBYTE))

    error = await refusal(media.stub().UploadAsset(endless(), metadata=media.metadata()))

    assert (error.reason, error.metadata["limit_bytes"]) == ("UPLOAD_TOO_LARGE", str(50 * MEBIBYTE))
    assert sent < 100 * MEBIBYTE
    await media.settle()
    assert await media.left_behind() == (0, 0)


async def test_abandoned_stream(media: Media) -> None:
    """A client that goes away in the middle of its upload leaves nothing."""
    begun = asyncio.Event()

    async def stopping() -> AsyncIterator[pb.UploadAssetRequest]:
        yield pb.UploadAssetRequest(header=pb.UploadHeader(filename="take.wav"))
        for _ in range(4):
            yield pb.UploadAssetRequest(chunk=sound("take.wav"))
        begun.set()
        await asyncio.sleep(60)

    call = media.stub().UploadAsset(stopping(), metadata=media.metadata())
    waiting = asyncio.ensure_future(call)
    await begun.wait()
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await media.mesh.drain(2.0)
    await media.settle()

    assert await media.left_behind() == (0, 0)


@pytest.mark.parametrize(
    "messages",
    [
        [pb.UploadAssetRequest(chunk=b"ID3")],
        [],
        [pb.UploadAssetRequest(header=pb.UploadHeader()), pb.UploadAssetRequest(header=pb.UploadHeader())],
    ],
)
async def test_header_first(media: Media, messages: list[pb.UploadAssetRequest]) -> None:
    """A stream begins with its header, and only begins with it."""
    error = await refusal(media.stub().UploadAsset(iter(messages), metadata=media.metadata()))

    assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", "header")


async def test_streamed_twice(media: Media) -> None:
    """The same request id with the same file is one asset, and with another file an error."""
    request_id = new_id()
    first = await upload(media, sound("take.flac"), request_id=request_id)
    second = await upload(media, sound("take.flac"), request_id=request_id)
    error = await refusal(upload(media, sound("take.flac", 3.0), request_id=request_id))

    assert first.asset_id == second.asset_id
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"
    other = await upload(media, sound("take.flac"), request_id=request_id, user_id=new_id())
    assert other.asset_id != first.asset_id


async def test_streamed_twice_at_once(media: Media) -> None:
    """Two uploads of one request id at the same time are one asset with one file."""
    request_id = new_id()
    both = await asyncio.gather(*(upload(media, sound("take.aac"), request_id=request_id) for _ in range(2)))
    await media.settle()

    assert both[0].asset_id == both[1].asset_id
    assert await media.left_behind() == (1, 4)


async def test_presigned(media: Media) -> None:
    """An announced file, sent to its address and completed, becomes ready like any other."""
    data = sound("take.wav")
    answer = await presign(media, data)

    assert answer.asset.state == pb.Asset.STATE_UPLOADING
    assert dict(answer.headers) == {"Content-Type": "audio/wav", "Content-Length": str(len(data))}
    await put(media, answer, data)
    request = pb.CompleteUploadRequest(asset_id=answer.asset_id)
    completed = await media.stub().CompleteUpload(request, metadata=media.metadata())
    assert completed.asset.state == pb.Asset.STATE_UPLOADED
    await media.settle()
    again = await media.stub().CompleteUpload(request, metadata=media.metadata())
    assert again.asset.state == pb.Asset.STATE_READY
    assert again.asset.url


async def test_completed_too_early(media: Media) -> None:
    """An upload whose file has not come cannot be completed, and can be once it has."""
    data = sound("take.wav")
    answer = await presign(media, data)
    request = pb.CompleteUploadRequest(asset_id=answer.asset_id)
    error = await refusal(media.stub().CompleteUpload(request, metadata=media.metadata()))

    assert error.reason == "UPLOAD_INCOMPLETE"
    assert error.metadata["announced_bytes"] == str(len(data))
    await put(media, answer, data)
    completed = await media.stub().CompleteUpload(request, metadata=media.metadata())
    assert completed.asset.state == pb.Asset.STATE_UPLOADED


@pytest.mark.parametrize(("extra", "content_type"), [(b"x", "audio/wav"), (b"", "audio/mpeg")])
async def test_completed_with_another_file(media: Media, extra: bytes, content_type: str) -> None:
    """A file of another size or type than announced is not taken, should a store have let it through."""
    data = sound("take.wav")
    answer = await presign(media, data)
    key = urlsplit(answer.upload_url).path.split("/", 3)[3]
    await media.store.put(key, data + extra, content_type=content_type)
    request = pb.CompleteUploadRequest(asset_id=answer.asset_id)

    error = await refusal(media.stub().CompleteUpload(request, metadata=media.metadata()))
    assert error.reason == "UPLOAD_INCOMPLETE"
    assert (await get(media, answer.asset_id)).state == pb.Asset.STATE_UPLOADING


async def test_completed_twice_at_once(media: Media) -> None:
    """Two completions at the same time start one job."""
    data = sound("take.wav")
    answer = await presign(media, data)
    await put(media, answer, data)
    request = pb.CompleteUploadRequest(asset_id=answer.asset_id)
    stub = media.stub()
    both = await asyncio.gather(*(stub.CompleteUpload(request, metadata=media.metadata()) for _ in range(2)))

    assert {each.asset.state for each in both} == {pb.Asset.STATE_UPLOADED}
    async with media.db.transaction() as tx:
        assert await media.worker.runner.queue.active_count(tx, media.user_id) == 1


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"size_bytes": 0}, "UPLOAD_FORMAT_INVALID", "size_bytes"),
        ({"size_bytes": 100 * MEBIBYTE + 1}, "UPLOAD_TOO_LARGE", "size_bytes"),
        ({"content_type": "text/html"}, "PARAM_INVALID", "content_type"),
        ({"filename": ""}, "PARAM_INVALID", "filename"),
    ],
)
async def test_presign_refused(media: Media, changes: dict[str, Any], reason: str, field: str) -> None:
    """An announcement that cannot come true is refused with the field, and makes no asset."""
    error = await refusal(presign(media, b"x" * 100, **changes))

    assert (error.reason, [each.field for each in error.violations]) == (reason, [field])
    assert await media.left_behind() == (0, 0)


async def test_presigned_twice(media: Media) -> None:
    """The same announcement under one request id is one asset, and another one an error."""
    request_id = new_id()
    first = await presign(media, b"x" * 100, request_id=request_id)
    second = await presign(media, b"x" * 100, request_id=request_id)
    error = await refusal(presign(media, b"x" * 101, request_id=request_id))

    assert first.asset_id == second.asset_id
    assert urlsplit(first.upload_url).path == urlsplit(second.upload_url).path
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_without_token(media: Media) -> None:
    """Nobody uploads without a token."""
    messages = pieces(pb.UploadHeader(filename="a.mp3"), sound("take.mp3"))
    error = await refusal(media.stub().UploadAsset(iter(messages)))

    assert error.reason == "AUTH_REQUIRED"
    assert await media.left_behind() == (0, 0)


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


async def test_wrong_md5(media: Media) -> None:
    """A sound or picture of another MD5 than announced is refused and leaves nothing; the right one is taken."""
    picture, take = png_of("PNG", width=64, height=48), sound("take.mp3")
    stub: Any = ImageServiceStub(media.mesh.peers("gateway").channel("media"))

    async def send_image(method: Any, message: Any, header: Any, data: bytes) -> Any:
        return await method(iter([message(header=header), message(chunk=data)]), metadata=media.metadata())

    for data, md5 in ((take, _md5(take + b"?")), (take, _md5(b""))):
        error = await refusal(upload(media, data, content_md5=md5))
        assert (error.reason, error.metadata["field"]) == ("UPLOAD_CHECKSUM_WRONG", "content_md5")
    header = images.ImageHeader(filename="a.png", content_md5=_md5(picture + b"?"))
    error = await refusal(send_image(stub.UploadImage, images.UploadImageRequest, header, picture))
    assert error.reason == "UPLOAD_CHECKSUM_WRONG"
    for data in (picture, take):
        either = pb.UploadHeader(filename="a", content_md5=_md5(data + b"?"))
        error = await refusal(send_image(stub.UploadFile, images.UploadFileRequest, either, data))
        assert error.reason == "UPLOAD_CHECKSUM_WRONG"
    await media.settle()
    assert await media.left_behind() == (0, 0)

    malformed = await refusal(upload(media, take, content_md5="not an MD5"))
    assert (malformed.reason, malformed.metadata["field"]) == ("PARAM_INVALID", "header.content_md5")
    assert (await upload(media, take, content_md5=_md5(take))).state == pb.Asset.STATE_UPLOADED
    right = images.ImageHeader(filename="a.png", content_md5=_md5(picture))
    assert (await send_image(stub.UploadImage, images.UploadImageRequest, right, picture)).image.width_px
