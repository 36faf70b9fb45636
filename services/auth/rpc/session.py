"""SessionService: the doors, the tokens and the key set over their use cases."""

from cadenza.auth.v1 import session_service_pb2 as pb
from cadenza.auth.v1 import session_service_pb2_grpc as pb_grpc
from cadenza.auth.v1 import user_pb2
from services.auth.domain.device import device_name
from services.auth.domain.session import OpenSession
from services.auth.rpc.origin import origin, session_message, timestamp
from services.auth.rpc.user import PROVIDERS
from services.auth.usecases.login import Logins, WechatLogins
from services.auth.usecases.session import Sessions
from services.auth.usecases.signing_key import SigningKeys
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user


class SessionServicer(pb_grpc.SessionServiceServicer):
    """Serves sessions."""

    def __init__(self, logins: Logins, wechat: WechatLogins, sessions: Sessions, keys: SigningKeys) -> None:
        """Serve these use cases."""
        self._logins = logins
        self._wechat = wechat
        self._sessions = sessions
        self._keys = keys

    async def AnonymousLogin(
        self, request: pb.AnonymousLoginRequest, context: ServicerContext
    ) -> pb.AnonymousLoginResponse:
        """Log in a device."""
        done = await self._logins.by_device(request.provider_id, origin())
        return pb.AnonymousLoginResponse(
            session=session_message(done.tokens),
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            expires_in=done.tokens.expires_in_s,
            user_id=done.tokens.user_id,
            is_new=done.is_new,
        )

    async def WechatLogin(self, request: pb.WechatLoginRequest, context: ServicerContext) -> pb.WechatLoginResponse:
        """Log in a mini-program."""
        done = await self._wechat.by_code(
            request.code, origin(), nick_name=request.nick_name, avatar_url=request.avatar_url
        )
        return pb.WechatLoginResponse(
            session=session_message(done.tokens),
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            expires_in=done.tokens.expires_in_s,
            user_id=done.tokens.user_id,
            is_new=done.is_new,
        )

    async def RefreshSession(
        self, request: pb.RefreshSessionRequest, context: ServicerContext
    ) -> pb.RefreshSessionResponse:
        """Trade a refresh token for a new pair."""
        tokens = await self._sessions.refresh(request.refresh_token, origin(), retry_key=request.retry_key)
        return pb.RefreshSessionResponse(
            session=session_message(tokens),
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_in=tokens.expires_in_s,
        )

    async def Logout(self, request: pb.LogoutRequest, context: ServicerContext) -> pb.LogoutResponse:
        """End the session of the call's token."""
        await self._sessions.end(current_user().session_id)
        return pb.LogoutResponse()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: ServicerContext) -> pb.ListSessionsResponse:
        """List where the person is logged in."""
        me = current_user()
        found, more = await self._sessions.page(me.user_id, page_size=request.page_size, page_token=request.page_token)
        sessions = [_open(each, current=each.session_id == me.session_id) for each in found]
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=more)

    async def EndSession(self, request: pb.EndSessionRequest, context: ServicerContext) -> pb.EndSessionResponse:
        """End one session of the person."""
        await self._sessions.end_own(current_user().user_id, request.session_id.lower())
        return pb.EndSessionResponse()

    async def EndSessions(self, request: pb.EndSessionsRequest, context: ServicerContext) -> pb.EndSessionsResponse:
        """End all sessions of the person, perhaps but this one."""
        me = current_user()
        ended = await self._sessions.end_all(me.user_id, but=me.session_id if request.keep_current else "")
        return pb.EndSessionsResponse(ended_count=ended)

    async def GetKeySet(self, request: pb.GetKeySetRequest, context: ServicerContext) -> pb.GetKeySetResponse:
        """Return the public keys."""
        keys = await self._keys.published()
        return pb.GetKeySetResponse(
            keys=[pb.GetKeySetResponse.Key(key_id=key.key_id, public_key=key.public_key) for key in keys],
            fresh_s=self._keys.fresh_s,
        )

    async def CheckSession(self, request: pb.CheckSessionRequest, context: ServicerContext) -> pb.CheckSessionResponse:
        """Say whether a session is open."""
        return pb.CheckSessionResponse(open=await self._sessions.is_open(request.session_id.lower()))


def _open(session: OpenSession, *, current: bool) -> pb.OpenSession:
    return pb.OpenSession(
        session_id=session.session_id,
        provider=PROVIDERS[session.provider] if session.provider else user_pb2.Identity.PROVIDER_UNSPECIFIED,
        platform=session.origin.platform,
        device=device_name(session.origin.agent),
        address=session.origin.address,
        create_time=timestamp(session.create_time),
        last_seen_time=timestamp(session.seen_time),
        expire_time=timestamp(session.expire_time),
        current=current,
    )
