"""The job that makes recordings playable, on the real runner: attempts, outages, ends; and the sweep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, update

from cadenza.media.v1 import asset_service_pb2 as pb
from services.kit.clock import now
from services.kit.db.engine import Database
from services.kit.db.migrate import check
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.jobs.postgres import PostgresJobs
from services.kit.jobs.queue import JobQueue
from services.kit.jobs.signals import RedisSignals
from services.kit.objects.local import LocalObjectStore
from services.media.config import Config
from services.media.domain.asset import Asset, Kind
from services.media.domain.errors import AssetNotFound
from services.media.domain.upload import Limits
from services.media.storage import asset as assets
from services.media.storage.tables import jobs, objects
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import POLICY, Sweep
from services.media.usecases.upload import Announced, Made, Origin, Uploads
from tests.conftest import SettableClock
from tests.media.conftest import SECRET, Media, running
from tests.media.recordings import sound
from tests.media.test_upload_rpc import get, upload


async def _job_row(media: Media) -> Any:
    query = select(jobs.jobs).where(jobs.jobs.c.user_id == media.user_id)
    async with media.db.transaction() as tx:
        return (await tx.execute(query)).mappings().one()


async def _due(media: Media) -> None:
    """Let the person's job be due now instead of after its pause."""
    statement = update(jobs.jobs).where(jobs.jobs.c.user_id == media.user_id)
    async with media.db.transaction() as tx:
        await tx.execute(statement.values(run_after=jobs.jobs.c.create_time))


async def test_store_away(media: Media, config: Config) -> None:
    """A job that finds the object store away is tried again and succeeds when it is back."""
    asset = await upload(media, sound("take.wav"))
    folder = config.object_store_directory
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    folder.write_text("in the way")
    await media.settle()
    row = await _job_row(media)
    folder.unlink()
    hidden.rename(folder)

    assert (row["state"], row["attempt"]) == ("queued", 1)
    assert (await get(media, asset.asset_id)).state == pb.Asset.STATE_PROCESSING
    await _due(media)
    await media.settle()
    assert (await get(media, asset.asset_id)).state == pb.Asset.STATE_READY
    assert (await _job_row(media))["attempt"] == 2


async def test_given_up(config: Config, tmp_path: Path) -> None:
    """After three attempts without an ffmpeg the asset fails, its file goes, and nothing inside is told."""
    async with running(replace(config, ffmpeg_binary=str(tmp_path / "no-ffmpeg"))) as media:
        asset = await upload(media, sound("take.wav"))
        for _ in range(POLICY.max_attempts):
            await _due(media)
            await media.settle()
        failed = await get(media, asset.asset_id)

        assert (failed.state, failed.error.reason, failed.error.code) == (
            pb.Asset.STATE_FAILED,
            "JOB_ATTEMPTS_EXHAUSTED",
            40016,
        )
        assert "no-ffmpeg" not in failed.error.message
        assert await media.left_behind() == (1, 0)


async def test_deadline(media: Media) -> None:
    """A job that nobody starts fails by the sweeper when its time is up, and its asset with it."""
    asset = await upload(media, sound("take.wav"))
    statement = update(jobs.jobs).where(jobs.jobs.c.user_id == media.user_id)
    async with media.db.transaction() as tx:
        await tx.execute(statement.values(deadline_time=jobs.jobs.c.create_time))
    await media.worker.sweeper.sweep()
    await media.settle()

    failed = await get(media, asset.asset_id)
    assert failed.error.reason == "JOB_DEADLINE_EXCEEDED"
    assert await media.left_behind() == (1, 0)


async def test_stored_step(media: Media) -> None:
    """A second attempt after a crash behind the step takes the stored sound instead of making another."""
    asset = await upload(media, sound("take.wav"))
    transcode: Any = media.worker.runner._handlers[POLICY.kind]
    ready = transcode._transcodes.ready

    async def crash(*_: object) -> None:
        raise ConnectionResetError

    transcode._transcodes.ready = crash
    await media.settle()
    files = set(media.files())
    transcode._transcodes.ready = ready
    await _due(media)
    await media.settle()

    assert (await get(media, asset.asset_id)).state == pb.Asset.STATE_READY
    assert set(media.files()) == files


