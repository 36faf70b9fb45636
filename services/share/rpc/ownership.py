"""OwnershipService: what people own here, when two users become one or one is erased."""

from cadenza.share.v1 import ownership_service_pb2 as pb
from cadenza.share.v1 import ownership_service_pb2_grpc as pb_grpc
from services.kit.db.ownership import Ownership
from services.kit.rpc.call import ServicerContext


class OwnershipServicer(pb_grpc.OwnershipServiceServicer):
    """Serves merges and ends of users to Auth."""

    def __init__(self, ownership: Ownership) -> None:
        """Serve what people own here."""
        self._ownership = ownership

    async def CountOwned(self, request: pb.CountOwnedRequest, context: ServicerContext) -> pb.CountOwnedResponse:
        """Count what a person owns."""
        found = await self._ownership.count(request.user_id.lower())
        counts = [pb.CountOwnedResponse.Count(kind=kind, owned_count=count) for kind, count in found.items()]
        return pb.CountOwnedResponse(counts=counts)

    async def MoveOwned(self, request: pb.MoveOwnedRequest, context: ServicerContext) -> pb.MoveOwnedResponse:
        """Give everything to another person."""
        source, target = request.source_user_id.lower(), request.target_user_id.lower()
        moved = await self._ownership.move(request.merge_id.lower(), source=source, target=target)
        return pb.MoveOwnedResponse(moved_count=moved)

    async def UndoMove(self, request: pb.UndoMoveRequest, context: ServicerContext) -> pb.UndoMoveResponse:
        """Give it back."""
        source, target = request.source_user_id.lower(), request.target_user_id.lower()
        moved = await self._ownership.undo(request.merge_id.lower(), source=source, target=target)
        return pb.UndoMoveResponse(moved_count=moved)

    async def EraseOwned(self, request: pb.EraseOwnedRequest, context: ServicerContext) -> pb.EraseOwnedResponse:
        """Remove what a person owns."""
        return pb.EraseOwnedResponse(left_count=await self._ownership.erase(request.user_id.lower()))
