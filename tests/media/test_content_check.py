"""The check of content before anything is kept, with a checker that a test holds the strings of."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1 import image_service_pb2 as images
from cadenza.media.v1.image_service_pb2_grpc import ImageServiceStub
from services.kit.errors import Unavailable
from services.media.config import Config
from services.media.domain.content import Standing, Verdict
from services.media.providers.content_hook import ContentHook
from tests.media.conftest import Media, running
from tests.media.hostile.pictures import picture
from tests.media.recordings import sound
from tests.media.test_upload_rpc import get, refusal, upload

_PICTURE = picture("PNG", width=64, height=48)


@dataclass
class Checker:
    """What it answers, and what it was asked."""

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: {"suggest": "pass"})
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def judge(self, request: web.Request) -> web.Response:
        """Answer as the test said."""
        said = request.headers.get("Authorization", "")
        self.asked.append((said, request.headers["Content-Type"], await request.read()))
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    """Yield a checker that runs."""
    made, app = Checker(), web.Application()
    app.router.add_post("/check", made.judge)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/check"))
        yield made


@pytest.fixture
async def checked(config: Config, checker: Checker) -> AsyncIterator[Media]:
    """Yield Media with the checker."""
    object.__setattr__(config, "content_check_url", checker.url)
    object.__setattr__(config, "content_check_secret", "hook-secret")
    async with running(config) as media:
        yield media


async def _send_picture(media: Media) -> Any:
    stub: Any = ImageServiceStub(media.mesh.peers("gateway").channel("media"))
    header, chunk = images.ImageHeader(filename="a.png"), images.UploadImageRequest(chunk=_PICTURE)
    return await stub.UploadImage(iter([images.UploadImageRequest(header=header), chunk]), metadata=media.metadata())


async def test_what_is_refused(checked: Media, checker: Checker) -> None:
    """A sound that is blocked fails its asset with the number, a picture is refused; no byte stays of either."""
    checker.answer = {"suggest": "risky", "label": "20002"}
    asset = await upload(checked, sound("take.wav"))
    await checked.settle()
    failed = await get(checked, asset.asset_id)
    error = await refusal(_send_picture(checked))
    await checked.settle()

    assert (failed.state, failed.error.reason, failed.error.code) == (
        pb.Asset.STATE_FAILED,
        "CONTENT_REJECTED",
        40005,
    )
    assert (failed.url, failed.error.metadata["label"]) == ("", "20002")
    assert (error.reason, error.metadata["label"]) == ("CONTENT_REJECTED", "20002")
    assert await checked.left_behind() == (1, 0)


@pytest.mark.parametrize("suggest", ["pass", "review"])
async def test_what_is_taken(checked: Media, checker: Checker, suggest: str) -> None:
    """What passes, or asks for a person, is taken; the checker saw what is kept, under the operator's secret."""
    checker.answer = {"suggest": suggest}
    asset = await upload(checked, sound("take.wav"))
    await checked.settle()
    await _send_picture(checked)
    ready = await get(checked, asset.asset_id)
    heard, seen = checker.asked

    assert ready.state == pb.Asset.STATE_READY
    assert (heard[0], heard[1], len(heard[2])) == ("Bearer hook-secret", "audio/mpeg", ready.size_bytes)
    assert (seen[0], seen[1]) == ("Bearer hook-secret", "image/jpeg")


@pytest.mark.parametrize(("status", "answer"), [(500, {}), (200, {}), (200, []), (200, {"suggest": "?"})])
async def test_no_verdict(checker: Checker, status: int, answer: Any) -> None:
    """No verdict is none: the file waits and is not let through."""
    checker.status, checker.answer = status, answer
    hook = ContentHook(checker.url, "")
    with pytest.raises(Unavailable):
        await hook.judge("audio/mpeg", b"x")
    checker.status, checker.answer = 200, {"suggest": "pass", "label": "x" * 99}
    verdict = await hook.judge("audio/mpeg", b"x")
    await hook.close()

    assert verdict == Verdict(Standing.PASS, "x" * 64)


async def test_checker_away(checked: Media, checker: Checker) -> None:
    """While the checker is away a sound waits for another try and a picture is told to come again."""
    checker.status = 503
    asset = await upload(checked, sound("take.wav"))
    await checked.settle()

    assert (await get(checked, asset.asset_id)).state == pb.Asset.STATE_PROCESSING
    assert (await refusal(_send_picture(checked))).reason == "SERVICE_UNAVAILABLE"
