"""UserService: users over their use cases."""

from cadenza.auth.v1 import user_pb2, user_service_pb2_grpc
from cadenza.auth.v1 import user_service_pb2 as pb
from services.auth.domain import target as targets
from services.auth.domain.user import Identity, Provider
from services.auth.rpc.origin import english, origin, timestamp
from services.auth.usecases.closing import Closings
from services.auth.usecases.user import Person, Users
from services.kit.errors import ParamInvalid
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

    def __init__(self, users: Users, closings: Closings, *, countries: tuple[str, ...]) -> None:
        """Serve these users, with phones of these countries."""
        self._users = users
        self._closings = closings
        self._countries = countries

    async def GetMe(self, request: pb.GetMeRequest, context: ServicerContext) -> pb.GetMeResponse:
        """Return the caller's own user."""
        return pb.GetMeResponse(user=_user_message(await self._users.get(current_user().user_id)))

    async def UpdateMe(self, request: pb.UpdateMeRequest, context: ServicerContext) -> pb.UpdateMeResponse:
        """Change the caller's own user."""
        given = {field.name: value for field, value in request.ListFields()}
        return pb.UpdateMeResponse(user=_user_message(await self._users.change(current_user().user_id, **given)))

    async def DeleteMe(self, request: pb.DeleteMeRequest, context: ServicerContext) -> pb.DeleteMeResponse:
        """Let the caller's own user be erased."""
        if bool(request.code) != bool(request.target) or (request.code and request.password):
            raise ParamInvalid.of("code", "a password is needed, or a code and where it was sent to")
        target = targets.target(request.target, countries=self._countries) if request.target else None
        ends = await self._closings.close(
            current_user().user_id,
            origin(),
            password=request.password,
            target=target,
            code=request.code,
            english=english(),
        )
        return pb.DeleteMeResponse(erase_time=timestamp(ends))

    async def KeepMe(self, request: pb.KeepMeRequest, context: ServicerContext) -> pb.KeepMeResponse:
        """Let the caller's own user stay."""
        me = current_user().user_id
        await self._closings.keep(me)
        return pb.KeepMeResponse(user=_user_message(await self._users.get(me)))

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


def _user_message(person: Person) -> user_pb2.User:
    user, about = person.user, person.about
    return user_pb2.User(
        user_id=user.user_id,
        display_name=user.display_name,
        identities=[identity_message(each) for each in person.ways],
        create_time=timestamp(user.create_time),
        username=user.username,
        has_password=user.has_password,
        avatar_url=user.avatar_url,
        first_name=about.first_name,
        last_name=about.last_name,
        bio=about.bio,
        time_zone=about.time_zone,
        language=about.language,
        erase_time=None if user.erase_time is None else timestamp(user.erase_time),
    )
