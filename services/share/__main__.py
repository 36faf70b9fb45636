"""The Share server: configuration, database, use cases, servicer, serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from cadenza.share.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server
from cadenza.share.v1.report_service_pb2_grpc import add_ReportServiceServicer_to_server
from cadenza.share.v1.share_service_pb2_grpc import add_ShareServiceServicer_to_server
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.db.ownership import Ownership
from services.kit.http import HttpClient
from services.kit.passwords import Passwords
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve
from services.kit.wechat import WechatApi
from services.share.config import Config
from services.share.providers import MiniProgram
from services.share.providers.wechat import WechatMiniProgram
from services.share.rpc.ownership import OwnershipServicer
from services.share.rpc.report import ReportServicer
from services.share.rpc.share import ShareServicer
from services.share.storage.ownership import OWNED
from services.share.storage.tables import moves
from services.share.usecases.invitation import Invitations
from services.share.usecases.listing import PublicList
from services.share.usecases.play import Plays
from services.share.usecases.report import Reports
from services.share.usecases.share import Shares


@asynccontextmanager
async def build(config: Config, peers: Peers) -> AsyncIterator[Application]:
    """Yield Share, ready to be served; of the others it calls Composer and Media."""
    db = Database(config.database_url)
    redis, http = connect(config.redis_url), HttpClient("wechat", private_allowed=True)
    passwords = Passwords()
    tracks = TrackServiceStub(peers.channel("composer"))
    shares = Shares(db, tracks, now, passwords=passwords)
    listing = PublicList(db, tracks, now)
    plays = Plays(db, shares, now)
    media = AssetServiceStub(peers.channel("media"))
    invitations = Invitations(db, media, _program(config, http, redis), now)
    servicer = ShareServicer(shares, plays, listing, invitations=invitations, public_url=config.public_url)
    try:
        yield Application(
            name="share",
            services=[
                Registered(add_ShareServiceServicer_to_server, servicer),
                Registered(add_OwnershipServiceServicer_to_server, OwnershipServicer(Ownership(db, moves, OWNED, now))),
                Registered(add_ReportServiceServicer_to_server, ReportServicer(Reports(db, shares, now), now)),
            ],
            pings={"database": db.ping},
            background=[invitations.run],
        )
    finally:
        passwords.close()
        await http.close()
        await redis.aclose()
        await db.close()


def _program(config: Config, http: HttpClient, redis: Redis) -> MiniProgram | None:
    """Return the mini-program that shares open in, None when none is configured."""
    if not config.wechat_app_id:
        return None
    api = WechatApi(http, redis, config)
    return WechatMiniProgram(api, version=config.wechat_version)


def main() -> None:
    """Serve Share until SIGTERM."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
