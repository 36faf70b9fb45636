"""ImageService: the contract of pictures over their use case, and the older interface's one way for all files."""

from collections.abc import AsyncIterator

from cadenza.media.v1 import asset_service_pb2
from cadenza.media.v1 import image_service_pb2 as pb
from cadenza.media.v1 import image_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user
from services.media.domain.asset import Asset
from services.media.domain.image import TAKEN, Edit
from services.media.domain.sound import HEAD_BYTES, sniff
from services.media.rpc.asset import announcement, chunks, first_message, origin
from services.media.rpc.message import asset_message, time_message
from services.media.usecases.asset import Assets
from services.media.usecases.image import Images
from services.media.usecases.upload import Announced, Uploads


class ImageServicer(pb_grpc.ImageServiceServicer):
    """Serves pictures; people act on their own."""

    def __init__(self, images: Images, uploads: Uploads, assets: Assets) -> None:
        """Serve these use cases."""
        self._images = images
        self._uploads = uploads
        self._assets = assets

    async def UploadImage(
        self, request_iterator: AsyncIterator[pb.UploadImageRequest], context: ServicerContext
    ) -> pb.UploadImageResponse:
        """Take a picture in."""
        header = (await first_message(request_iterator)).header
        edit = Edit(
            x_px=header.crop_x_px,
            y_px=header.crop_y_px,
            width_px=header.crop_width_px,
            height_px=header.crop_height_px,
            watermark=header.watermark_text,
        )
        announced = Announced(
            filename=header.filename, content_type=header.content_type, content_md5=header.content_md5
        )
        asset = await self._images.receive(origin(header.request_id), announced, edit, chunks(request_iterator))
        return pb.UploadImageResponse(image=await self._message(asset), asset_id=asset.asset_id)

    async def GetImage(self, request: pb.GetImageRequest, context: ServicerContext) -> pb.GetImageResponse:
        """Return one of the caller's pictures."""
        asset, _ = await self._images.get(current_user().user_id, request.asset_id.lower())
        return pb.GetImageResponse(image=await self._message(asset))

    async def UploadFile(
        self, request_iterator: AsyncIterator[pb.UploadFileRequest], context: ServicerContext
    ) -> pb.UploadFileResponse:
        """Take a sound or a picture in."""
        header: asset_service_pb2.UploadHeader = (await first_message(request_iterator)).header
        announced = announcement(header)
        head, pieces = await _peek(chunks(request_iterator))
        if sniff(head) in TAKEN:
            asset = await self._images.receive(origin(header.request_id), announced, Edit(), pieces)
        else:
            asset = await self._uploads.receive(origin(header.request_id), announced, pieces)
        address = await self._assets.address(asset)
        return pb.UploadFileResponse(
            asset=asset_message(asset, address),
            asset_id=asset.asset_id,
            file_id=asset.asset_id,
            url=address.url if address else "",
            file_name=asset.filename,
            file_size=asset.size_bytes,
        )

    async def _message(self, asset: Asset) -> pb.Image:
        """Return a picture as a message, with fresh addresses."""
        _, image = await self._images.get(asset.user_id, asset.asset_id)
        whole, *smaller = await self._images.addresses(asset, image)
        return pb.Image(
            asset_id=asset.asset_id,
            width_px=image.width_px,
            height_px=image.height_px,
            url=whole.url,
            url_expire_time=time_message(whole.expire_time),
            variants=[
                pb.Image.Variant(name=each.name, width_px=each.width_px, height_px=each.height_px, url=address.url)
                for each, address in zip(image.variants, smaller, strict=True)
            ],
        )


async def _peek(pieces: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the first bytes of a stream, and the stream with them."""
    head = bytearray()
    async for piece in pieces:
        head += piece
        if len(head) >= HEAD_BYTES:
            break

    async def whole() -> AsyncIterator[bytes]:
        if head:
            yield bytes(head)
        async for piece in pieces:
            yield piece

    return bytes(head[:HEAD_BYTES]), whole()
