"""ShareService: the contract of Share over its use cases."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.share.v1 import share_service_pb2 as pb
from cadenza.share.v1 import share_service_pb2_grpc as pb_grpc
from services.kit.rpc.call import ServicerContext, current_call
from services.kit.rpc.identity import current_user
from services.share.domain.share import Line, Share, Shown, State, Terms, link
from services.share.usecases.invitation import Invitations
from services.share.usecases.listing import PublicList
from services.share.usecases.play import Plays
from services.share.usecases.share import Shares

# The gateway says with which HTTP method it was asked; a HEAD is nobody listening.
HTTP_METHOD = "x-http-method"

_STATES = {
    State.ACTIVE: pb.Share.STATE_ACTIVE,
    State.REVOKED: pb.Share.STATE_REVOKED,
    State.TAKEN_DOWN: pb.Share.STATE_TAKEN_DOWN,
}


class ShareServicer(pb_grpc.ShareServiceServicer):
    """Serves shares; people act on their own, anybody may open one."""

    def __init__(
        self, shares: Shares, plays: Plays, listing: PublicList, *, invitations: Invitations, public_url: str
    ) -> None:
        """Serve these shares, whose pages are under the public address."""
        self._shares = shares
        self._invitations = invitations
        self._listing = listing
        self._plays = plays
        self._public_url = public_url

    async def CreateShare(self, request: pb.CreateShareRequest, context: ServicerContext) -> pb.CreateShareResponse:
        """Share one of the caller's tracks."""
        share = await self._shares.create(current_user().user_id, request.track_id.lower(), _terms(request))
        message, kinds = self._share(share), set(request.share_types)
        ways = await self._invitations.of(
            share, wxcode=pb.SHARE_TYPE_WXCODE in kinds, scheme=pb.SHARE_TYPE_SCHEME in kinds
        )
        return pb.CreateShareResponse(
            share=message,
            share_code=share.share_code,
            link_url=message.link_url,
            wxcode_url=ways.wxcode_url,
            scheme_url=ways.scheme_url,
            pending=ways.pending,
        )

    async def ResolveShare(self, request: pb.ResolveShareRequest, context: ServicerContext) -> pb.ResolveShareResponse:
        """Return what a share shows."""
        call = current_call()
        counted = call.metadata.get(HTTP_METHOD, "").upper() != "HEAD"
        shown = await self._shares.show(request.share_code, request.ticket, counted=counted, agent=call.client_agent)
        return pb.ResolveShareResponse(shared_track=self._shared_track(shown, request.ticket))

    async def OpenSound(self, request: pb.OpenSoundRequest, context: ServicerContext) -> pb.OpenSoundResponse:
        """Tell where the sound or the cover of a share lies."""
        shown = await self._shares.show(request.share_code, request.ticket, counted=False)
        return pb.OpenSoundResponse(url=shown.cover_url if request.cover else shown.variant.audio_url)

    async def UnlockShare(self, request: pb.UnlockShareRequest, context: ServicerContext) -> pb.UnlockShareResponse:
        """Return a ticket for the password."""
        ticket, end = await self._shares.unlock(request.share_code, request.password, current_call().client_ip)
        return pb.UnlockShareResponse(ticket=ticket, expire_time=timestamp(end))

    async def PlayShare(self, request: pb.PlayShareRequest, context: ServicerContext) -> pb.PlayShareResponse:
        """Count a play."""
        call = current_call()
        count = await self._plays.count(
            request.share_code, request.ticket, address=call.client_ip, agent=call.client_agent
        )
        return pb.PlayShareResponse(play_count=count)

    async def ListShares(self, request: pb.ListSharesRequest, context: ServicerContext) -> pb.ListSharesResponse:
        """Return a page of the caller's shares."""
        page, more = await self._shares.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListSharesResponse(shares=[self._share(share) for share in page], next_page_token=more)

    async def UpdateShare(self, request: pb.UpdateShareRequest, context: ServicerContext) -> pb.UpdateShareResponse:
        """Change one of the caller's shares."""
        share = await self._shares.change(current_user().user_id, request.share_code, _terms(request))
        return pb.UpdateShareResponse(share=self._share(share))

    async def ListPublicSongs(
        self, request: pb.ListPublicSongsRequest, context: ServicerContext
    ) -> pb.ListPublicSongsResponse:
        """Return a page of the public list."""
        songs, more = await self._listing.page(
            request.category,
            request.query,
            page_size=request.page_size,
            page_token=request.page_token,
            most_played=request.order == pb.PUBLIC_ORDER_MOST_PLAYED,
        )
        messages = [self._shared_track(each) for each in songs]
        for message in messages:
            message.ClearField("chords")
        return pb.ListPublicSongsResponse(songs=messages, next_page_token=more)

    async def RevokeShare(self, request: pb.RevokeShareRequest, context: ServicerContext) -> pb.RevokeShareResponse:
        """Call one of the caller's shares back."""
        share = await self._shares.revoke(current_user().user_id, request.share_code)
        return pb.RevokeShareResponse(share=self._share(share))

    def _share(self, share: Share) -> pb.Share:
        over = share.state is State.ACTIVE and self._shares.is_over(share)
        return pb.Share(
            share_id=share.share_id,
            share_code=share.share_code,
            track_id=share.track_id,
            state=_STATES[share.state] if not over else pb.Share.STATE_EXPIRED,
            link_url=link(self._public_url, share.share_code),
            view_count=share.view_count,
            play_count=share.play_count,
            create_time=timestamp(share.create_time),
            revoke_time=timestamp(share.revoke_time),
            listed=share.listed,
            category=share.category,
            expire_time=timestamp(share.expire_time),
            locked=bool(share.password_hash),
        )

    def _shared_track(self, shown: Shown, ticket: str = "") -> pb.SharedTrack:
        variant = shown.variant
        page = link(self._public_url, shown.share.share_code)
        key = f"?ticket={ticket}" if ticket else ""
        return pb.SharedTrack(
            share_code=shown.share.share_code,
            title=shown.title,
            # Not the signed addresses themselves, which would go on after the share was called back.
            audio_url=f"{page}/audio{key}",
            duration_ms=variant.duration_ms,
            cover_url=shown.cover_url and f"{page}/cover{key}",
            style=variant.style,
            key=variant.key,
            tempo_bpm=variant.tempo_bpm,
            lyrics=shown.lyrics,
            peaks=variant.peaks,
            link_url=page,
            chords=variant.chords,
            create_time=timestamp(shown.share.create_time),
            lines=[_line(line) for line in variant.lines],
            provider=shown.provider,
            play_count=shown.share.play_count,
        )


def _terms(request: pb.CreateShareRequest | pb.UpdateShareRequest) -> Terms:
    listed = request.listed if isinstance(request, pb.UpdateShareRequest) and request.HasField("listed") else None
    return Terms(
        listed=listed,
        lifetime_s=request.lifetime_s if request.HasField("lifetime_s") else None,
        password=request.password if request.HasField("password") else None,
    )


def _line(line: Line) -> pb.SharedLine:
    syllables = [
        pb.SharedSyllable(text=each.text, start_ms=each.start_ms, end_ms=each.end_ms) for each in line.syllables
    ]
    return pb.SharedLine(text=line.text, start_ms=line.start_ms, end_ms=line.end_ms, syllables=syllables)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the moment as a message, None for none."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
