"""Composition root of Composer's worker: the same database and queue as the server, and the engine."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from cadenza.auth.v1.notification_service_pb2_grpc import NotificationServiceStub
from cadenza.media.v1.asset_service_pb2_grpc import AssetServiceStub
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from services.composer.config import Config
from services.composer.domain.export import EXPORT
from services.composer.domain.lyrics import LYRICS
from services.composer.domain.vendor import Limits
from services.composer.jobs.export import ExportJob
from services.composer.jobs.lyrics import LyricsJob
from services.composer.jobs.music import MusicJob
from services.composer.jobs.vendor import Manner, VendorLine
from services.composer.providers import Appraiser, Vendor
from services.composer.providers.ace_step import AceStep
from services.composer.providers.lyrics_choice import lyrics_writers
from services.composer.providers.minimax import MiniMax
from services.composer.providers.offline import OfflineProvider
from services.composer.providers.remote import RemoteEngine
from services.composer.providers.suno import SunoStyle
from services.composer.storage.tables import jobs as job_tables
from services.composer.usecases.charge import Charge
from services.composer.usecases.ending import ending
from services.composer.usecases.export import Exports
from services.composer.usecases.lyrics import LyricsSheet
from services.composer.usecases.making import Making
from services.composer.usecases.notice import NOTIFY, Notices
from services.composer.usecases.track import MUSIC, policies
from services.composer.usecases.vendor import VendorOrders
from services.composer.usecases.webhook_delivery import announcing
from services.composer.usecases.writers import Writers
from services.kit import crash, log, tracing
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.jobs.heart import ThreadHeart
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.runner import Handler, Runner
from services.kit.jobs.signals import RedisSignals
from services.kit.jobs.sweeper import Sweeper
from services.kit.jobs.worker import WorkerParts, together, work
from services.kit.redis import connect
from services.kit.rpc.channel import MtlsPeers, Peers

# Words before songs: they take milliseconds, and somebody may be waiting for them. What costs nothing comes last.
QUEUES = (LYRICS, MUSIC, EXPORT)


@asynccontextmanager
async def runner(config: Config, peers: Peers) -> AsyncIterator[WorkerParts]:
    """Yield what a worker process runs for Composer, its connections open; they are closed at the end."""
    db = Database(config.database_url, pool_size=2, max_overflow=6)
    redis = connect(config.redis_url)
    store = PostgresJobs("composer", job_tables)
    queue = JobQueue(
        store,
        policies(config.music_deadline_s, config.music_pause_s),
        RedisSignals(redis),
        now,
        on_end=ending(store, now),
        on_start=announcing(now),
    )
    notices = Notices(NotificationServiceStub(peers.channel("auth")))
    wallet = CreditServiceStub(peers.channel("wallet"))
    charge = Charge(db=db, queue=queue, wallet=wallet, clock=now, more={NOTIFY: notices.send})
    offline = OfflineProvider(soundfont=str(config.soundfont or ""), ffmpeg=config.ffmpeg_binary)
    engine = RemoteEngine(config.engine_url, config.engine_key) if config.engine_url else offline
    media = AssetServiceStub(peers.channel("media"))
    making = Making(db=db, media=media, clock=now)
    # Only songs of the engine that runs here have a recipe, whoever makes the new ones.
    export = ExportJob(exports=Exports(db=db, queue=queue, media=media, clock=now), making=making, maker=offline)
    writers = Writers.configured(config, *lyrics_writers(config))
    writing = LyricsJob(sheet=LyricsSheet(db), provider=writers)
    line = vendor_line(config, db, offline)
    music = MusicJob(making=making, listener=engine, provider=engine, at_once=config.variant_processes, vendors=line)
    # A hundred leases are a hundred and fifty beats a second, which two connections do not carry on a busy machine.
    heart = ThreadHeart(lambda: Database(config.database_url, pool_size=1, max_overflow=7))
    kinds: dict[str, Handler] = {LYRICS: writing, MUSIC: music, EXPORT: export}
    parts = Runner(queue, db, kinds, dispatcher=charge.dispatcher, heart=heart)
    try:
        yield WorkerParts(
            name="composer",
            runner=parts,
            sweeper=Sweeper(parts, db, on_pending=charge.resume, log_kept=timedelta(days=config.job_log_days)),
            dispatcher=charge.dispatcher,
            queues=QUEUES,
        )
    finally:
        await heart.close()
        queue.close()
        await engine.close()
        await writers.close()
        if line is not None:
            await line.close()
        await redis.aclose()
        await db.close()


def vendor_line(config: Config, db: Database, appraiser: Appraiser) -> VendorLine | None:
    """Return the makers of songs as they are configured, None when our own engine makes all of them."""
    openers: dict[str, Callable[[], Vendor]] = {
        "suno": lambda: SunoStyle(
            config.suno_url,
            config.suno_key,
            dialect=config.suno_dialect,
            model=config.suno_model,
            cost_usd=config.suno_usd,
        ),
        "minimax": lambda: MiniMax(
            config.minimax_url,
            config.minimax_key,
            model=config.minimax_music_model,
            cost_usd=config.minimax_music_usd,
        ),
        "ace_step": lambda: AceStep(config.ace_step_url, config.ace_step_key),
    }
    vendors = {name: openers[name]() for name in config.music_providers if name in openers}
    if not vendors:
        return None
    limits = Limits(shortest_s=config.music_shortest_s, wait=timedelta(seconds=config.music_vendor_deadline_s))
    manner = Manner(poll_s=config.music_poll_s, twice=config.music_pay_twice, limits=limits)
    return VendorLine(
        names=config.music_providers,
        vendors=vendors,
        orders=VendorOrders(db, now),
        appraiser=appraiser,
        manner=manner,
    )


def main() -> None:
    """Run Composer's jobs until SIGTERM."""
    config = load(Config)
    log.configure("composer-worker", config.log_level, config.log_directory)
    crash.arm(config.crash_points)

    @asynccontextmanager
    async def part() -> AsyncIterator[WorkerParts]:
        peers = MtlsPeers(config, "composer")
        try:
            async with runner(config, peers) as parts:
                yield parts
        finally:
            await peers.close()

    stop_tracing = tracing.start("composer-worker", config)
    try:
        work(QUEUES, together(part), config.redis_url, places=config.worker_concurrency, waiting=config.worker_waiting)
    finally:
        stop_tracing()


if __name__ == "__main__":
    main()
