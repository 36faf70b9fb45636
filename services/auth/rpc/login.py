"""LoginService: the doors of passwords, codes and Apple, and the login log, over their use cases."""

from cadenza.auth.v1 import login_service_pb2 as pb
from cadenza.auth.v1 import login_service_pb2_grpc as pb_grpc
from cadenza.auth.v1 import user_pb2
from services.auth.domain import target as targets
from services.auth.domain.device import device_name
from services.auth.domain.login import LoginRecord, Method, Result
from services.auth.rpc.origin import english, origin, session_message, timestamp
from services.auth.rpc.user import PROVIDERS
from services.auth.usecases.account import Accounts, account_of
from services.auth.usecases.login import AppleLogins, CodeLogins
from services.auth.usecases.login_log import LoginLog
from services.kit.errors import ParamInvalid
from services.kit.rpc.call import ServicerContext
from services.kit.rpc.identity import current_user

_RESULTS = {
    Result.OK: pb.LoginRecord.RESULT_OK,
    Result.WRONG: pb.LoginRecord.RESULT_WRONG,
    Result.LOCKED: pb.LoginRecord.RESULT_LOCKED,
    Result.DISABLED: pb.LoginRecord.RESULT_DISABLED,
}


class LoginServicer(pb_grpc.LoginServiceServicer):
    """Serves logins."""

    def __init__(
        self, accounts: Accounts, codes: CodeLogins, apple: AppleLogins, log: LoginLog, *, countries: tuple[str, ...]
    ) -> None:
        """Serve these use cases, with phones of these countries."""
        self._accounts = accounts
        self._codes = codes
        self._apple = apple
        self._log = log
        self._countries = countries

    async def Register(self, request: pb.RegisterRequest, context: ServicerContext) -> pb.RegisterResponse:
        """Make an account."""
        given = _only(request, "email", "phone")
        target = targets.target(given, countries=self._countries)
        done = await self._accounts.register(
            target, request.code, request.password, origin(), username=request.username, english=english()
        )
        return pb.RegisterResponse(
            session=session_message(done.tokens),
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            expires_in=done.tokens.expires_in_s,
            user_id=done.tokens.user_id,
            token=done.tokens.access_token,
        )

    async def Login(self, request: pb.LoginRequest, context: ServicerContext) -> pb.LoginResponse:
        """Log in by password or code."""
        given = _only(request, "account", "email", "phone")
        code = request.code or request.verification_code
        if bool(code) == bool(request.password):
            raise ParamInvalid.of("password", "either a password or a code is needed")
        if code:
            target = targets.target(given, countries=self._countries)
            done = await self._codes.by_code(target, code, origin(), english=english())
        else:
            account = account_of(given, self._countries)
            done = await self._accounts.enter(account, request.password, origin(), english=english())
        return pb.LoginResponse(
            session=session_message(done.tokens),
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            expires_in=done.tokens.expires_in_s,
            user_id=done.tokens.user_id,
            is_new=done.is_new,
            token=done.tokens.access_token,
            username=done.username,
        )

    async def AppleLogin(self, request: pb.AppleLoginRequest, context: ServicerContext) -> pb.AppleLoginResponse:
        """Log in by Apple."""
        done = await self._apple.by_token(
            request.identity_token, request.nonce, origin(), display_name=request.display_name, english=english()
        )
        return pb.AppleLoginResponse(
            session=session_message(done.tokens),
            access_token=done.tokens.access_token,
            refresh_token=done.tokens.refresh_token,
            expires_in=done.tokens.expires_in_s,
            user_id=done.tokens.user_id,
            is_new=done.is_new,
        )

    async def ListLogins(self, request: pb.ListLoginsRequest, context: ServicerContext) -> pb.ListLoginsResponse:
        """List the logins of the person."""
        found, more = await self._log.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListLoginsResponse(logins=[_record(each) for each in found], next_page_token=more)


def _only(request: pb.LoginRequest | pb.RegisterRequest, *names: str) -> str:
    """Return the one field of these that is filled; ParamInvalid for none and for several that differ."""
    given = {str(getattr(request, name)) for name in names if getattr(request, name)}
    if len(given) != 1:
        raise ParamInvalid.of(names[0], f"one of {', '.join(names)} is needed")
    return given.pop()


def _record(record: LoginRecord) -> pb.LoginRecord:
    return pb.LoginRecord(
        login_id=record.login_id,
        provider=PROVIDERS[record.provider] if record.provider else user_pb2.Identity.PROVIDER_UNSPECIFIED,
        by_password=record.method is Method.PASSWORD,
        result=_RESULTS[record.result],
        platform=record.origin.platform,
        device=device_name(record.origin.agent),
        address=record.origin.address,
        create_time=timestamp(record.create_time),
    )
