"""The take service of the contract."""

from typing import Any

from cadenza.composer.v1 import take_service_pb2 as pb
from cadenza.composer.v1.take_service_pb2_grpc import TakeServiceServicer
from services.composer.rpc.messages import hearing_message
from services.composer.usecases.take import Hearings
from services.kit.rpc.identity import current_user


class TakeRpc(TakeServiceServicer):
    """Answers the calls of cadenza.composer.v1.TakeService."""

    def __init__(self, hearings: Hearings) -> None:
        self._hearings = hearings

    async def HearTake(self, request: pb.HearTakeRequest, context: Any) -> pb.HearTakeResponse:
        """Return what is heard in one of the caller's recordings."""
        return hearing_message(await self._hearings.hear(current_user().user_id, request.asset_id.lower()))
