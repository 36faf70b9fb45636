"""The export service of the contract."""

from typing import Any

from cadenza.composer.v1 import export_service_pb2 as pb
from cadenza.composer.v1.export_service_pb2_grpc import ExportServiceServicer
from services.composer.domain.export import Export
from services.composer.rpc.messages import timestamp
from services.composer.usecases.export import Exports
from services.composer.usecases.track import Caller
from services.kit.rpc.call import current_call
from services.kit.rpc.identity import current_user


class ExportRpc(ExportServiceServicer):
    """Answers the calls of cadenza.composer.v1.ExportService."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports

    async def CreateExport(self, request: pb.CreateExportRequest, context: Any) -> pb.CreateExportResponse:
        """Start an export, or return the one there is."""
        call = current_call()
        caller = Caller(current_user().user_id, call.platform, call.trace_id)
        found = await self._exports.create(caller, request.track_id, request.variant_id)
        return pb.CreateExportResponse(export=await self._message(found))

    async def GetExport(self, request: pb.GetExportRequest, context: Any) -> pb.GetExportResponse:
        """Return one of the caller's exports."""
        found = await self._exports.get(current_user().user_id, request.export_id)
        return pb.GetExportResponse(export=await self._message(found))

    async def _message(self, export: Export) -> pb.Export:
        addresses = await self._exports.addresses(export)
        return pb.Export(
            export_id=export.export_id,
            track_id=export.track_id,
            variant_id=export.variant_id,
            state=pb.Export.State.Value(f"STATE_{export.state.value.upper()}"),
            wav_url=addresses.get(export.wav_asset_id, ""),
            stems_url=addresses.get(export.stems_asset_id, ""),
            stems=export.stems,
            error_reason=export.error_reason,
            create_time=timestamp(export.create_time),
        )
