"""What a person owns in the other services: counted, moved to another person, and given back."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cadenza.composer.v1 import ownership_service_pb2 as composer_pb2
from cadenza.media.v1 import ownership_service_pb2 as media_pb2
from cadenza.share.v1 import ownership_service_pb2 as share_pb2
from cadenza.wallet.v1 import ownership_service_pb2 as wallet_pb2
from services.auth.domain.merge import Merge
from services.kit.rpc.errors import calling

if TYPE_CHECKING:
    from cadenza.composer.v1.ownership_service_pb2_grpc import OwnershipServiceAsyncStub as ComposerStub
    from cadenza.media.v1.ownership_service_pb2_grpc import OwnershipServiceAsyncStub as MediaStub
    from cadenza.share.v1.ownership_service_pb2_grpc import OwnershipServiceAsyncStub as ShareStub
    from cadenza.wallet.v1.ownership_service_pb2_grpc import OwnershipServiceAsyncStub as WalletStub

_CALL_S = 6.0


@dataclass(frozen=True)
class Holdings:
    """What one person has."""

    counts: dict[str, int]
    available: int
    held: int
    frozen: bool
    identities: int = 0


class Estates:
    """What all people own."""

    def __init__(
        self, *, wallet: "WalletStub", composer: "ComposerStub", media: "MediaStub", share: "ShareStub"
    ) -> None:
        """Keep the stubs of those who have something of people."""
        self._wallet = wallet
        self._composer = composer
        self._media = media
        self._share = share

    async def count(self, user_id: str) -> Holdings:
        """Return what a person has in all services."""
        with calling():
            wallet, composer, media, share = await asyncio.gather(
                self._wallet.CountOwned(wallet_pb2.CountOwnedRequest(user_id=user_id), timeout=_CALL_S),
                self._composer.CountOwned(composer_pb2.CountOwnedRequest(user_id=user_id), timeout=_CALL_S),
                self._media.CountOwned(media_pb2.CountOwnedRequest(user_id=user_id), timeout=_CALL_S),
                self._share.CountOwned(share_pb2.CountOwnedRequest(user_id=user_id), timeout=_CALL_S),
            )
        counts = {each.kind: each.owned_count for answer in (composer, media, share) for each in answer.counts}
        return Holdings(counts, wallet.available_credits, wallet.held_credits, wallet.frozen)

    async def move(self, merge: Merge) -> bool:
        """Move what there is in all services; return whether there may be more later.

        The wallet comes last: as long as credits are set aside a job runs, and may make something after its round.
        """
        asked = _asked(merge)
        with calling():
            rows = await _moved(
                self._composer.MoveOwned(composer_pb2.MoveOwnedRequest(**asked), timeout=_CALL_S),
                self._media.MoveOwned(media_pb2.MoveOwnedRequest(**asked), timeout=_CALL_S),
                self._share.MoveOwned(share_pb2.MoveOwnedRequest(**asked), timeout=_CALL_S),
            )
            wallet = await self._wallet.MoveOwned(wallet_pb2.MoveOwnedRequest(**asked), timeout=_CALL_S)
        return rows > 0 or wallet.moved_credits > 0 or wallet.held_credits > 0

    async def erase(self, user_id: str) -> bool:
        """Remove what a person had in all services but the books; return whether there is more for another time.

        Shares close first, so that nobody hears what is just being removed.
        """
        with calling():
            shares = await self._share.EraseOwned(share_pb2.EraseOwnedRequest(user_id=user_id), timeout=_CALL_S)
            works = await self._composer.EraseOwned(composer_pb2.EraseOwnedRequest(user_id=user_id), timeout=_CALL_S)
            files = await self._media.EraseOwned(media_pb2.EraseOwnedRequest(user_id=user_id), timeout=_CALL_S)
        return _left(shares, works, files)

    async def undo(self, merge: Merge) -> None:
        """Give back what was moved, in all services."""
        asked = _asked(merge)
        with calling():
            await _moved(
                self._composer.UndoMove(composer_pb2.UndoMoveRequest(**asked), timeout=_CALL_S),
                self._media.UndoMove(media_pb2.UndoMoveRequest(**asked), timeout=_CALL_S),
                self._share.UndoMove(share_pb2.UndoMoveRequest(**asked), timeout=_CALL_S),
            )
            await self._wallet.UndoMove(wallet_pb2.UndoMoveRequest(**asked), timeout=_CALL_S)


def _left(*answers: Any) -> bool:
    return any(answer.left_count for answer in answers)


def _asked(merge: Merge) -> dict[str, Any]:
    return {"merge_id": merge.merge_id, "source_user_id": merge.source_id, "target_user_id": merge.target_id}


async def _moved(*calls: Awaitable[Any]) -> int:
    """Return how many rows all calls together moved."""
    return sum(answer.moved_count for answer in await asyncio.gather(*calls))
