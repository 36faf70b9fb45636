"""PasswordService: changes of passwords over their use cases."""

from cadenza.auth.v1 import password_service_pb2 as pb
from cadenza.auth.v1 import password_service_pb2_grpc as pb_grpc
from services.auth.domain import target as targets
from services.auth.rpc.origin import english, origin
from services.auth.usecases.password import PasswordChanges
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user


class PasswordServicer(pb_grpc.PasswordServiceServicer):
    """Serves passwords."""

    def __init__(self, passwords: PasswordChanges, *, countries: tuple[str, ...]) -> None:
        """Serve these use cases, with phones of these countries."""
        self._passwords = passwords
        self._countries = countries

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: ServicerContext
    ) -> pb.ChangePasswordResponse:
        """Change the person's password."""
        me = current_user()
        await self._passwords.change(
            me.user_id, me.session_id, request.old_password, request.new_password, origin=origin(), english=english()
        )
        return pb.ChangePasswordResponse()

    async def ResetPassword(
        self, request: pb.ResetPasswordRequest, context: ServicerContext
    ) -> pb.ResetPasswordResponse:
        """Set a password by a code."""
        target = targets.target(request.account, countries=self._countries)
        await self._passwords.reset(target, request.code, request.new_password, origin(), english=english())
        return pb.ResetPasswordResponse()