async def test_temporary_folder(media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a job did, nothing of it stays in the temporary folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for data in (sound("take.wav"), sound("take.mp3", 4.0)[:30_000]):
        await upload(media, data)
        await media.settle()

    assert list(scratch.iterdir()) == []


def test_tables_equal_migrations(database_url: str) -> None:
    """The tables in the code are those that the migrations make."""
    assert check(database_url, "media") == []


@dataclass
class Shelves:
    """Uploads and the sweep under a clock that a test sets."""

    db: Database
    store: LocalObjectStore
    shelf: Shelf
    uploads: Uploads
    sweep: Sweep
    queue: JobQueue
    origin: Origin

    async def keys(self) -> set[str]:
        """Return every key in the ledger."""
        async with self.db.transaction() as tx:
            return set((await tx.execute(select(objects.c.object_key))).scalars())

    async def find(self, asset: Asset) -> Asset:
        """Return the asset as it is now."""
        async with self.db.transaction() as tx:
            return await assets.get(tx, asset.asset_id, asset.user_id)


@asynccontextmanager
async def _shelves(db: Database, redis: Redis, clock: SettableClock, folder: Path) -> AsyncIterator[Shelves]:
    store = LocalObjectStore(folder, SECRET, "http://127.0.0.1:1", clock=clock)
    shelf = Shelf(db, store, clock, read_s=3600, write_s=900)
    queue = JobQueue(PostgresJobs("media", jobs), {POLICY.kind: POLICY}, RedisSignals(redis), clock)
    day = timedelta(hours=24)
    uploads = Uploads(db, queue, shelf, clock, limits=Limits(), abandoned=day, open_most=9)
    yield Shelves(db, store, shelf, uploads, Sweep(db, shelf, clock, abandoned=day), queue, Origin(user_id=new_id()))
    queue.close()


@pytest.fixture
async def shelves(db: Database, redis: Redis, clock: SettableClock, tmp_path: Path) -> AsyncIterator[Shelves]:
    """Yield uploads and the sweep on the test's clock."""
    async with _shelves(db, redis, clock, tmp_path / "objects") as made:
        yield made


async def _pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


_MADE = Made(kind=Kind.MUSIC, filename="A.mp3", content_type="audio/mpeg")


async def test_abandoned(shelves: Shelves, clock: SettableClock) -> None:
    """An announced upload that never comes is gone after a day, with a file that came unasked; others stay."""
    announced = Announced(filename="take.wav", content_type="audio/wav", size_bytes=4)
    asset, _ = await shelves.uploads.presign(shelves.origin, announced, "")
    kept = await shelves.uploads.store(shelves.origin, _MADE, _pieces(sound("take.mp3")))
    await shelves.store.put(asset.raw_key, b"abcd", content_type="audio/wav")
    clock.advance(23 * 3600)
    await shelves.sweep.once()
    assert (await shelves.find(asset)).raw_key == asset.raw_key

    clock.advance(2 * 3600)
    await shelves.sweep.once()
    await shelves.shelf.dispatcher.drain()

    with pytest.raises(AssetNotFound):
        await shelves.find(asset)
    assert await shelves.store.head(asset.raw_key) is None
    assert await shelves.store.head(kept.storage_key) is not None
    assert {asset.raw_key, kept.storage_key} & await shelves.keys() == {kept.storage_key}


async def test_crash_while_storing(shelves: Shelves, clock: SettableClock) -> None:
    """Bytes whose asset was never committed are found in the ledger and removed an hour later."""
    await shelves.shelf.announce("raw/orphan.wav")
    await shelves.shelf.put("raw/orphan.wav", b"RIFF", "audio/wav")
    clock.advance(3000)
    await shelves.sweep.once()
    await shelves.shelf.dispatcher.drain()
    assert await shelves.store.head("raw/orphan.wav") is not None

    clock.advance(700)
    await shelves.sweep.once()
    await shelves.shelf.dispatcher.drain()
    assert await shelves.store.head("raw/orphan.wav") is None
    assert "raw/orphan.wav" not in await shelves.keys()


async def test_too_late(shelves: Shelves, clock: SettableClock) -> None:
    """A file completed after its time was up is not taken, instead of being taken and then swept."""
    announced = Announced(filename="take.wav", content_type="audio/wav", size_bytes=4)
    asset, _ = await shelves.uploads.presign(shelves.origin, announced, "")
    await shelves.store.put(asset.raw_key, b"RIFF", content_type="audio/wav")
    clock.advance(25 * 3600)
    await shelves.sweep.once()

    with pytest.raises(AssetNotFound):
        await shelves.uploads.complete(shelves.origin, asset.asset_id)


async def test_store_fails(shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload during an outage of the store is refused as unavailable and leaves no asset."""

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("away", dependency="objects")

    monkeypatch.setattr(shelves.store, "put", away)
    with pytest.raises(Unavailable):
        await shelves.uploads.receive(shelves.origin, Announced(filename="a.mp3"), _pieces(sound("take.mp3")))

    async with shelves.db.transaction() as tx:
        assert await assets.open_count(tx, shelves.origin.user_id) == 0


async def test_commit_fails(shelves: Shelves, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose asset could not be written is removed again at once."""

    async def broken(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(shelves.queue, "create", broken)
    with pytest.raises(ConnectionResetError):
        await shelves.uploads.receive(shelves.origin, Announced(filename="a.mp3"), _pieces(sound("take.mp3")))
    await shelves.shelf.dispatcher.drain()

    async with shelves.db.transaction() as tx:
        assert await assets.open_count(tx, shelves.origin.user_id) == 0
    files = [path for path in shelves.store._root.rglob("*") if path.is_file()]
    assert files == []


async def test_concurrent_stores(shelves: Shelves) -> None:
    """The same request id stored by two workers at once is one asset and one file."""
    origin = replace(shelves.origin, request_id="job:A")
    both = await asyncio.gather(*(shelves.uploads.store(origin, _MADE, _pieces(sound("take.mp3"))) for _ in range(2)))
    await shelves.shelf.dispatcher.drain()

    assert both[0].asset_id == both[1].asset_id
    assert len(list(shelves.store._root.rglob("*.json"))) == 1


@pytest.mark.parametrize(("days", "files"), [(30.0, 2), (-1.0, 1), (0.0, 2)])
async def test_what_the_client_sent_goes_later(config: Config, days: float, files: int) -> None:
    """A file as it came is kept for a while beside the playable one, then it goes; the asset stays playable."""
    object.__setattr__(config, "raw_kept_days", days)
    async with running(config) as media:
        asset = await upload(media, sound("take.wav"))
        await media.settle()
        shelf = Shelf(media.db, media.store, now, read_s=60, write_s=60)
        await Sweep(media.db, shelf, now, abandoned=timedelta(hours=24)).once()
        await media.worker.dispatcher.drain()  # type: ignore[union-attr]
        ready = await get(media, asset.asset_id)
        assert ready.state == pb.Asset.STATE_READY
        assert await media.store.head(ready.storage_key) is not None
        assert len(media.files()) == 2 * files
