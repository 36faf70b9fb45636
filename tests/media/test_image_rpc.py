"""Pictures that people bring, through the contract and with the real Pillow in its cage."""

import io
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from PIL import Image, ImageChops

from cadenza.media.v1 import asset_service_pb2 as assets_pb
from cadenza.media.v1 import image_service_pb2 as pb
from cadenza.media.v1 import image_service_pb2_grpc as pb_grpc
from services.kit.ids import new_id
from services.media.domain.image import MOST_BYTES
from tests.media.conftest import Media
from tests.media.hostile.pictures import PICTURES, picture, png
from tests.media.recordings import sound
from tests.media.test_upload_rpc import refusal

_PLACE = b"31.2304N"


def _stub(media: Media) -> Any:
    return pb_grpc.ImageServiceStub(media.mesh.peers("gateway").channel("media"))


async def _messages(data: bytes, header: Any, cls: Any = pb.UploadImageRequest) -> AsyncIterator[Any]:
    yield cls(header=header)
    for at in range(0, len(data), 64 * 1024):
        yield cls(chunk=data[at : at + 64 * 1024])


async def _upload(media: Media, data: bytes, **header: Any) -> pb.Image:
    wish = pb.ImageHeader(**{"filename": "me.jpg", **header})
    answer: pb.UploadImageResponse = await _stub(media).UploadImage(_messages(data, wish), metadata=media.metadata())
    assert answer.asset_id == answer.image.asset_id
    return answer.image


async def _shown(media: Media, image: pb.Image) -> list[bytes]:
    """Return the stored bytes of the picture and of its smaller versions, by their addresses."""
    urls = [image.url, *(variant.url for variant in image.variants)]
    keys = [url.partition("?")[0].split("/", 5)[5] for url in urls]
    return [b"".join([piece async for piece in media.store.open(key)]) for key in keys]


def _tagged(orientation: int) -> bytes:
    """Return a JPEG of 300 by 200 that says how it lies and where it was taken, left half red."""
    image = Image.new("RGB", (300, 200), "blue")
    image.paste("red", (0, 0, 150, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "31.2304N"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (31.0, 13.0, 49.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, comment=_PLACE, quality=95)
    assert _PLACE in buffer.getvalue()
    return buffer.getvalue()


@pytest.mark.parametrize("form", PICTURES)
async def test_sizes(form: str, media: Media) -> None:
    """Every kind of picture is ready at once in its own size, in 512 pixels and as a thumbnail."""
    image = await _upload(media, picture(form, width=1000, height=400), filename=f"me.{form}")
    shown = [Image.open(io.BytesIO(data)) for data in await _shown(media, image)]

    assert [each.size for each in shown] == [(1000, 400), (512, 205), (160, 64)]
    assert [(variant.name, variant.width_px, variant.height_px) for variant in image.variants] == [
        ("medium", 512, 205),
        ("thumbnail", 160, 64),
    ]
    assert {each.format for each in shown} == {"JPEG"}
    asset = (
        await media.stub().GetAsset(assets_pb.GetAssetRequest(asset_id=image.asset_id), metadata=media.metadata())
    ).asset
    assert (asset.kind, asset.state) == (assets_pb.Asset.KIND_IMAGE, assets_pb.Asset.STATE_READY)


async def test_a_large_picture_is_made_smaller(media: Media) -> None:
    """What is larger than 2048 pixels is not kept that large; a small picture is not blown up."""
    large, small = (
        await _upload(media, picture("JPEG", width=5000, height=2500)),
        await _upload(media, picture("PNG", width=90, height=60)),
    )

    assert (large.width_px, large.height_px) == (2048, 1024)
    assert {(small.width_px, small.height_px), *((each.width_px, each.height_px) for each in small.variants)} == {
        (90, 60)
    }


@pytest.mark.parametrize(("orientation", "size", "red_at"), [(1, (300, 200), (20, 100)), (6, (200, 300), (100, 20))])
async def test_upright_and_without_a_place(
    orientation: int, size: tuple[int, int], red_at: tuple[int, int], media: Media
) -> None:
    """A picture is turned as its camera said, and nothing of place, camera or comment is kept in any size."""
    shown = await _shown(media, await _upload(media, _tagged(orientation)))

    for data in shown:
        assert _PLACE not in data
        assert b"Exif" not in data
        assert not Image.open(io.BytesIO(data)).getexif()
    whole = Image.open(io.BytesIO(shown[0]))
    assert whole.size == size
    red, _, blue = whole.getpixel(red_at)  # type: ignore[misc]
    assert (red > 200, blue < 60) == (True, True)


async def test_crop(media: Media) -> None:
    """The part that was asked for is kept, in pixels of the upright picture, and no more than there is."""
    right = await _upload(media, _tagged(1), crop_x_px=160, crop_width_px=100, crop_height_px=50)
    rest = await _upload(media, _tagged(1), crop_x_px=160, crop_y_px=100, crop_width_px=9999)
    pixel = Image.open(io.BytesIO((await _shown(media, right))[0])).getpixel((50, 25))

    assert (right.width_px, right.height_px) == (100, 50)
    assert (rest.width_px, rest.height_px) == (140, 100)
    assert (pixel[2] > 200, pixel[0] < 60) == (True, True)  # type: ignore[index]


async def test_crop_of_nothing(media: Media) -> None:
    """A part that lies outside of the picture is refused, and nothing is left."""
    error = await refusal(_upload(media, _tagged(1), crop_x_px=300))

    assert error.reason == "UPLOAD_FORMAT_INVALID"
    assert await media.left_behind() == (0, 0)


async def test_watermark(media: Media) -> None:
    """Words are written into the lower right corner and nowhere else."""
    data = picture("PNG", width=600, height=400)
    plain, marked = [
        Image.open(io.BytesIO((await _shown(media, await _upload(media, data, watermark_text=text)))[0]))
        for text in ("", "Cadenza")
    ]
    changed = ImageChops.difference(plain, marked).convert("L").point(lambda value: 255 * (value > 60)).getbbox()

    assert changed is not None
    left, top, right, bottom = changed
    assert left > 400
    assert top > 330
    assert right <= 600
    assert bottom <= 400


async def test_clear_parts_stay_clear(media: Media) -> None:
    """A picture with clear parts stays one; the others become JPEG, which is smaller."""
    clear = Image.new("RGBA", (200, 200), (255, 0, 0, 0))
    buffer = io.BytesIO()
    clear.save(buffer, "PNG")
    shown = [Image.open(io.BytesIO(data)) for data in await _shown(media, await _upload(media, buffer.getvalue()))]

    assert {(each.format, each.mode) for each in shown} == {("PNG", "RGBA")}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "UPLOAD_FORMAT_INVALID"),
        (b"<svg/>" * 50, "UPLOAD_FORMAT_INVALID"),
        (picture("PNG")[:200], "UPLOAD_FORMAT_INVALID"),
        (picture("BMP"), "UPLOAD_FORMAT_INVALID"),
        (png(20_000, 20_000, bytes(100)), "UPLOAD_TOO_LARGE"),
        (picture("PNG") + bytes(MOST_BYTES), "UPLOAD_TOO_LARGE"),
        (struct.pack(">I", 24) + b"ftypavif" + bytes(200), "UPLOAD_FORMAT_INVALID"),
    ],
)
async def test_refused(data: bytes, reason: str, media: Media) -> None:
    """What is no picture, or too large in bytes or pixels, is refused by number and leaves nothing."""
    error = await refusal(_upload(media, data))

    assert error.reason == reason
    assert await media.left_behind() == (0, 0)


