"""WaveformService: the contract of outlines over their use case."""

from cadenza.media.v1 import waveform_service_pb2 as pb
from cadenza.media.v1 import waveform_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user
from services.media.usecases.waveform import Waveforms

# audiowaveform's JSON: https://github.com/bbc/audiowaveform/blob/master/doc/DataFormat.md
_VERSION, _CHANNELS, _BITS = 2, 1, 8


class WaveformServicer(pb_grpc.WaveformServiceServicer):
    """Serves outlines; people see those of their own sounds."""

    def __init__(self, waveforms: Waveforms) -> None:
        """Serve these outlines."""
        self._waveforms = waveforms

    async def GetWaveform(self, request: pb.GetWaveformRequest, context: ServicerContext) -> pb.GetWaveformResponse:
        """Return the outline of one of the caller's sounds."""
        found, measured = await self._waveforms.get(
            current_user().user_id, request.asset_id.lower(), request.max_length
        )
        return pb.GetWaveformResponse(
            version=_VERSION,
            channels=_CHANNELS,
            sample_rate=found.sample_rate_hz,
            samples_per_pixel=found.samples_per_pixel,
            bits=_BITS,
            length=len(found.data) // 2,
            data=memoryview(found.data).cast("b").tolist(),
            loudness_lufs=found.loudness_lufs if measured else None,
            true_peak_dbtp=found.true_peak_dbtp if measured else None,
        )
