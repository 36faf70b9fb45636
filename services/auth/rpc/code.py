"""CodeService: codes over their use cases."""

from cadenza.auth.v1 import code_service_pb2 as pb
from cadenza.auth.v1 import code_service_pb2_grpc as pb_grpc
from services.auth.domain import target as targets
from services.auth.domain.code import PERSONAL, Purpose
from services.auth.domain.errors import TargetRefused
from services.auth.domain.message import State
from services.auth.rpc.origin import english, origin, timestamp
from services.auth.usecases.code import Codes
from services.auth.usecases.message import Messages
from services.kit.errors import NotFound
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

PURPOSES = {
    pb.CODE_PURPOSE_REGISTER: Purpose.REGISTER,
    pb.CODE_PURPOSE_LOGIN: Purpose.LOGIN,
    pb.CODE_PURPOSE_RESET: Purpose.RESET,
    pb.CODE_PURPOSE_BIND: Purpose.BIND,
    pb.CODE_PURPOSE_DELETE: Purpose.DELETE,
}
_STATES = {
    State.PENDING: pb.GetCodeResponse.STATE_PENDING,
    State.SENDING: pb.GetCodeResponse.STATE_PENDING,
    State.SENT: pb.GetCodeResponse.STATE_SENT,
    State.FAILED: pb.GetCodeResponse.STATE_FAILED,
}


class CodeServicer(pb_grpc.CodeServiceServicer):
    """Serves codes."""

    def __init__(self, codes: Codes, messages: Messages, *, countries: tuple[str, ...]) -> None:
        """Serve these use cases, with phones of these countries."""
        self._codes = codes
        self._messages = messages
        self._countries = countries

    async def SendCode(self, request: pb.SendCodeRequest, context: ServicerContext) -> pb.SendCodeResponse:
        """Send a code."""
        target = targets.target(request.target, request.channel, countries=self._countries)
        purpose = PURPOSES[request.purpose]
        user_id = current_user().user_id if purpose in PERSONAL else ""
        sent = await self._codes.send(target, purpose, origin(), user_id=user_id, english=english())
        return pb.SendCodeResponse(
            code_id=sent.code_id,
            request_id=sent.code_id,
            expire_time=timestamp(sent.expire_time),
            expires_in=sent.expires_in_s,
            resend_in=sent.resend_in_s,
        )

    async def VerifyCode(self, request: pb.VerifyCodeRequest, context: ServicerContext) -> pb.VerifyCodeResponse:
        """Say whether a code is right."""
        target = targets.target(request.target, countries=self._countries)
        purpose = PURPOSES[request.purpose]
        user_id = current_user().user_id if purpose in PERSONAL else ""
        ends, left_s = await self._codes.look(target, purpose, request.code, user_id=user_id)
        return pb.VerifyCodeResponse(expire_time=timestamp(ends), expires_in=left_s)

    async def GetCode(self, request: pb.GetCodeRequest, context: ServicerContext) -> pb.GetCodeResponse:
        """Say what became of a code's sending."""
        found = await self._messages.state_of_code(request.code_id.lower())
        if found is None:
            raise NotFound("there is no such code")
        state, reason = found
        retryable = state is State.FAILED and reason != TargetRefused.reason
        return pb.GetCodeResponse(state=_STATES[state], reason=reason, retryable=retryable)
