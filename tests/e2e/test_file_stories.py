"""The stories of files, told over HTTP and gRPC by web and mini-program alike: E-04, E-15, and a file in pieces."""

import io
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import grpc.aio
import pytest
from google.protobuf.message import Message

from cadenza.error.v1 import reason_pb2
from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1 import resumable_upload_service_pb2 as resumable_pb
from services.kit.clock import now
from services.kit.objects.local import LocalObjectStore
from services.kit.rpc.errors import from_rpc
from services.mesh.up import RunningMesh
from tests.e2e.conftest import Arrive
from tests.e2e.doors import BINDINGS, Visitor
from tests.e2e.people import until
from tests.e2e.test_refusals_files import large, stored
from tests.e2e.tus import BYTES

if TYPE_CHECKING:
    from tests.auth.outside import Outside

WAYS = [(platform, wire) for wire in ("http", "grpc") for platform in ("web", "wxmp")]
MEBIBYTE = 1024 * 1024
_PIECE = 64 * 1024
SEEN: dict[str, dict[tuple[str, str], list[str]]] = {}
"""What each story was answered on each way, by its name."""


class Courier(Visitor):
    """A visitor who brings files."""

    async def bring(self, data: bytes, filename: str, path: str = "") -> tuple[int, dict[str, Any]]:
        """Return public code and data of an upload in one go."""
        if self.edge is None:
            form = aiohttp.FormData()
            form.add_field("file", io.BytesIO(data), filename=filename, content_type="audio/mpeg")
            found = await self._sent("POST", path or BINDINGS["AssetService.UploadAsset"].path, form, {})
        else:
            header = pb.UploadHeader(filename=filename, content_type="audio/mpeg")
            first = pb.UploadAssetRequest(header=header)
            chunks = (pb.UploadAssetRequest(chunk=piece) for piece in _pieces(data))
            found = await self._streamed("AssetService.UploadAsset", [first, *chunks])
        self.seen.append(f"upload {found[0]}")
        return found

    async def append(self, asset_id: str, data: bytes, offset: int) -> tuple[int, dict[str, Any]]:
        """Return public code and data of an append."""
        if self.edge is None:
            headers = {"Content-Type": BYTES, "Upload-Offset": str(offset)}
            # A mini-program has no PATCH.
            verb = "POST" if self.platform == "wxmp" else "PATCH"
            found = await self._sent(verb, f"/api/v1/uploads/{asset_id}", io.BytesIO(data), headers)
        else:
            first = resumable_pb.AppendUploadRequest(asset_id=asset_id, offset_bytes=offset)
            chunks = (resumable_pb.AppendUploadRequest(chunk=piece) for piece in _pieces(data))
            found = await self._streamed("ResumableUploadService.AppendUpload", [first, *chunks])
        self.seen.append(f"append {found[0]}")
        return found

    async def put(self, signed: dict[str, Any], data: bytes, url: str = "") -> int:
        """Return the status of a PUT to a signed address."""
        headers = {**signed["headers"], "Content-Length": str(len(data))}
        async with self.http.put(url or signed["upload_url"], data=io.BytesIO(data), headers=headers) as answer:
            self.seen.append(f"put {answer.status}")
            return answer.status

    async def settled(self, asset_id: str) -> dict[str, Any]:
        """Return the asset once it is ready or has failed."""

        async def look() -> dict[str, Any]:
            _, data = await self.ask("AssetService.GetAsset", asset_id=asset_id)
            self.seen.pop()
            return cast("dict[str, Any]", data["asset"])

        return await until(look, lambda asset: str(asset["state"]).lower().rpartition("_")[2] in {"ready", "failed"})

    async def _sent(self, verb: str, path: str, data: Any, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        ours = {"X-Platform": self.platform, "Authorization": f"Bearer {self.token}", **headers}
        async with self.http.request(verb, self.base_url + path, data=data, headers=ours) as answer:
            found = await answer.json()
        return found["code"], found["data"] if "data" in found else found["details"]

    async def _streamed(self, name: str, messages: list[Any]) -> tuple[int, dict[str, Any]]:
        assert self.edge is not None
        method = BINDINGS[name].method
        call = self.edge.stream_unary(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )
        metadata = [("x-platform", self.platform), ("authorization", f"Bearer {self.token}")]
        try:
            answer: Any = await call(iter(messages), metadata=metadata, timeout=60)
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc(error)
            return reason_pb2.Reason.Value(f"REASON_{refusal.reason}"), {"metadata": refusal.metadata}
        return 0, _shown(answer)


def _shown(answer: Message) -> dict[str, Any]:
    whole = cast("Any", answer)
    if isinstance(answer, pb.UploadAssetResponse):
        return {"asset_id": whole.asset_id}
    return {"upload": {"offset_bytes": whole.upload.offset_bytes}}


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]


