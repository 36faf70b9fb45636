"""Assets through the contract: read, listed, watched, deleted, and what other services do with them."""

import asyncio
import struct
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cadenza.job.v1 import job_pb2
from cadenza.media.v1 import asset_service_pb2 as pb
from services.kit.ids import new_id
from tests.media.conftest import Media
from tests.media.recordings import sound
from tests.media.test_upload_rpc import get, pieces, presign, put, refusal, upload

PNG = b"\x89PNG\r\n\x1a\n" + bytes(5000)


async def store(media: Media, data: bytes, caller: str = "composer", **header: Any) -> pb.Asset:
    """Return the asset of a file that another service made."""
    made = {
        "request_id": new_id(),
        "user_id": media.user_id,
        "kind": pb.Asset.KIND_MUSIC,
        "filename": "A.mp3",
        "content_type": "audio/mpeg",
        "duration_ms": 2000,
        "peaks": [1, 2, 3],
        **header,
    }
    messages = [
        pb.StoreAssetRequest(header=pb.StoreHeader(**made)),
        *(pb.StoreAssetRequest(chunk=data[start : start + 10_000]) for start in range(0, len(data), 10_000)),
    ]
    return (await media.stub(caller).StoreAsset(iter(messages))).asset


async def read(media: Media, asset_id: str, user_id: str = "") -> bytes:
    """Return the playable file as Composer reads it."""
    request = pb.ReadAssetRequest(asset_id=asset_id, user_id=user_id or media.user_id)
    return b"".join([answer.chunk async for answer in media.stub("composer").ReadAsset(request)])


async def delete(media: Media, asset_id: str, user_id: str = "") -> None:
    """Delete the asset."""
    request = pb.DeleteAssetRequest(asset_id=asset_id)
    await media.stub().DeleteAsset(request, metadata=media.metadata(user_id))


async def watch(media: Media, asset_id: str, after: int = 0) -> list[pb.WatchAssetResponse]:
    """Return the whole life of an asset as it is streamed."""
    request = pb.WatchAssetRequest(asset_id=asset_id, after_sequence=after)
    return [each async for each in media.stub().WatchAsset(request, metadata=media.metadata())]


async def test_others(media: Media) -> None:
    """Another person's asset does not exist for anybody else, whatever they try."""
    asset = await upload(media, sound("take.mp3"))
    stranger = media.metadata(new_id())
    stub = media.stub()
    calls = (
        stub.GetAsset(pb.GetAssetRequest(asset_id=asset.asset_id), metadata=stranger),
        stub.CompleteUpload(pb.CompleteUploadRequest(asset_id=asset.asset_id), metadata=stranger),
        stub.DeleteAsset(pb.DeleteAssetRequest(asset_id=asset.asset_id), metadata=stranger),
        stub.WatchAsset(pb.WatchAssetRequest(asset_id=asset.asset_id), metadata=stranger).read(),
        stub.ListAssetEvents(pb.ListAssetEventsRequest(asset_id=asset.asset_id), metadata=stranger),
        media.stub("composer").ResolveAsset(pb.ResolveAssetRequest(asset_id=asset.asset_id, user_id=new_id())),
        read(media, asset.asset_id, new_id()),
    )
    errors = [await refusal(call) for call in calls]
    unknown = await refusal(stub.GetAsset(pb.GetAssetRequest(asset_id=new_id()), metadata=media.metadata()))

    assert {error.reason for error in errors} == {"NOT_FOUND"}
    assert {error.message for error in errors} == {unknown.message}
    assert (await get(media, asset.asset_id)).state == pb.Asset.STATE_UPLOADED


async def test_list(media: Media) -> None:
    """The list pages through everything once, newest first, and takes no foreign token."""
    made = [(await presign(media, b"x")).asset_id for _ in range(5)]
    stub = media.stub()
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListAssetsRequest(page_size=2, page_token=token)
        page = await stub.ListAssets(request, metadata=media.metadata())
        assert len(page.assets) <= 2
        seen += [asset.asset_id for asset in page.assets]
        token = page.next_page_token
        if not token:
            break

    assert seen == made[::-1]
    error = await refusal(stub.ListAssets(pb.ListAssetsRequest(page_token="WzFd"), metadata=media.metadata()))
    assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", "page_token")


