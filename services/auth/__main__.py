"""The Auth server: configuration, database, Redis, doors, carriers, use cases, servicers, serve."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from cadenza.auth.v1.code_service_pb2_grpc import add_CodeServiceServicer_to_server
from cadenza.auth.v1.identity_service_pb2_grpc import add_IdentityServiceServicer_to_server
from cadenza.auth.v1.login_service_pb2_grpc import add_LoginServiceServicer_to_server
from cadenza.auth.v1.merge_service_pb2_grpc import add_MergeServiceServicer_to_server
from cadenza.auth.v1.notification_service_pb2_grpc import add_NotificationServiceServicer_to_server
from cadenza.auth.v1.password_service_pb2_grpc import add_PasswordServiceServicer_to_server
from cadenza.auth.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from cadenza.auth.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server
from cadenza.composer.v1.ownership_service_pb2_grpc import OwnershipServiceStub as ComposerOwnershipStub
from cadenza.media.v1.ownership_service_pb2_grpc import OwnershipServiceStub as MediaOwnershipStub
from cadenza.share.v1.ownership_service_pb2_grpc import OwnershipServiceStub as ShareOwnershipStub
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from cadenza.wallet.v1.ownership_service_pb2_grpc import OwnershipServiceStub as WalletOwnershipStub
from services.auth.config import Config
from services.auth.domain.pepper import Pepper
from services.auth.providers import AppleDoor, CodeSender, WechatDoor, WechatPhones
from services.auth.providers.aliyun_sms import AliyunSms
from services.auth.providers.apple import Apple, AppleOff
from services.auth.providers.smtp import Smtp
from services.auth.providers.wechat import Wechat, WechatOff
from services.auth.providers.wechat_phone import WechatPhone, WechatPhoneOff
from services.auth.rpc.code import CodeServicer
from services.auth.rpc.identity import IdentityServicer
from services.auth.rpc.login import LoginServicer
from services.auth.rpc.merge import MergeServicer
from services.auth.rpc.notification import NotificationServicer
from services.auth.rpc.password import PasswordServicer
from services.auth.rpc.session import SessionServicer
from services.auth.rpc.user import UserServicer
from services.auth.usecases.account import Accounts
from services.auth.usecases.binding import Bindings, Ways
from services.auth.usecases.closing import ERASE, Closings
from services.auth.usecases.code import Codes
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.estate import Estates
from services.auth.usecases.guard import Guards
from services.auth.usecases.identity import Identities
from services.auth.usecases.login import AppleLogins, CodeLogins, Logins, WechatLogins
from services.auth.usecases.login_log import LoginLog
from services.auth.usecases.merge import MERGE, UNMERGE, Merges, Offers
from services.auth.usecases.message import MESSAGE, Messages
from services.auth.usecases.notification import Notices
from services.auth.usecases.password import PasswordChanges
from services.auth.usecases.session import Sessions
from services.auth.usecases.signing_key import SigningKeys
from services.auth.usecases.user import Users
from services.kit.clock import Clock, now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.http import HttpClient
from services.kit.passwords import Passwords
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve
from services.kit.sealing import Sealer
from services.kit.wechat import WechatApi

if TYPE_CHECKING:
    from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceAsyncStub
    from services.kit.jobs.outbox import OutboxHandler

_PURGE_EVERY_S = 3600.0

Background = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def build(config: Config, peers: Peers, *, clock: Clock = now) -> AsyncIterator[Application]:
    """Yield Auth, ready to be served; it calls Wallet."""
    async with AsyncExitStack() as stack:
        db = Database(config.database_url)
        stack.push_async_callback(db.close)
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        outside = await _open_outside(config, stack, redis, clock)
        hasher = Passwords()
        stack.callback(hasher.close)
        wallet = CreditServiceStub(peers.channel("wallet"))
        estates = Estates(
            wallet=WalletOwnershipStub(peers.channel("wallet")),
            composer=ComposerOwnershipStub(peers.channel("composer")),
            media=MediaOwnershipStub(peers.channel("media")),
            share=ShareOwnershipStub(peers.channel("share")),
        )

        async def ping_redis() -> None:
            await redis.ping()

        services, background = _assembled(
            config, db, redis, outside, hasher=hasher, wallet=wallet, estates=estates, clock=clock
        )
        yield Application(
            name="auth",
            services=services,
            pings={"database": db.ping, "redis": ping_redis},
            background=background,
        )


def _assembled(
    config: Config, db: Database, redis: Redis, outside: "_Outside", *, hasher: Passwords,
    wallet: "CreditServiceAsyncStub", estates: Estates, clock: Clock,
) -> tuple[list[Registered], list[Background]]:  # fmt: skip
    """Return the servicers over their use cases, and what runs beside them."""
    lifetimes, countries = config.lifetimes, config.sms_countries
    sealer = Sealer.from_hex(config.encryption_key, config.encryption_keys_old)
    pepper = Pepper.from_hex(config.encryption_key, config.encryption_keys_old)
    keys = SigningKeys(db, sealer, clock, access_ttl=lifetimes.access, **config.signing_key_times)
    messages = Messages(db, sealer, clock, sms=outside.sms, mail=outside.mail)
    more: dict[str, OutboxHandler] = {
        MESSAGE: messages.send,
        # Made below, because what they do needs the delivery in its turn.
        MERGE: lambda payload: merges.move(payload),  # noqa: PLW0108  # bound late
        UNMERGE: lambda payload: merges.move_back(payload),  # noqa: PLW0108  # bound late
        ERASE: lambda payload: closings.erase_elsewhere(payload),  # noqa: PLW0108  # bound late
    }
    delivery = Delivery(db, wallet, redis, clock, access_ttl=lifetimes.access, more=more)
    sessions = Sessions(db, keys, delivery, clock, lifetimes=lifetimes, pepper=pepper)
    identities = Identities(pepper, sealer)
    notices = Notices(db, identities, messages, clock)
    log = LoginLog(db, notices, clock)
    logins = Logins(db, sessions, delivery, clock, log=log)
    wechat = WechatLogins(logins, outside.wechat, redis, sealer)
    apple = AppleLogins(logins, outside.apple, identities)
    codes = Codes(db, messages, pepper, clock, figures=config.code_rules, kick=delivery.dispatcher.kick)
    guards = Guards(db, pepper, clock)
    by_code = CodeLogins(logins, codes, identities)
    accounts = Accounts(
        db, hasher, clock, sessions=sessions, codes=codes, guards=guards, identities=identities,
        delivery=delivery, log=log, notices=notices,
    )  # fmt: skip
    changes = PasswordChanges(
        db, hasher, clock, sessions=sessions, codes=codes, guards=guards, identities=identities, notices=notices
    )
    closings = Closings(
        db, hasher, clock, sessions=sessions, codes=codes, guards=guards, identities=identities, notices=notices,
        estates=estates,
    )  # fmt: skip
    ways = Ways(codes, wechat, outside.phones, outside.apple, identities=identities, countries=countries)
    bindings = Bindings(db, sessions, identities, clock, offers=Offers(clock), notices=notices)
    merges = Merges(db, sessions, estates, clock, notices=notices)
    users = UserServicer(Users(db, identities, clock), closings, countries=countries)
    login = LoginServicer(accounts, by_code, apple, log, countries=countries)
    purges = (sessions.purge, codes.purge, messages.purge, log.purge, guards.purge, notices.purge)
    return [
        Registered(add_SessionServiceServicer_to_server, SessionServicer(logins, wechat, sessions, keys)),
        Registered(add_UserServiceServicer_to_server, users),
        Registered(add_NotificationServiceServicer_to_server, NotificationServicer(notices)),
        Registered(add_CodeServiceServicer_to_server, CodeServicer(codes, messages, countries=countries)),
        Registered(add_LoginServiceServicer_to_server, login),
        Registered(add_IdentityServiceServicer_to_server, IdentityServicer(ways, bindings, countries=countries)),
        Registered(add_MergeServiceServicer_to_server, MergeServicer(merges)),
        Registered(add_PasswordServiceServicer_to_server, PasswordServicer(changes, countries=countries)),
    ], [delivery.dispatcher.run, lambda: _purge_for_ever(closings.erase_due, *purges)]


@dataclass(frozen=True)
class _Outside:
    """Those whom Auth asks or who carry for it."""

    wechat: WechatDoor
    phones: WechatPhones
    apple: AppleDoor
    sms: CodeSender | None
    mail: Smtp | None


async def _open_outside(config: Config, stack: AsyncExitStack, redis: Redis, clock: Clock) -> _Outside:
    """Return the doors and carriers that are configured, closed with the stack."""
    clients = [
        await stack.enter_async_context(HttpClient(name, private_allowed=True))
        for name in ("wechat", "apple", "aliyun_sms")
    ]
    mail = _smtp(config, clock)
    if mail is not None:
        stack.callback(mail.close)
    wechat, apple, sms = clients
    return _Outside(
        _wechat_door(config, wechat),
        _wechat_phones(config, wechat, redis),
        _apple_door(config, apple, clock),
        _sms(config, sms, clock),
        mail,
    )


def _wechat_door(config: Config, http: HttpClient) -> WechatDoor:
    """Return WeChat if a mini-program is configured."""
    if not config.wechat_app_id:
        return WechatOff()
    return Wechat(
        http,
        base_url=config.wechat_base_url,
        app_id=config.wechat_app_id,
        app_secret=config.wechat_app_secret,
        timeout_s=config.wechat_timeout_s,
    )


def _wechat_phones(config: Config, http: HttpClient, redis: Redis) -> WechatPhones:
    """Return who knows phones by WeChat if a mini-program is configured."""
    if not config.wechat_app_id:
        return WechatPhoneOff()
    api = WechatApi(http, redis, config)
    return WechatPhone(api, app_id=config.wechat_app_id)


def _apple_door(config: Config, http: HttpClient, clock: Clock) -> AppleDoor:
    """Return Apple if a program of ours is configured."""
    if not config.apple_client_ids:
        return AppleOff()
    return Apple(
        http,
        clock,
        base_url=config.apple_base_url,
        client_ids=config.apple_client_ids,
        timeout_s=config.apple_timeout_s,
    )


def _sms(config: Config, http: HttpClient, clock: Clock) -> CodeSender | None:
    """Return the carrier of short messages if one is configured."""
    if not config.sms_access_key_id:
        return None
    return AliyunSms(
        http,
        clock,
        base_url=config.sms_base_url,
        key_id=config.sms_access_key_id,
        key_secret=config.sms_access_key_secret,
        sign_name=config.sms_sign_name,
        template_code=config.sms_template_code,
        timeout_s=config.sms_timeout_s,
    )


def _smtp(config: Config, clock: Clock) -> Smtp | None:
    """Return the mail server if one is configured."""
    if not config.smtp_host:
        return None
    return Smtp(
        clock,
        host=config.smtp_host,
        port=config.smtp_port,
        security=config.smtp_security,
        user=config.smtp_user,
        password=config.smtp_password,
        sender=config.smtp_from,
        timeout_s=config.smtp_timeout_s,
    )


async def _purge_for_ever(*purges: Callable[[], Awaitable[int]]) -> None:
    """Remove what has been over for long every hour; a failure is retried by whoever runs the loop."""
    while True:
        await asyncio.sleep(_PURGE_EVERY_S)
        for purge in purges:
            await purge()


def main() -> None:
    """Serve Auth until SIGTERM."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
