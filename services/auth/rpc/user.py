"""UserService: users over their use cases."""

from cadenza.auth.v1 import user_pb2, user_service_pb2_grpc
from cadenza.auth.v1 import user_service_pb2 as pb
from services.auth.domain.user import Identity, Provider, User
from services.auth.rpc.origin import timestamp
from services.auth.usecases.user import Users
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

PROVIDERS = {
    Provider.WEB: user_pb2.Identity.PROVIDER_WEB,
    Provider.WECHAT: user_pb2.Identity.PROVIDER_WECHAT,
    Provider.PHONE: user_pb2.Identity.PROVIDER_PHONE,
    Provider.EMAIL: user_pb2.Identity.PROVIDER_EMAIL,
    Provider.APPLE: user_pb2.Identity.PROVIDER_APPLE,
}


class UserServicer(user_service_pb2_grpc.UserServiceServicer):
    """Serves users."""

    def __init__(self, users: Users) -> None:
        """Serve these users."""
        self._users = users

    async def GetMe(self, request: pb.GetMeRequest, context: ServicerContext) -> pb.GetMeResponse:
        """Return the caller's own user."""
        user, identities = await self._users.get(current_user().user_id)
        return pb.GetMeResponse(user=_user_message(user, identities))

    async def UpdateMe(self, request: pb.UpdateMeRequest, context: ServicerContext) -> pb.UpdateMeResponse:
        """Change the caller's own user."""
        user, identities = await self._users.change(
            current_user().user_id,
            display_name=request.display_name if request.HasField("display_name") else None,
            username=request.username if request.HasField("username") else None,
        )
        return pb.UpdateMeResponse(user=_user_message(user, identities))

    async def FindOpenId(self, request: pb.FindOpenIdRequest, context: ServicerContext) -> pb.FindOpenIdResponse:
        """Return under which id WeChat knows a user."""
        return pb.FindOpenIdResponse(open_id=await self._users.open_id(request.user_id.lower()))


def identity_message(identity: Identity) -> user_pb2.Identity:
    """Return a way to log in as answers carry it."""
    return user_pb2.Identity(
        identity_id=identity.identity_id,
        provider=PROVIDERS[identity.provider],
        label=identity.label,
        create_time=timestamp(identity.create_time),
    )


def _user_message(user: User, identities: list[Identity]) -> user_pb2.User:
    return user_pb2.User(
        user_id=user.user_id,
        display_name=user.display_name,
        identities=[identity_message(each) for each in identities],
        create_time=timestamp(user.create_time),
        username=user.username,
        has_password=user.has_password,
    )
