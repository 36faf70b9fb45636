"""The Auth server: configuration, database, Redis, doors, use cases, servicers, serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from cadenza.auth.v1.session_service_pb2_grpc import add_SessionServiceServicer_to_server
from cadenza.auth.v1.user_service_pb2_grpc import add_UserServiceServicer_to_server
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.auth.config import Config
from services.auth.providers import WechatDoor
from services.auth.providers.wechat import Wechat, WechatOff
from services.auth.rpc.session import SessionServicer
from services.auth.rpc.user import UserServicer
from services.auth.usecases.delivery import Delivery
from services.auth.usecases.login import Logins, WechatLogins
from services.auth.usecases.session import Sessions
from services.auth.usecases.signing_key import SigningKeys
from services.auth.usecases.user import Users
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.http import HttpClient
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve
from services.kit.sealing import Sealer

_PURGE_EVERY_S = 3600.0


@asynccontextmanager
async def build(config: Config, peers: Peers) -> AsyncIterator[Application]:
    """Yield Auth, ready to be served; it calls Wallet."""
    async with AsyncExitStack() as stack:
        db = Database(config.database_url)
        stack.push_async_callback(db.close)
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        http = await stack.enter_async_context(HttpClient("wechat", private_allowed=True))

        lifetimes = config.lifetimes
        sealer = Sealer.from_hex(config.encryption_key, config.encryption_keys_old)
        longest = timedelta(seconds=config.signing_key_max_age)
        keys = SigningKeys(db, sealer, now, access_ttl=lifetimes.access, longest=longest)
        wallet = CreditServiceStub(peers.channel("wallet"))
        delivery = Delivery(db, wallet, redis, now, access_ttl=lifetimes.access)
        sessions = Sessions(db, keys, delivery, now, lifetimes=lifetimes)
        logins = Logins(db, sessions, delivery, now)
        wechat = WechatLogins(logins, _wechat_door(config, http), redis, sealer)

        async def ping_redis() -> None:
            await redis.ping()

        yield Application(
            name="auth",
            services=[
                Registered(add_SessionServiceServicer_to_server, SessionServicer(logins, wechat, sessions, keys)),
                Registered(add_UserServiceServicer_to_server, UserServicer(Users(db))),
            ],
            pings={"database": db.ping, "redis": ping_redis},
            background=[delivery.dispatcher.run, lambda: _purge_for_ever(sessions)],
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


async def _purge_for_ever(sessions: Sessions) -> None:
    """Remove long-expired sessions every hour; a failure is retried by whoever runs the loop."""
    while True:
        await asyncio.sleep(_PURGE_EVERY_S)
        await sessions.purge()


def main() -> None:
    """Serve Auth until SIGTERM."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
