"""SliceService: the contract of cuts over their use case."""

from cadenza.media.v1 import slice_service_pb2 as pb
from cadenza.media.v1 import slice_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext, current_call
from services.media.rpc.asset import origin
from services.media.rpc.message import asset_message
from services.media.usecases.asset import Assets
from services.media.usecases.slice import Slices, Wish


class SliceServicer(pb_grpc.SliceServiceServicer):
    """Serves cuts; people cut their own sounds."""

    def __init__(self, slices: Slices, assets: Assets) -> None:
        """Serve these use cases."""
        self._slices = slices
        self._assets = assets

    async def CreateSlice(self, request: pb.CreateSliceRequest, context: ServicerContext) -> pb.CreateSliceResponse:
        """Return a new asset that is cut from one of the caller's sounds."""
        wish = Wish(
            asset_id=request.asset_id.lower(),
            start_s=request.start_s,
            end_s=request.end_s if request.HasField("end_s") else None,
            fade_in_s=request.fade_in_s,
            fade_out_s=request.fade_out_s,
            loudness_lufs=request.loudness_lufs if request.HasField("loudness_lufs") else None,
            filename=request.filename,
        )
        key = current_call().idempotency
        asset = await self._slices.create(origin(request.request_id), wish, key.request_hash if key else "")
        message = asset_message(asset, await self._assets.address(asset))
        return pb.CreateSliceResponse(asset=message, asset_id=asset.asset_id)
