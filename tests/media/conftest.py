"""Media as its composition roots build it, in one process with a stand-in for Composer."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cadenza.composer.v1 import track_service_pb2 as composer
from cadenza.composer.v1 import track_service_pb2_grpc as composer_grpc
from cadenza.media.v1 import asset_service_pb2_grpc as media_grpc
from services.kit.db.engine import Database
from services.kit.ids import new_id
from services.kit.jobs.worker import WorkerParts
from services.kit.objects.local import LocalObjectStore
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import concerns
from services.kit.rpc.local import LocalMesh
from services.media.__main__ import build
from services.media.config import Config
from services.media.storage.tables import assets, jobs
from services.media.worker import runner
from tests.kit.rpc_layouts import Issuer, bearer

SECRET = "0123456789abcdef0123456789abcdef"


class Tracks(composer_grpc.TrackServiceServicer):
    """Says which assets songs are being made from."""

    def __init__(self) -> None:
        """Begin with none in use."""
        self.in_use: set[str] = set()

    async def CheckAssetUse(  # noqa: N802  # gRPC's spelling
        self, request: Any, context: Any
    ) -> composer.CheckAssetUseResponse:
        """Return whether the test said so."""
        return composer.CheckAssetUseResponse(in_use=request.asset_id in self.in_use)


@dataclass
class Media:
    """A running Media and the way to be somebody who uses it."""

    config: Config
    mesh: LocalMesh
    issuer: Issuer
    worker: WorkerParts
    db: Database
    tracks: Tracks
    store: LocalObjectStore
    application: Application
    user_id: str = field(default_factory=new_id)

    def metadata(self, user_id: str = "", **entries: str) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a person's call."""
        token = self.issuer.token(sub=user_id or self.user_id)
        return (*bearer(token), *((name.replace("_", "-"), value) for name, value in entries.items()))

    def stub(self, caller: str = "gateway") -> "media_grpc.AssetServiceAsyncStub":
        """Return Media's stub as this caller."""
        return media_grpc.AssetServiceStub(self.mesh.peers(caller).channel("media"))

    async def settle(self) -> None:
        """Run every job of the person that waits, and then everything the outbox holds."""
        table = jobs.jobs
        query = select(table.c.job_id).where(table.c.state == "queued", table.c.user_id == self.user_id)
        async with self.db.transaction() as tx:
            waiting = (await tx.execute(query)).scalars().all()
        for job_id in waiting:
            await self.worker.runner.run(job_id)
        assert self.worker.dispatcher is not None
        await self.worker.dispatcher.drain()

    async def left_behind(self) -> tuple[int, int]:
        """Return how many of the person's assets and how many stored files there are."""
        async with self.db.transaction() as tx:
            rows = await tx.execute(select(assets.c.asset_id).where(assets.c.user_id == self.user_id))
        return len(rows.all()), len(self.files())

    def files(self) -> list[Path]:
        """Return every file of the object store that holds bytes."""
        return [path for path in self.config.object_store_directory.rglob("*") if path.is_file()]


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Media]:
    """Yield Media with the loops of server and worker standing still: a test runs what it wants to run."""
    mesh, issuer = LocalMesh(), Issuer()
    tracks = Tracks()  # type: ignore[abstract]  # the one method that Media calls
    around = concerns("media", verifier=issuer.verifier())
    async with AsyncExitStack() as stack:
        application = await stack.enter_async_context(build(config, mesh.peers("media")))
        worker = await stack.enter_async_context(runner(config, mesh.peers("media")))
        mesh.add(application, around)
        add = composer_grpc.add_TrackServiceServicer_to_server
        mesh.add(Application("composer", [Registered(add, tracks)]), around)
        db = Database(config.database_url)
        stack.push_async_callback(db.close)
        store = LocalObjectStore(
            config.object_store_directory, config.object_url_secret, config.public_url, bucket=config.s3_bucket
        )
        yield Media(config, mesh, issuer, worker, db, tracks, store, application)
        await mesh.drain(1.0)


@pytest.fixture
def config(database_url: str, redis_url: str, tmp_path: Path) -> Config:
    """Return settings on the test's own database and folder."""
    return Config(
        database_url=database_url,
        redis_url=redis_url,
        object_store_directory=tmp_path / "objects",
        object_url_secret=SECRET,
        public_url="http://127.0.0.1:8080",
    )


@pytest.fixture
async def media(config: Config) -> AsyncIterator[Media]:
    """Yield a running Media."""
    async with running(config) as made:
        yield made
