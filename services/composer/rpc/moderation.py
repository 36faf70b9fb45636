"""The moderation service of the contract."""

from typing import Any

from cadenza.composer.v1 import moderation_service_pb2 as pb
from cadenza.composer.v1 import standing_pb2
from cadenza.composer.v1.moderation_service_pb2_grpc import ModerationServiceServicer
from services.composer.domain.moderation import Standing
from services.composer.rpc.messages import standing_message, timestamp
from services.composer.usecases.moderation import Judged, Moderation
from services.kit.rpc.identity import current_user


class ModerationRpc(ModerationServiceServicer):
    """Answers the calls of cadenza.composer.v1.ModerationService."""

    def __init__(self, moderation: Moderation) -> None:
        self._moderation = moderation

    async def AppealTrack(self, request: pb.AppealTrackRequest, context: Any) -> pb.AppealTrackResponse:
        """Write an appeal."""
        judged = await self._moderation.appeal(current_user().user_id, request.track_id.lower(), request.message)
        return pb.AppealTrackResponse(moderation=_message(judged))

    async def GetModeration(self, request: pb.GetModerationRequest, context: Any) -> pb.GetModerationResponse:
        """Return what was found in one of the caller's tracks."""
        judged = await self._moderation.of(current_user().user_id, request.track_id.lower())
        return pb.GetModerationResponse(moderation=_message(judged))

    async def ListModerations(self, request: pb.ListModerationsRequest, context: Any) -> pb.ListModerationsResponse:
        """Return a page of what waits for a person."""
        found, token = await self._moderation.waiting(page_size=request.page_size, page_token=request.page_token)
        messages = [_message(each, whole=True) for each in found]
        return pb.ListModerationsResponse(moderations=messages, next_page_token=token)

    async def DecideModeration(self, request: pb.DecideModerationRequest, context: Any) -> pb.DecideModerationResponse:
        """Decide about a track."""
        name = standing_pb2.Standing.Name(request.standing).removeprefix("STANDING_").lower()
        judged = await self._moderation.decide(
            current_user().user_id, request.track_id.lower(), Standing(name), request.note
        )
        return pb.DecideModerationResponse(moderation=_message(judged, whole=True))

    async def AcceptWechatPush(self, request: pb.AcceptWechatPushRequest, context: Any) -> pb.AcceptWechatPushResponse:
        """Take what WeChat has pushed."""
        return pb.AcceptWechatPushResponse(answer=await self._moderation.pushed(dict(request.query), request.body))


def _message(judged: Judged, *, whole: bool = False) -> pb.Moderation:
    track, appeal = judged.track, judged.appeal
    message = pb.Moderation(
        track_id=track.track_id,
        standing=standing_message(track.standing),
        findings=[
            pb.Finding(
                part=each.part.value,
                standing=standing_message(each.standing),
                source=each.source,
                # The word of the list that was found is how the list would be read out.
                label=each.label if whole or each.source != "word_list" else "",
                update_time=timestamp(each.update_time),
            )
            for each in judged.findings
        ],
        appeal=appeal.message if appeal else "",
        appeal_time=timestamp(appeal.create_time) if appeal else None,
        decide_time=timestamp(appeal.decide_time) if appeal else None,
    )
    if whole:
        message.user_id, message.title, message.lyrics = track.user_id, track.title, track.lyrics
    return message
