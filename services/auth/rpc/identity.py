"""IdentityService: ways to log in over their use cases."""

from cadenza.auth.v1 import identity_service_pb2 as pb
from cadenza.auth.v1 import identity_service_pb2_grpc as pb_grpc
from cadenza.auth.v1 import user_pb2
from services.auth.domain import target as targets
from services.auth.domain.target import Channel
from services.auth.rpc.origin import english, origin
from services.auth.rpc.user import identity_message
from services.auth.usecases.binding import Bindings, Ways
from services.auth.usecases.login import Door
from services.kit.errors import ParamInvalid
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

_Provider = user_pb2.Identity.Provider


class IdentityServicer(pb_grpc.IdentityServiceServicer):
    """Serves ways to log in."""

    def __init__(self, ways: Ways, bindings: Bindings, *, countries: tuple[str, ...]) -> None:
        """Serve these use cases, with phones of these countries."""
        self._ways = ways
        self._bindings = bindings
        self._countries = countries

    async def BindIdentity(self, request: pb.BindIdentityRequest, context: ServicerContext) -> pb.BindIdentityResponse:
        """Add a way to log in."""
        me = current_user()
        door = await self._door(me.user_id, request)
        return pb.BindIdentityResponse(
            identity=identity_message(await self._bindings.bind(me.user_id, door, origin(), english=english()))
        )

    async def UnbindIdentity(
        self, request: pb.UnbindIdentityRequest, context: ServicerContext
    ) -> pb.UnbindIdentityResponse:
        """Take a way to log in away."""
        me = current_user()
        await self._bindings.unbind(
            me.user_id, me.session_id, request.identity_id.lower(), origin=origin(), english=english()
        )
        return pb.UnbindIdentityResponse()

    async def _door(self, user_id: str, request: pb.BindIdentityRequest) -> Door:
        """Return the way that the request proves."""
        match request.provider:
            case _Provider.PROVIDER_WECHAT:
                return await self._ways.by_wechat(_given("wechat_code", request.wechat_code))
            case _Provider.PROVIDER_APPLE:
                nonce = _given("nonce", request.nonce)
                return await self._ways.by_apple(_given("identity_token", request.identity_token), nonce)
            case _Provider.PROVIDER_PHONE if request.phone_code:
                return await self._ways.by_wechat_phone(request.phone_code)
        channel = Channel.SMS if request.provider == _Provider.PROVIDER_PHONE else Channel.EMAIL
        target = targets.target(_given("provider_id", request.provider_id), channel, countries=self._countries)
        return await self._ways.by_code(user_id, target, _given("verification_code", request.verification_code))


def _given(field: str, value: str) -> str:
    if not value:
        raise ParamInvalid.of(field, "is needed to bind this")
    return value
