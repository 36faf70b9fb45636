"""The Media worker: the jobs that make recordings playable and cut them, with its sweeper and outbox."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

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
from services.kit.objects.choice import object_store
from services.kit.redis import connect
from services.kit.rpc.channel import Peers
from services.media.config import Config
from services.media.jobs.ffmpeg import Ffmpeg, default_binary
from services.media.jobs.slice import Cut
from services.media.jobs.transcode import Transcode
from services.media.providers.content_hook import ContentHook
from services.media.storage.tables import jobs
from services.media.usecases.shelf import Shelf
from services.media.usecases.slice import POLICIES
from services.media.usecases.slice import POLICY as SLICE
from services.media.usecases.transcode import POLICY as TRANSCODE
from services.media.usecases.transcode import Transcodes

QUEUES = tuple(dict.fromkeys(policy.queue for policy in POLICIES.values()))


@asynccontextmanager
async def runner(config: Config, _peers: Peers | None = None) -> AsyncIterator[WorkerParts]:
    """Yield what Media brings into a worker process; its jobs call no other service."""
    async with AsyncExitStack() as stack:
        db = Database(config.database_url)
        stack.push_async_callback(db.close)
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        shelf = Shelf(db, object_store(config), now, read_s=config.asset_url_s, write_s=config.upload_url_s)
        transcodes = Transcodes(db, shelf, now, raw_kept=timedelta(days=config.raw_kept_days))
        queue = JobQueue(PostgresJobs("media", jobs), POLICIES, RedisSignals(redis), now, on_end=transcodes.on_end)
        stack.callback(queue.close)
        ffmpeg = Ffmpeg(config.ffmpeg_binary or default_binary())
        check = None
        if config.content_check_url:
            check = ContentHook(config.content_check_url, config.content_check_secret)
            stack.push_async_callback(check.close)
        handlers: dict[str, Handler] = {
            TRANSCODE.kind: Transcode(transcodes, shelf, ffmpeg, config.limits, check=check),
            SLICE.kind: Cut(transcodes, shelf, ffmpeg),
        }
        heart = ThreadHeart(lambda: Database(config.database_url, pool_size=1, max_overflow=1))
        stack.push_async_callback(heart.close)
        jobs_runner = Runner(queue, db, handlers, dispatcher=shelf.dispatcher, heart=heart)
        yield WorkerParts(
            name="media",
            runner=jobs_runner,
            sweeper=Sweeper(jobs_runner, db, log_kept=timedelta(days=config.job_log_days)),
            dispatcher=shelf.dispatcher,
            queues=QUEUES,
        )


def main() -> None:
    """Run Media's jobs until SIGTERM."""
    config = load(Config)
    log.configure("media-worker", config.log_level, config.log_directory)
    crash.arm(config.crash_points)
    stop_tracing = tracing.start("media-worker", config)
    try:
        work(QUEUES, together(lambda: runner(config)), config.redis_url, places=config.worker_concurrency)
    finally:
        stop_tracing()


if __name__ == "__main__":
    main()