async def test_watch(media: Media) -> None:
    """A watcher sees the asset, then every event in order, and with the last one the asset as it became."""
    asset = await upload(media, sound("take.wav"))
    watching = asyncio.ensure_future(watch(media, asset.asset_id))
    await media.settle()
    life = await watching

    assert (life[0].sequence, life[0].asset.state, life[0].HasField("event")) == (0, pb.Asset.STATE_UPLOADED, False)
    assert [each.sequence for each in life[1:]] == list(range(1, len(life)))
    states = list(dict.fromkeys(each.event.state for each in life[1:]))
    assert states == [
        job_pb2.JOB_STATE_PENDING,
        job_pb2.JOB_STATE_QUEUED,
        job_pb2.JOB_STATE_RUNNING,
        job_pb2.JOB_STATE_COMPLETED,
    ]
    assert life[-1].event.final
    assert life[-1].asset.state == pb.Asset.STATE_READY
    assert life[-1].asset.url
    resumed = await watch(media, asset.asset_id, after=life[-2].sequence)
    assert [each.sequence for each in resumed] == [life[-2].sequence, life[-1].sequence]
    error = await refusal(watch(media, asset.asset_id, after=999))
    assert error.metadata["field"] == "after_sequence"


async def test_watch_before_the_file(media: Media) -> None:
    """A watcher of an announced upload waits for the file and then sees the rest."""
    data = sound("take.wav")
    answer = await presign(media, data)
    request = pb.WatchAssetRequest(asset_id=answer.asset_id)
    call: Any = media.stub().WatchAsset(request, metadata=media.metadata())
    messages = aiter(call)
    first = await anext(messages)
    await put(media, answer, data)
    await media.stub().CompleteUpload(pb.CompleteUploadRequest(asset_id=answer.asset_id), metadata=media.metadata())
    await media.settle()
    life = [each async for each in messages]

    assert first.asset.state == pb.Asset.STATE_UPLOADING
    assert [each.sequence for each in life] == list(range(1, len(life) + 1))
    assert life[-1].asset.state == pb.Asset.STATE_READY


async def test_polling_reads_what_is_streamed(media: Media) -> None:
    """The changes in pages are those of the stream from every place, and a place or a token of elsewhere is refused."""
    waiting = await presign(media, b"x")
    asset = await upload(media, sound("take.mp3"))
    await media.settle()
    streamed = [each.event for each in await watch(media, asset.asset_id) if each.HasField("event")]
    stub, me = media.stub(), media.metadata()

    async def page(**values: Any) -> pb.ListAssetEventsResponse:
        request = pb.ListAssetEventsRequest(**{"asset_id": asset.asset_id, **values})
        return await stub.ListAssetEvents(request, metadata=me)

    for after in range(len(streamed) + 1):
        answer = await page(after_sequence=after)
        assert list(answer.events) == streamed[after:]
        assert (answer.next_page_token, answer.asset.state) == ("", pb.Asset.STATE_READY)
    first = await page(page_size=2)
    second = await page(page_token=first.next_page_token)
    assert [*first.events, *second.events] == streamed
    assert not (await page(asset_id=waiting.asset_id)).events
    for values, field in (
        ({"after_sequence": 99}, "after_sequence"),
        ({"page_token": "WzFd"}, "page_token"),
        ({"asset_id": waiting.asset_id, "page_token": first.next_page_token}, "page_token"),
        ({"asset_id": waiting.asset_id, "after_sequence": 1}, "after_sequence"),
    ):
        error = await refusal(page(**values))
        assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", field)


async def test_delete(media: Media) -> None:
    """A deleted asset is gone with all its files, and deleting it again is answered alike."""
    asset = await upload(media, sound("take.wav"))
    await media.settle()
    await delete(media, asset.asset_id)
    await media.settle()

    error = await refusal(media.stub().GetAsset(pb.GetAssetRequest(asset_id=asset.asset_id), metadata=media.metadata()))
    assert error.reason == "NOT_FOUND"
    assert media.files() == []
    listed = await media.stub().ListAssets(pb.ListAssetsRequest(), metadata=media.metadata())
    assert list(listed.assets) == []
    await delete(media, asset.asset_id)
    assert (await refusal(delete(media, asset.asset_id, new_id()))).reason == "NOT_FOUND"


async def test_delete_while_waiting(media: Media) -> None:
    """Deleting an asset ends the job that waits for it; its watcher is told that it is gone."""
    asset = await upload(media, sound("take.wav"))
    watching = asyncio.ensure_future(watch(media, asset.asset_id))
    await asyncio.sleep(0.2)
    await delete(media, asset.asset_id)
    await media.settle()

    assert (await refusal(watching)).reason == "NOT_FOUND"
    assert media.files() == []
    async with media.db.transaction() as tx:
        assert await media.worker.runner.queue.active_count(tx, media.user_id) == 0


async def test_delete_in_use(media: Media) -> None:
    """An asset that a song is being made from stays, and so it does while Composer cannot be asked."""
    asset = await upload(media, sound("take.wav"))
    await media.settle()
    media.tracks.in_use.add(asset.asset_id)
    error = await refusal(delete(media, asset.asset_id))
    media.mesh.remove("composer")
    away = await refusal(delete(media, asset.asset_id))

    assert (error.reason, error.metadata["asset_id"]) == ("ASSET_IN_USE", asset.asset_id)
    assert away.reason == "SERVICE_UNAVAILABLE"
    assert (await get(media, asset.asset_id)).state == pb.Asset.STATE_READY


