"""Pictures and bare samples over HTTP, as browsers and mini-programs send them, to the running mesh."""

import base64
import hashlib
import io

import aiohttp
import pytest
from PIL import Image

from tests.e2e.conftest import Arrive
from tests.media.hostile.pictures import picture
from tests.media.recordings import raw_samples, sound


async def test_a_picture_with_its_crop_in_the_query(arrive: Arrive) -> None:
    """A picture is ready at once in three sizes at signed addresses, cropped as the query says, for its owner only."""
    person, stranger = await arrive(), await arrive()
    path = "/api/v1/assets/image/upload?crop_x_px=40&crop_width_px=600&crop_height_px=300&watermark_text=Cadenza"
    sent = await person.send(picture("PNG", width=800, height=400), "我.png", "image/png", path=path)
    image = sent.body["data"]["image"]
    again = await person.call("GET", f"/api/v1/assets/{image['asset_id']}/image")
    sizes = []
    for url in (image["url"], *(variant["url"] for variant in again["image"]["variants"])):
        shown = await person.ask("GET", url)
        assert (shown.status, shown.headers["Content-Type"]) == (200, "image/jpeg")
        sizes.append(Image.open(io.BytesIO(shown.raw)).size)
    unsigned = await person.ask("GET", image["url"].partition("?")[0])
    others = await stranger.ask("GET", f"/api/v1/assets/{image['asset_id']}/image")

    assert sent.status == 201
    assert sizes == [(600, 300), (512, 256), (160, 80)]
    assert unsigned.status == 403
    assert others.status == 404


async def test_samples_without_a_header(arrive: Arrive) -> None:
    """A mini-program that records PCM says so in the query, and its sound can be drawn when it is ready."""
    person = await arrive()
    path = "/api/v1/assets/audio/upload?content_type=audio/pcm;rate%3D16000;channels%3D1"
    sent = await person.send(raw_samples(16_000, 1), "take.pcm", "application/octet-stream", path=path)
    asset_id = sent.body["data"]["asset_id"]
    asset = await person.settled_asset(asset_id)
    outline = await person.call("GET", f"/api/v1/assets/{asset_id}/waveform?max_length=100")

    assert asset["state"] == "ready"
    assert (outline["version"], outline["bits"], outline["channels"]) == (2, 8, 1)
    assert len(outline["data"]) == 2 * outline["length"] <= 200
    assert -25 < outline["loudness_lufs"] < -18
    assert -20 < outline["true_peak_dbtp"] < -16


@pytest.mark.parametrize("path", ["/api/v1/assets/audio/upload", "/api/v1/assets/image/upload", "/api/file/upload"])
async def test_a_form_with_another_md5(arrive: Arrive, path: str) -> None:
    """Content-MD5 at the file's part of a form or in the query is kept to: other bytes are refused, nothing is left."""
    person = await arrive()
    data = picture("PNG", width=64, height=48) if "image" in path else sound("take.mp3")
    right, wrong = (
        base64.b64encode(hashlib.md5(each, usedforsecurity=False).digest()).decode() for each in (data, data + b"?")
    )

    def form(md5: str) -> aiohttp.MultipartWriter:
        writer = aiohttp.MultipartWriter("form-data")
        part = writer.append(io.BytesIO(data), {"Content-Type": "application/octet-stream", "Content-MD5": md5})
        part.set_content_disposition("form-data", name="file", filename="take")
        return writer

    before = await person.belongings()
    refused = await person.ask("POST", path, data=form(wrong))
    asked = await person.ask("POST", path, params={"content_md5": wrong}, data=form(right))
    nonsense = await person.ask("POST", path, data=form("abc"))
    left = await person.belongings()
    taken = await person.ask("POST", path, data=form(right))

    assert refused.refusal == asked.refusal == (460, 30010, "UPLOAD_CHECKSUM_WRONG")
    assert nonsense.refusal == (400, 10001, "PARAM_INVALID")
    assert left == before
    assert taken.status == 201
