"""AssetService: the contract of Media over its use cases."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from cadenza.media.v1 import asset_service_pb2 as pb
from cadenza.media.v1 import asset_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext, current_call
from services.kit.rpc.identity import current_user
from services.media.domain.asset import Asset
from services.media.domain.errors import HeaderMissing
from services.media.domain.upload import download_filename
from services.media.rpc.message import KINDS, asset_message, change_message, event_message, time_message
from services.media.usecases.asset import Assets
from services.media.usecases.upload import Announced, Lease, Made, Origin, Uploads


class AssetServicer(pb_grpc.AssetServiceServicer):
    """Serves assets; people act on their own, other services on behalf of a person."""

    def __init__(self, assets: Assets, uploads: Uploads) -> None:
        """Serve these use cases."""
        self._assets = assets
        self._uploads = uploads

    async def PresignUpload(
        self, request: pb.PresignUploadRequest, context: ServicerContext
    ) -> pb.PresignUploadResponse:
        """Return a new asset and where its file goes."""
        announced = Announced(
            filename=request.filename, content_type=request.content_type, size_bytes=request.size_bytes
        )
        key = current_call().idempotency
        asset, put = await self._uploads.presign(origin(request.request_id), announced, key.request_hash if key else "")
        return pb.PresignUploadResponse(
            asset=asset_message(asset, None),
            asset_id=asset.asset_id,
            upload_url=put.url,
            headers=put.headers,
            expire_time=time_message(put.expire_time),
        )

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: ServicerContext
    ) -> pb.CompleteUploadResponse:
        """Take a presigned file in."""
        asset = await self._uploads.complete(origin(), request.asset_id.lower())
        return pb.CompleteUploadResponse(asset=asset_message(asset, await self._assets.address(asset)))

    async def UploadAsset(
        self, request_iterator: AsyncIterator[pb.UploadAssetRequest], context: ServicerContext
    ) -> pb.UploadAssetResponse:
        """Take a streamed file in."""
        header = (await first_message(request_iterator)).header
        announced = announcement(header)
        asset = await self._uploads.receive(origin(header.request_id), announced, chunks(request_iterator))
        message = asset_message(asset, await self._assets.address(asset))
        return pb.UploadAssetResponse(asset=message, asset_id=asset.asset_id)

    async def GetAsset(self, request: pb.GetAssetRequest, context: ServicerContext) -> pb.GetAssetResponse:
        """Return one of the caller's assets."""
        asset = await self._assets.get(current_user().user_id, request.asset_id.lower())
        return pb.GetAssetResponse(asset=asset_message(asset, await self._assets.address(asset)))

    async def ListAssets(self, request: pb.ListAssetsRequest, context: ServicerContext) -> pb.ListAssetsResponse:
        """Return a page of the caller's assets."""
        page, more = await self._assets.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        messages = [asset_message(asset, await self._assets.address(asset)) for asset in page]
        return pb.ListAssetsResponse(assets=messages, next_page_token=more)

    async def WatchAsset(
        self, request: pb.WatchAssetRequest, context: ServicerContext
    ) -> AsyncIterator[pb.WatchAssetResponse]:
        """Stream the life of an asset."""
        changes = self._assets.watch(current_user().user_id, request.asset_id.lower(), request.after_sequence)
        async with aclosing(changes) as life:
            async for change in life:
                address = await self._assets.address(change.asset) if change.asset else None
                yield change_message(change, address)

    async def ListAssetEvents(
        self, request: pb.ListAssetEventsRequest, context: ServicerContext
    ) -> pb.ListAssetEventsResponse:
        """Return the next changes of one of the caller's assets."""
        asset, events, token = await self._assets.log(
            current_user().user_id,
            request.asset_id.lower(),
            after=request.after_sequence,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return pb.ListAssetEventsResponse(
            events=[event_message(each) for each in events],
            next_page_token=token,
            asset=asset_message(asset, await self._assets.address(asset)),
        )

    async def DeleteAsset(self, request: pb.DeleteAssetRequest, context: ServicerContext) -> pb.DeleteAssetResponse:
        """Delete one of the caller's assets."""
        await self._assets.delete(current_user().user_id, request.asset_id.lower())
        return pb.DeleteAssetResponse()

    async def ResolveAsset(self, request: pb.ResolveAssetRequest, context: ServicerContext) -> pb.ResolveAssetResponse:
        """Describe an asset to another service."""
        asset = await self._assets.get(request.user_id.lower(), request.asset_id.lower())
        address = await self._assets.address(asset, request.download_filename)
        return pb.ResolveAssetResponse(asset=asset_message(asset, address))

    async def ResolveAssets(
        self, request: pb.ResolveAssetsRequest, context: ServicerContext
    ) -> pb.ResolveAssetsResponse:
        """Describe several assets to another service."""
        ids = [asset_id.lower() for asset_id in request.asset_ids]
        answer = pb.ResolveAssetsResponse()
        for asset in await self._assets.get_many(request.user_id.lower(), ids):
            message = asset_message(asset, await self._assets.address(asset))
            answer.assets.add(asset=message, download_url=await self._download_url(asset, request.download_name))
        return answer

    async def ReadAsset(
        self, request: pb.ReadAssetRequest, context: ServicerContext
    ) -> AsyncIterator[pb.ReadAssetResponse]:
        """Stream the playable file to another service."""
        pieces = self._assets.read(request.user_id.lower(), request.asset_id.lower())
        async with aclosing(pieces) as file:
            async for piece in file:
                yield pb.ReadAssetResponse(chunk=piece)

    async def StoreAsset(
        self, request_iterator: AsyncIterator[pb.StoreAssetRequest], context: ServicerContext
    ) -> pb.StoreAssetResponse:
        """Store a file that another service made."""
        header = (await first_message(request_iterator)).header
        maker = Origin(user_id=header.user_id.lower(), trace_id=current_call().trace_id, request_id=header.request_id)
        made = Made(
            kind=KINDS[header.kind],
            filename=header.filename,
            content_type=header.content_type,
            duration_ms=header.duration_ms,
            peaks=tuple(header.peaks),
            lease=_lease(header.lease) if header.HasField("lease") else None,
        )
        asset = await self._uploads.store(maker, made, chunks(request_iterator))
        return pb.StoreAssetResponse(asset=asset_message(asset, await self._assets.address(asset)))

    async def FenceUploads(self, request: pb.FenceUploadsRequest, context: ServicerContext) -> pb.FenceUploadsResponse:
        """Let no earlier attempt at a job store anything any more."""
        await self._uploads.fence(_lease(request.lease))
        return pb.FenceUploadsResponse()

    async def _download_url(self, asset: Asset, name: str) -> str:
        """Return an address that saves the file under the name with the right ending; '' without a name."""
        address = await self._assets.address(asset, download_filename(name, asset.storage_key)) if name else None
        return address.url if address else ""


def origin(request_id: str = "") -> Origin:
    """Return who calls."""
    call = current_call()
    return Origin(user_id=current_user().user_id, platform=call.platform, trace_id=call.trace_id, request_id=request_id)


def announcement(header: pb.UploadHeader) -> Announced:
    """Return what the header of an upload says of its file."""
    return Announced(
        filename=header.filename,
        content_type=header.content_type,
        size_bytes=header.size_bytes,
        content_md5=header.content_md5,
    )


def _lease(message: pb.JobLease) -> Lease:
    """Return the attempt that a caller speaks of."""
    return Lease(message.job_id.lower(), message.lease_token)


async def first_message(stream: AsyncIterator[Any]) -> Any:  # the stream's own message class
    """Return the first message of a client stream; raises HeaderMissing unless it holds the header."""
    async for message in stream:
        if message.WhichOneof("part") == "header":
            return message
        break
    raise HeaderMissing.of("header", "must be the first message")


async def chunks(stream: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """Yield the bytes of the messages after the header; raises HeaderMissing for a second header."""
    async for message in stream:
        if message.WhichOneof("part") != "chunk":
            raise HeaderMissing.of("header", "must come once, before the chunks")
        yield message.chunk