async def test_store(media: Media) -> None:
    """A file that a service made is ready at once, is read back as it was, and a repeat is the first one."""
    data = sound("take.mp3")
    request_id = new_id()
    asset = await store(media, data, request_id=request_id)
    again = await store(media, data[:5000], request_id=request_id)

    assert (asset.state, asset.kind) == (pb.Asset.STATE_READY, pb.Asset.KIND_MUSIC)
    assert (asset.duration_ms, list(asset.peaks), asset.size_bytes) == (2000, [1, 2, 3], len(data))
    assert asset.storage_key.startswith("music/generated/")
    assert await read(media, asset.asset_id) == data
    assert again.asset_id == asset.asset_id
    error = await refusal(store(media, data, request_id=request_id, filename="B.mp3"))
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"
    # The bytes and their facts, once.
    assert len(media.files()) == 2


@pytest.mark.parametrize(
    ("kind", "data", "folder"),
    [
        (pb.Asset.KIND_IMAGE, PNG, "cover/"),
        (pb.Asset.KIND_DOCUMENT, b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96), "documents/"),
    ],
)
async def test_store_kinds(media: Media, kind: pb.Asset.Kind.ValueType, data: bytes, folder: str) -> None:
    """Pictures and scores have folders of their own."""
    asset = await store(media, data, kind=kind, filename="x", duration_ms=0, peaks=[])

    assert asset.storage_key.startswith(folder)


async def test_store_refused(media: Media) -> None:
    """A service cannot store text as music, and leaves nothing when it tries."""
    error = await refusal(store(media, b"la la la " * 1000))
    other = await refusal(store(media, PNG))

    assert {error.reason, other.reason} == {"UPLOAD_FORMAT_INVALID"}
    await media.settle()
    assert await media.left_behind() == (0, 0)


@pytest.mark.parametrize("caller", ["gateway", "share", "wallet"])
async def test_internal(media: Media, caller: str) -> None:
    """Only the services named in the contract store and read files."""
    error = await refusal(store(media, sound("take.mp3"), caller=caller)) if caller != "share" else None
    request = pb.ReadAssetRequest(asset_id=new_id(), user_id=new_id())
    reading = await refusal(media.stub(caller).ReadAsset(request).read())

    assert error is None or error.reason == "PERMISSION_DENIED"
    assert reading.reason == "PERMISSION_DENIED"


async def test_resolve(media: Media) -> None:
    """Another service gets the asset with a fresh address under the name it asks for."""
    asset = await store(media, sound("take.mp3"))
    request = pb.ResolveAssetRequest(asset_id=asset.asset_id, user_id=media.user_id, download_filename="夏天.mp3")
    answer = await media.stub("share").ResolveAsset(request)

    assert answer.asset.asset_id == asset.asset_id
    assert parse_qs(urlsplit(answer.asset.url).query)["fn"] == ["夏天.mp3"]


async def test_resolve_many(media: Media) -> None:
    """Several assets come in the order asked for, without strangers', each with both addresses."""
    ids = [(await store(media, sound("take.mp3"))).asset_id for _ in range(2)]
    foreign = await store(media, sound("take.mp3"), user_id=new_id())
    wanted = [ids[1], foreign.asset_id, new_id(), ids[0]]
    request = pb.ResolveAssetsRequest(asset_ids=wanted, user_id=media.user_id, download_name="夏天/1")
    answer = await media.stub("composer").ResolveAssets(request)

    assert [each.asset.asset_id for each in answer.assets] == [ids[1], ids[0]]
    assert [parse_qs(urlsplit(each.download_url).query)["fn"] for each in answer.assets] == [["夏天-1.mp3"]] * 2
    bare = await media.stub("composer").ResolveAssets(pb.ResolveAssetsRequest(asset_ids=ids, user_id=media.user_id))
    assert [each.download_url for each in bare.assets] == ["", ""]


async def test_read_not_ready(media: Media) -> None:
    """A file that is not playable yet cannot be read."""
    asset = await upload(media, sound("take.mp3"))
    error = await refusal(read(media, asset.asset_id))

    assert (error.reason, error.metadata["state"]) == ("ASSET_NOT_READY", "uploaded")


async def test_open_uploads_are_bounded(media: Media) -> None:
    """A person has at most so many unfinished uploads."""
    for _ in range(media.config.assets_open_most):
        await presign(media, b"x")
    error = await refusal(presign(media, b"x"))
    streamed = await refusal(
        media.stub().UploadAsset(iter(pieces(pb.UploadHeader(), sound("take.mp3"))), metadata=media.metadata())
    )

    assert {error.reason, streamed.reason} == {"RATE_LIMITED"}
    assert (await media.left_behind())[0] == media.config.assets_open_most
