"""A person with a file that goes up piece by piece."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update

from cadenza.media.v1 import resumable_upload_service_pb2 as pb
from cadenza.media.v1 import resumable_upload_service_pb2_grpc as pb_grpc
from services.media.domain.resumable_upload import PART_BYTES
from services.media.storage.tables import assets, resumable_tails, resumable_uploads
from tests.media.conftest import Media
from tests.media.recordings import sound

_PIECE = 64 * 1024


def long_sound(size_bytes: int) -> bytes:
    """Return a file that begins as a sound and is as large as wanted."""
    # Every stretch differs, so that parts in a wrong order would be seen.
    filler = b"".join(hashlib.sha256(str(each).encode()).digest() * 512 for each in range(size_bytes // 16384 + 1))
    return (sound("take.wav") + filler)[:size_bytes]


LARGE = 2 * PART_BYTES + 300_000
"""Two parts and something."""


def checksum(data: bytes) -> str:
    """Return the SHA-256 as an append announces it."""
    return "sha256 " + base64.b64encode(hashlib.sha256(data).digest()).decode()


def messages(asset_id: str, data: bytes, offset: int = 0, **first: Any) -> list[pb.AppendUploadRequest]:
    """Return the messages of an append."""
    pieces = [data[start : start + _PIECE] for start in range(0, len(data), _PIECE)] or [b""]
    head = pb.AppendUploadRequest(asset_id=asset_id, offset_bytes=offset, chunk=pieces[0], **first)
    return [head, *(pb.AppendUploadRequest(chunk=piece) for piece in pieces[1:])]


@dataclass
class Uploader:
    """Calls Media's resumable uploads as a person."""

    media: Media
    user_id: str = ""

    @property
    def stub(self) -> "pb_grpc.ResumableUploadServiceAsyncStub":
        """The service."""
        return pb_grpc.ResumableUploadServiceStub(self.media.mesh.peers("gateway").channel("media"))

    async def create(self, data: bytes, *, platform: str = "web", **changes: Any) -> pb.ResumableUpload:
        """Announce a file."""
        wish = {"filename": "take.wav", "content_type": "audio/wav", "size_bytes": len(data), **changes}
        metadata = self.media.metadata(self.user_id, x_platform=platform)
        return (await self.stub.CreateUpload(pb.CreateUploadRequest(**wish), metadata=metadata)).upload

    async def append(self, asset_id: str, data: bytes, offset: int = 0, **first: Any) -> pb.ResumableUpload:
        """Send bytes."""
        stream = iter(messages(asset_id, data, offset, **first))
        return (await self.stub.AppendUpload(stream, metadata=self.media.metadata(self.user_id))).upload

    def appending(self, asset_id: str, source: AsyncIterator[pb.AppendUploadRequest]) -> Any:
        """Return the call that sends what the source yields."""
        return self.stub.AppendUpload(source, metadata=self.media.metadata(self.user_id))

    async def get(self, asset_id: str) -> pb.ResumableUpload:
        """Ask how far it is."""
        request = pb.GetUploadRequest(asset_id=asset_id)
        return (await self.stub.GetUpload(request, metadata=self.media.metadata(self.user_id))).upload

    async def delete(self, asset_id: str) -> None:
        """Give it up."""
        request = pb.DeleteUploadRequest(asset_id=asset_id)
        await self.stub.DeleteUpload(request, metadata=self.media.metadata(self.user_id))


async def raw_bytes(media: Media, asset_id: str) -> bytes:
    """Return what the client sent, as the object store has it."""
    async with media.db.transaction() as tx:
        key = (await tx.execute(select(assets.c.raw_key).where(assets.c.asset_id == asset_id))).scalar_one()
    return b"".join([piece async for piece in media.store.open(key)])


async def tails(media: Media) -> int:
    """Return how many bytes of the person's uploads wait for more."""
    query = (
        select(func.coalesce(func.sum(func.length(resumable_tails.c.data)), 0))
        .join(assets, assets.c.asset_id == resumable_tails.c.asset_id)
        .where(assets.c.user_id == media.user_id)
    )
    async with media.db.transaction() as tx:
        return int((await tx.execute(query)).scalar_one())


async def change(media: Media, asset_id: str, **values: Any) -> None:
    """Change the row of an upload, as time or a dead process would."""
    mine = resumable_uploads.c.asset_id == asset_id
    async with media.db.transaction() as tx:
        await tx.execute(update(resumable_uploads).where(mine).values(values))
