"""The Media server: configuration, database, object store, use cases, servicer, serve."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceStub
from cadenza.media.v1.asset_service_pb2_grpc import add_AssetServiceServicer_to_server
from cadenza.media.v1.image_service_pb2_grpc import add_ImageServiceServicer_to_server
from cadenza.media.v1.ownership_service_pb2_grpc import add_OwnershipServiceServicer_to_server
from cadenza.media.v1.resumable_upload_service_pb2_grpc import add_ResumableUploadServiceServicer_to_server
from cadenza.media.v1.slice_service_pb2_grpc import add_SliceServiceServicer_to_server
from cadenza.media.v1.waveform_service_pb2_grpc import add_WaveformServiceServicer_to_server
from services.kit.clock import now
from services.kit.config import load
from services.kit.db.engine import Database
from services.kit.db.ownership import Ownership
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.signals import RedisSignals
from services.kit.objects.choice import object_store
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.channel import Peers
from services.kit.rpc.serve import serve
from services.media.config import Config
from services.media.jobs.picture import Pictures
from services.media.providers.content_hook import ContentHook
from services.media.rpc.asset import AssetServicer
from services.media.rpc.image import ImageServicer
from services.media.rpc.ownership import OwnershipServicer
from services.media.rpc.resumable_upload import ResumableUploadServicer
from services.media.rpc.slice import SliceServicer
from services.media.rpc.waveform import WaveformServicer
from services.media.storage.ownership import OWNED
from services.media.storage.tables import jobs, moves
from services.media.usecases.asset import Assets
from services.media.usecases.image import Images
from services.media.usecases.resumable_upload import ResumableUploads
from services.media.usecases.shelf import Shelf
from services.media.usecases.slice import POLICIES, Slices
from services.media.usecases.transcode import Sweep, Transcodes
from services.media.usecases.upload import Uploads
from services.media.usecases.waveform import Waveforms


@asynccontextmanager
async def build(config: Config, peers: Peers) -> AsyncIterator[Application]:
    """Yield Media, ready to be served; of the others it calls Composer only."""
    async with AsyncExitStack() as stack:
        db = Database(config.database_url)
        stack.push_async_callback(db.close)
        redis = connect(config.redis_url)
        stack.push_async_callback(redis.aclose)
        abandoned = timedelta(hours=config.upload_abandoned_h)
        shelf = Shelf(db, object_store(config), now, read_s=config.asset_url_s, write_s=config.upload_url_s)
        await shelf.prepare()
        on_end = Transcodes(db, shelf, now).on_end
        queue = JobQueue(PostgresJobs("media", jobs), POLICIES, RedisSignals(redis), now, on_end=on_end)
        stack.callback(queue.close)
        assets = Assets(db, queue, shelf, TrackServiceStub(peers.channel("composer")), now)
        uploads = Uploads(
            db,
            queue,
            shelf,
            now,
            limits=config.limits,
            abandoned=abandoned,
            open_most=config.assets_open_most,
        )
        resumable = ResumableUploads(db, shelf, uploads, now, abandoned=abandoned)
        check = None
        if config.content_check_url:
            check = ContentHook(config.content_check_url, config.content_check_secret)
            stack.push_async_callback(check.close)
        images = Images(db, shelf, Pictures(), now, check=check)
        slices = Slices(db, uploads, config.limits)
        ownership = Ownership(db, moves, OWNED, now)

        async def erase(user_id: str) -> int:
            # The files first, which ends the jobs that make them.
            return await assets.erase(user_id) + await ownership.erase(user_id)

        sweep = Sweep(db, shelf, now, abandoned=abandoned)
        yield Application(
            name="media",
            services=[
                Registered(add_AssetServiceServicer_to_server, AssetServicer(assets, uploads)),
                Registered(add_ResumableUploadServiceServicer_to_server, ResumableUploadServicer(resumable, assets)),
                Registered(add_ImageServiceServicer_to_server, ImageServicer(images, uploads, assets)),
                Registered(add_SliceServiceServicer_to_server, SliceServicer(slices, assets)),
                Registered(add_WaveformServiceServicer_to_server, WaveformServicer(Waveforms(db))),
                Registered(
                    add_OwnershipServiceServicer_to_server,
                    OwnershipServicer(ownership, erase),
                ),
            ],
            # Without Redis everything is taken in and only starts later, so its absence is no illness.
            pings={"database": db.ping, "objects": shelf.ping},
            background=[shelf.dispatcher.run, sweep.run, resumable.run],
        )


def main() -> None:
    """Serve Media until SIGTERM."""
    asyncio.run(serve(load(Config), build))


if __name__ == "__main__":
    main()