@pytest.fixture
async def courier(mesh: RunningMesh, arrive: Arrive) -> AsyncIterator[Callable[..., Any]]:
    """Return a maker of people with files, of a platform and over a wire."""
    async with aiohttp.ClientSession() as http, grpc.aio.insecure_channel(mesh.edge_address) as channel:

        async def make(platform: str, wire: str) -> Courier:
            edge = channel if wire == "grpc" else None
            person = await arrive()
            return Courier(mesh.base_url, http, platform, edge, cast("Outside", None), token=person.token)

        yield make


def _told(story: str, way: tuple[str, str], person: Courier) -> None:
    """Check that a story was answered as on every way before."""
    told = SEEN.setdefault(story, {})
    told[way] = person.seen
    assert set(map(tuple, told.values())) == {tuple(told[way])}, told


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_upload_through_us(mesh: RunningMesh, courier: Any, take: bytes, platform: str, wire: str) -> None:
    """E-04: a sound becomes ready; a program named mp3 and a file too large are refused and leave nothing."""
    person = await courier(platform, wire)
    before = stored(mesh)
    code, refused = await person.bring(b"MZ" + bytes(9000), "song.mp3")
    assert (code, refused["metadata"]["found"]) == (30002, "program")
    limit = 10 if platform == "wxmp" else 50
    code, refused = await person.bring(large((limit + 1) * MEBIBYTE), "long.wav")
    assert (code, refused["metadata"]["limit_bytes"]) == (30001, str(limit * MEBIBYTE))

    async def left() -> set[str]:
        return stored(mesh)

    await until(left, lambda found: found <= before)
    code, taken = await person.bring(take, "hum.wav", "/api/file/upload")
    assert code == 0, taken
    ready = await person.settled(taken["asset_id"])
    assert (ready["filename"], ready["content_type"]) == ("hum.wav", "audio/mpeg")
    assert ready["url"]
    _told("E-04", (platform, wire), person)


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_direct_upload(mesh: RunningMesh, courier: Any, take: bytes, platform: str, wire: str) -> None:
    """E-15: presign, PUT, complete, ready; another size, a late hour and completing too early are refused."""
    person = await courier(platform, wire)
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    signed = await person.get("AssetService.PresignUpload", **wish)
    early, _ = await person.ask("AssetService.CompleteUpload", asset_id=signed["asset_id"])
    short = await person.put(signed, take[:-1])
    secret = mesh.environment["OBJECT_URL_SECRET"]
    past = LocalObjectStore(mesh.home.objects, secret, mesh.base_url, clock=lambda: now() - timedelta(days=1))
    key = signed["upload_url"].split("/_objects/cadenza/")[1].split("?")[0]
    late = (await past.presign_put(key, content_type="audio/wav", size_bytes=len(take), expires_s=60)).url
    expired = await person.put(signed, take, late)
    put = await person.put(signed, take)
    assert (early, short, expired, put) == (30004, 422, 403, 200)
    assert key.startswith("raw/")
    await person.get("AssetService.CompleteUpload", asset_id=signed["asset_id"])
    ready = await person.settled(signed["asset_id"])
    assert (ready["storage_key"].startswith("audio/"), bool(ready["url"])) == (True, True)
    assert "127.0.0.1" not in ready["storage_key"]
    _told("E-15", (platform, wire), person)


@pytest.mark.parametrize(("platform", "wire"), WAYS)
async def test_a_file_in_pieces(courier: Any, take: bytes, platform: str, wire: str) -> None:
    """Announced, sent in three pieces with one in the wrong place, asked for, and ready; another one is given up."""
    person = await courier(platform, wire)
    wish = {"filename": "hum.wav", "content_type": "audio/wav", "size_bytes": len(take)}
    upload = (await person.get("ResumableUploadService.CreateUpload", **wish))["upload"]
    asset_id, third = upload["asset_id"], len(take) // 3
    assert (await person.append(asset_id, take[:third], 0))[0] == 0
    code, wrong = await person.append(asset_id, take[third:], third + 1)
    assert (code, wrong["metadata"]["offset_bytes"]) == (30008, str(third))
    found = (await person.get("ResumableUploadService.GetUpload", asset_id=asset_id))["upload"]
    assert int(found["offset_bytes"]) == third
    assert (await person.append(asset_id, take[third : 2 * third], third))[0] == 0
    code, done = await person.append(asset_id, take[2 * third :], 2 * third)
    assert (code, int(done["upload"]["offset_bytes"])) == (0, len(take))
    assert (await person.settled(asset_id))["url"]
    other = (await person.get("ResumableUploadService.CreateUpload", **wish))["upload"]["asset_id"]
    await person.get("ResumableUploadService.DeleteUpload", asset_id=other)
    assert (await person.ask("ResumableUploadService.GetUpload", asset_id=other))[0] == 10002
    _told("pieces", (platform, wire), person)
