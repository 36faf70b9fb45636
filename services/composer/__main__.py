"""Composition root of Composer's server: settings, database, queue, the services it calls, its own three services."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from redis.asyncio import Redis

from cadenza.auth.v1.notification_service_pb2_grpc import NotificationServiceStub
from cadenza.auth.v1.user_service_pb2_grpc import UserServiceStub
from cadenza.composer.v1.bill_service_pb2_grpc import add_BillServiceServicer_to_server
from cadenza.composer.v1.dead_letter_service_pb2_grpc import add_DeadLetterServiceServicer_to_server
from cadenza.composer.v1.export_service_pb2_grpc import add_ExportServiceServicer_to_server
from cadenza.composer.v1.job_service_pb2_grpc import add_JobServiceServicer_to_server
from cadenza.composer.v1.lyrics_service_pb2_grpc import add_LyricsServiceServicer_to_server
from cadenza.composer.v1.moderation_service_pb2_grpc import add_ModerationServiceServicer_to_server
from cadenza.composer.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server
from cadenza.composer.v1.showcase_service_pb2_grpc import add_ShowcaseServiceServicer_to_server
from cadenza.composer.v1.take_service_pb2_grpc import add_TakeServiceServicer_to_server
from cadenza.composer.v1.track_service_pb2_grpc import add_TrackServiceServicer_to_server
from cadenza.composer.v1.webhook_service_pb2_grpc import add_WebhookServiceServicer_to_server
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.composer.config import Config
from services.composer.domain.lyrics import LYRICS
from services.composer.jobs.lyrics import LyricsJob
from services.composer.jobs.webhook import Deliverer
from services.composer.providers.content_checks import ContentChecks
from services.composer.providers.lyrics_choice import lyrics_writers
from services.composer.providers.offline import OfflineProvider
from services.composer.providers.remote import RemoteEngine
from services.composer.providers.webhook_receiver import HttpReceivers
from services.composer.providers.word_list import word_list
from services.composer.rpc.bill import BillRpc
from services.composer.rpc.dead_letter import DeadLetterRpc
from services.composer.rpc.export import ExportRpc
from services.composer.rpc.job import JobRpc
from services.composer.rpc.lyrics import LyricsRpc
from services.composer.rpc.moderation import ModerationRpc
from services.composer.rpc.ownership import OwnershipServicer as OwnershipRpc
from services.composer.rpc.showcase import ShowcaseRpc
from services.composer.rpc.take import TakeRpc
from services.composer.rpc.track import TrackRpc
from services.composer.rpc.webhook import WebhookRpc
from services.composer.storage.ownership import OWNED
from services.composer.storage.tables import jobs as job_tables
from services.composer.storage.tables import moves
from services.composer.usecases.address import Addresses
from services.composer.usecases.bill import Bills
from services.composer.usecases.charge import Charge
from services.composer.usecases.dead_letter import DeadJobs
from services.composer.usecases.ending import ending
from services.composer.usecases.export import Exports
from services.composer.usecases.job import Jobs
from services.composer.usecases.lyrics import LyricsSheet, Songwriter
from services.composer.usecases.moderation import Moderation
from services.composer.usecases.notice import NOTIFY, Notices
from services.composer.usecases.open_id import OpenIds
from services.composer.usecases.showcase import Showcase
from services.composer.usecases.take import Hearings
from services.composer.usecases.track import Limits, Tracks, policies
from services.composer.usecases.webhook import Webhooks
from services.composer.usecases.webhook_delivery import Deliveries, announcing
from services.composer.usecases.writers import Writers
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.db.ownership import Ownership
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import Runner
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.sweeper import Sweeper
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve


@asynccontextmanager
async def build(config: Config, peers: Peers) -> AsyncIterator[Application]:
    """Yield the application, its connections open; they are closed at the end."""
    db = Database(config.database_url)
    redis = connect(config.redis_url)
    queue = _queue(config, redis)
    charge = _charge(db, queue, peers)
    media = AssetServiceStub(peers.channel("media"))
    limits = Limits(per_user=config.active_jobs_per_user, in_all=config.active_jobs_total)
    receivers = HttpReceivers(loopback_allowed=config.webhook_loopback)
    webhooks, deliverer = _webhooks(config, db, receivers)
    checks = ContentChecks(config, redis, OpenIds(UserServiceStub(peers.channel("auth"))))
    moderation = _moderation(config, db, checks, Addresses(media))
    tracks = Tracks(db=db, queue=queue, charge=charge, media=media, limits=limits, clock=now, moderation=moderation)
    offline = OfflineProvider(soundfont=str(config.soundfont or ""), ffmpeg=config.ffmpeg_binary)
    engine = RemoteEngine(config.engine_url, config.engine_key) if config.engine_url else offline
    hearings = Hearings(media=media, ear=engine, redis=redis)
    exports = Exports(db=db, queue=queue, media=media, clock=now)
    writers = Writers.configured(config, *lyrics_writers(config))
    writing = LyricsJob(sheet=LyricsSheet(db), provider=writers)
    runner = Runner(queue, db, {LYRICS: writing}, dispatcher=charge.dispatcher)
    songwriter = Songwriter(
        db=db, queue=queue, charge=charge, limits=limits, clock=now, start=runner.run, moderation=moderation
    )
    sweeper = Sweeper(queue, db, on_pending=charge.resume, log_kept=timedelta(days=config.job_log_days))

    showcase = Showcase(db, redis, now)
    dead = DeadJobs(db=db, queue=queue, charge=charge)

    async def ping_redis() -> None:
        await redis.ping()

    try:
        yield Application(
            name="composer",
            services=[
                Registered(add_TrackServiceServicer_to_server, TrackRpc(tracks, Addresses(media), now)),
                Registered(add_TakeServiceServicer_to_server, TakeRpc(hearings)),
                Registered(add_ExportServiceServicer_to_server, ExportRpc(exports)),
                Registered(add_LyricsServiceServicer_to_server, LyricsRpc(songwriter)),
                Registered(add_JobServiceServicer_to_server, JobRpc(Jobs(db=db, queue=queue, charge=charge))),
                Registered(add_DeadLetterServiceServicer_to_server, DeadLetterRpc(dead)),
                Registered(add_WebhookServiceServicer_to_server, WebhookRpc(webhooks)),
                Registered(add_BillServiceServicer_to_server, BillRpc(Bills(db))),
                Registered(add_ModerationServiceServicer_to_server, ModerationRpc(moderation)),
                Registered(add_ShowcaseServiceServicer_to_server, ShowcaseRpc(showcase)),
                Registered(add_OwnershipServiceServicer_to_server, OwnershipRpc(Ownership(db, moves, OWNED, now))),
            ],
            pings={"database": db.ping, "redis": ping_redis},
            background=[charge.dispatcher.run, sweeper.run, deliverer.run, showcase.warm],
        )
    finally:
        await hearings.stop()
        await checks.close()
        await engine.close()
        await runner.stop()
        await writers.close()
        queue.close()
        await redis.aclose()
        await db.close()


def _charge(db: Database, queue: JobQueue, peers: Peers) -> Charge:
    """Return what joins jobs, credits and the inboxes of their owners."""
    notices = Notices(NotificationServiceStub(peers.channel("auth")))
    wallet = CreditServiceStub(peers.channel("wallet"))
    return Charge(db=db, queue=queue, wallet=wallet, clock=now, more={NOTIFY: notices.send})


def _queue(config: Config, redis: Redis) -> JobQueue:
    """Return the queue of Composer's jobs."""
    store = PostgresJobs("composer", job_tables)
    return JobQueue(
        store,
        policies(config.music_deadline_s, config.music_pause_s),
        RedisSignals(redis),
        now,
        on_end=ending(store, now),
        on_start=announcing(now),
    )


def _moderation(config: Config, db: Database, checks: ContentChecks, addresses: Addresses) -> Moderation:
    """Return what keeps the rules for content."""
    return Moderation(
        db=db,
        clock=now,
        words=word_list(config.word_list_file),
        checks=checks.words,
        sound=checks.sound,
        addresses=addresses,
        push=checks.push,
    )


def _webhooks(config: Config, db: Database, receivers: HttpReceivers) -> tuple[Webhooks, Deliverer]:
    """Return the webhooks of users and what sends them."""
    sealer = config.sealer()
    kept = timedelta(days=config.webhook_log_days)
    deliverer = Deliverer(Deliveries(db=db, receivers=receivers, sealer=sealer, clock=now, kept=kept))
    webhooks = Webhooks(
        db=db,
        receivers=receivers,
        sealer=sealer,
        clock=now,
        per_user=config.webhooks_per_user,
        kick=deliverer.kick,
    )
    return webhooks, deliverer


def main() -> None:
    """Serve Composer until it is told to stop."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
