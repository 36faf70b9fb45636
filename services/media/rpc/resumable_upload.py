"""ResumableUploadService: the contract of files that come piece by piece over its use cases."""

from collections.abc import AsyncIterator

from cadenza.media.v1 import resumable_upload_service_pb2 as pb
from cadenza.media.v1 import resumable_upload_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext, current_call
from services.kit.rpc.identity import current_user
from services.media.domain.errors import HeaderMissing
from services.media.rpc.message import asset_message, time_message
from services.media.usecases.asset import Assets
from services.media.usecases.resumable_upload import Found, ResumableUploads
from services.media.usecases.upload import Announced, Origin


class ResumableUploadServicer(pb_grpc.ResumableUploadServiceServicer):
    """Serves people their own uploads."""

    def __init__(self, uploads: ResumableUploads, assets: Assets) -> None:
        """Serve these use cases."""
        self._uploads = uploads
        self._assets = assets

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: ServicerContext) -> pb.CreateUploadResponse:
        """Announce a file."""
        announced = Announced(
            filename=request.filename, content_type=request.content_type, size_bytes=request.size_bytes
        )
        key = current_call().idempotency
        found = await self._uploads.create(
            _origin(request.request_id), announced, sha256=request.sha256, request_hash=key.request_hash if key else ""
        )
        return pb.CreateUploadResponse(upload=await self._message(found))

    async def GetUpload(self, request: pb.GetUploadRequest, context: ServicerContext) -> pb.GetUploadResponse:
        """Say how far one of the caller's uploads is."""
        found = await self._uploads.get(current_user().user_id, request.asset_id.lower())
        return pb.GetUploadResponse(upload=await self._message(found))

    async def AppendUpload(
        self, request_iterator: AsyncIterator[pb.AppendUploadRequest], context: ServicerContext
    ) -> pb.AppendUploadResponse:
        """Take the next bytes in."""
        first = await anext(request_iterator, None)
        if first is None or not first.asset_id:
            raise HeaderMissing.of("asset_id", "must be in the first message", "required")
        found = await self._uploads.append(
            _origin(),
            first.asset_id.lower(),
            first.offset_bytes,
            _chunks(first, request_iterator),
            checksum=first.checksum,
        )
        return pb.AppendUploadResponse(upload=await self._message(found))

    async def DeleteUpload(self, request: pb.DeleteUploadRequest, context: ServicerContext) -> pb.DeleteUploadResponse:
        """Give an upload up."""
        await self._assets.delete(current_user().user_id, request.asset_id.lower())
        return pb.DeleteUploadResponse()

    async def _message(self, found: Found) -> pb.ResumableUpload:
        asset, upload = found
        return pb.ResumableUpload(
            asset_id=asset.asset_id,
            size_bytes=upload.size_bytes,
            offset_bytes=upload.offset_bytes,
            expire_time=time_message(upload.expire_time),
            asset=asset_message(asset, await self._assets.address(asset)),
        )


def _origin(request_id: str = "") -> Origin:
    """Return who calls."""
    call = current_call()
    return Origin(user_id=current_user().user_id, platform=call.platform, trace_id=call.trace_id, request_id=request_id)


async def _chunks(first: pb.AppendUploadRequest, rest: AsyncIterator[pb.AppendUploadRequest]) -> AsyncIterator[bytes]:
    """Yield the bytes of the messages; raises HeaderMissing when a later one names an upload again."""
    if first.chunk:
        yield first.chunk
    async for message in rest:
        if message.asset_id or message.offset_bytes or message.checksum:
            raise HeaderMissing.of("asset_id", "must be in the first message only", "first_only")
        if message.chunk:
            yield message.chunk
