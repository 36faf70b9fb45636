"""OwnershipService: credits of users that become one, over their use cases."""

from cadenza.wallet.v1 import ownership_service_pb2 as pb
from cadenza.wallet.v1 import ownership_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext
from services.wallet.usecases.balance import Balances
from services.wallet.usecases.merge import Merges


class OwnershipServicer(pb_grpc.OwnershipServiceServicer):
    """Serves merges to Auth."""

    def __init__(self, merges: Merges, balances: Balances) -> None:
        """Serve these merges; those who watch a balance that was moved are woken."""
        self._merges = merges
        self._balances = balances

    async def CountOwned(self, request: pb.CountOwnedRequest, context: ServicerContext) -> pb.CountOwnedResponse:
        """Return what a person has."""
        position, freeze = await self._balances.wallet(request.user_id.lower())
        return pb.CountOwnedResponse(
            available_credits=position.balance.available,
            held_credits=position.balance.held,
            frozen=freeze is not None,
        )

    async def MoveOwned(self, request: pb.MoveOwnedRequest, context: ServicerContext) -> pb.MoveOwnedResponse:
        """Move what the source can spend."""
        source, target = request.source_user_id.lower(), request.target_user_id.lower()
        moved, held = await self._merges.move(request.merge_id.lower(), source=source, target=target)
        self._balances.changed(target)
        return pb.MoveOwnedResponse(moved_credits=moved, held_credits=held)

    async def UndoMove(self, request: pb.UndoMoveRequest, context: ServicerContext) -> pb.UndoMoveResponse:
        """Give back what the target still has."""
        source, target = request.source_user_id.lower(), request.target_user_id.lower()
        moved = await self._merges.undo(request.merge_id.lower(), source=source, target=target)
        self._balances.changed(target)
        return pb.UndoMoveResponse(moved_credits=moved)
