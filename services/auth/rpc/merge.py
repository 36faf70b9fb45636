"""MergeService: two users that become one, over their use cases."""

from cadenza.auth.v1 import merge_service_pb2 as pb
from cadenza.auth.v1 import merge_service_pb2_grpc as pb_grpc
from services.auth.domain.merge import Merge, MergeState
from services.auth.rpc.origin import english, origin, session_message, timestamp
from services.auth.usecases.estate import Holdings
from services.auth.usecases.merge import Merges
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

_STATES = {
    MergeState.OFFERED: pb.Merge.STATE_OFFERED,
    MergeState.RUNNING: pb.Merge.STATE_RUNNING,
    MergeState.DONE: pb.Merge.STATE_DONE,
    MergeState.UNDOING: pb.Merge.STATE_UNDOING,
    MergeState.UNDONE: pb.Merge.STATE_UNDONE,
}


class MergeServicer(pb_grpc.MergeServiceServicer):
    """Serves merges."""

    def __init__(self, merges: Merges) -> None:
        """Serve these merges."""
        self._merges = merges

    async def PreviewMerge(self, request: pb.PreviewMergeRequest, context: ServicerContext) -> pb.PreviewMergeResponse:
        """Show what would go where."""
        found = await self._merges.preview(current_user().user_id, request.merge_id.lower())
        return pb.PreviewMergeResponse(
            merge=_merge(found.merge), source=_holdings(found.source), target=_holdings(found.target)
        )

    async def ConfirmMerge(self, request: pb.ConfirmMergeRequest, context: ServicerContext) -> pb.ConfirmMergeResponse:
        """Make one user of two."""
        merge, tokens = await self._merges.confirm(
            current_user().user_id, request.merge_id.lower(), origin(), english=english()
        )
        return pb.ConfirmMergeResponse(merge=_merge(merge), session=None if tokens is None else session_message(tokens))

    async def UndoMerge(self, request: pb.UndoMergeRequest, context: ServicerContext) -> pb.UndoMergeResponse:
        """Make two users again."""
        me = current_user()
        return pb.UndoMergeResponse(
            merge=_merge(
                await self._merges.undo(
                    me.user_id, me.session_id, request.merge_id.lower(), origin=origin(), english=english()
                )
            )
        )


def _merge(merge: Merge) -> pb.Merge:
    ends = merge.undo_expire_time
    return pb.Merge(
        merge_id=merge.merge_id,
        source_user_id=merge.source_id,
        target_user_id=merge.target_id,
        state=_STATES[merge.state],
        offer_expire_time=timestamp(merge.offer_expire_time),
        undo_expire_time=None if ends is None else timestamp(ends),
    )


def _holdings(holdings: Holdings) -> pb.Holdings:
    counts = holdings.counts
    return pb.Holdings(
        track_count=counts.get("tracks", 0),
        lyrics_count=counts.get("lyrics", 0),
        asset_count=counts.get("assets", 0),
        share_count=counts.get("shares", 0),
        running_job_count=counts.get("running_jobs", 0),
        available_credits=holdings.available,
        held_credits=holdings.held,
        identity_count=holdings.identities,
    )