async def test_a_sound_is_no_picture(media: Media) -> None:
    """A sound is refused where a picture is expected."""
    assert (await refusal(_upload(media, sound("take.mp3")))).reason == "UPLOAD_FORMAT_INVALID"


async def test_repeat(media: Media) -> None:
    """A repeat is answered by the first picture; the same id with another picture or wish is refused."""
    first = await _upload(media, picture("PNG"), request_id="once")
    files = set(media.files())
    again = await _upload(media, picture("PNG"), request_id="once")
    other = await refusal(_upload(media, picture("PNG"), request_id="once", crop_x_px=5))

    assert first.asset_id == again.asset_id
    assert other.reason == "IDEMPOTENCY_KEY_REUSED"
    await media.settle()
    assert set(media.files()) == files


async def test_whose(media: Media) -> None:
    """Only its owner finds a picture; deleting it removes every size of it."""
    image = await _upload(media, picture("PNG"))
    wish = pb.GetImageRequest(asset_id=image.asset_id)
    mine = await _stub(media).GetImage(wish, metadata=media.metadata())
    other = await refusal(_stub(media).GetImage(wish, metadata=media.metadata(new_id())))
    await media.stub().DeleteAsset(assets_pb.DeleteAssetRequest(asset_id=image.asset_id), metadata=media.metadata())
    await media.settle()

    assert (mine.image.width_px, len(mine.image.variants)) == (640, 2)
    assert other.reason == "NOT_FOUND"
    assert await media.left_behind() == (1, 0)


async def test_one_way_for_all_files(media: Media) -> None:
    """The older interface's upload takes both kinds and answers with that interface's four names."""

    async def send(data: bytes, name: str) -> pb.UploadFileResponse:
        header = assets_pb.UploadHeader(filename=name)
        messages = _messages(data, header, pb.UploadFileRequest)
        answer: pb.UploadFileResponse = await _stub(media).UploadFile(messages, metadata=media.metadata())
        return answer

    shown, heard = await send(picture("WEBP"), "me.webp"), await send(sound("take.mp3"), "take.mp3")

    assert (shown.asset.kind, heard.asset.kind) == (assets_pb.Asset.KIND_IMAGE, assets_pb.Asset.KIND_RECORDING)
    assert shown.file_id == shown.asset_id == shown.asset.asset_id
    assert (shown.file_name, heard.file_name) == ("me.webp", "take.mp3")
    assert heard.file_size == len(sound("take.mp3"))
    assert shown.url.startswith("http")
    assert heard.url == ""
