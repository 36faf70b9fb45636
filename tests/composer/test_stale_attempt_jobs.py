"""What a worker that slept through its lease can still do to a song: nothing."""

import asyncio
from typing import Any

import pytest

from cadenza.media.v1 import asset_service_pb2 as media_pb2
from services.composer.usecases.track import MUSIC
from services.kit.jobs.errors import JobFailed, LeaseLost
from services.kit.jobs.job import Note
from services.kit.jobs.runner import JobRun, Runner
from services.kit.jobs.states import State
from tests.composer.studio import JPEG, Band, Studio, until


async def kinds(studio: Studio) -> list[int]:
    """Return what the person's assets are, in order of their kind."""
    listed = await studio.media().ListAssets(media_pb2.ListAssetsRequest(), metadata=studio.metadata())
    return sorted(each.kind for each in listed.assets)


async def test_a_stale_attempt_uploads_nothing(studio: Studio) -> None:
    """A worker that wakes after its job was taken over stores no sound, though its successor stored none yet."""
    sleeper, successor = studio.band, Band()
    sleeper.may_end.clear()
    successor.may_end.clear()
    answer = await studio.create()
    # No heartbeat during the test: the process is as good as stopped.
    stale = asyncio.create_task(studio.runner(heartbeat_s=1000).run(answer.job_id))
    await until(lambda: sleeper.playing == 2)
    await studio.queue_again(answer.job_id)
    fresh = asyncio.create_task(studio.runner(successor, successor).run(answer.job_id))
    await until(lambda: successor.playing == 2)

    sleeper.may_end.set()
    await asyncio.wait_for(stale, 30)
    assert await kinds(studio) == [media_pb2.Asset.KIND_RECORDING]
    job = await studio.job(answer.job_id)
    assert (job.state, job.attempt, job.lease_token, job.kills) == (State.RUNNING, 2, 2, 1)
    assert await studio.messages(answer.job_id) == []

    successor.may_end.set()
    await asyncio.wait_for(fresh, 30)
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    assert await studio.messages(answer.job_id) == ["settle"]
    assert await studio.entries() == [-20, 100]


async def test_the_refusal_is_a_lost_lease(studio: Studio) -> None:
    """What Media refuses to an earlier attempt ends it as a lost lease, which is no failure of the job."""
    answer = await studio.create()
    track = await studio.making.track(answer.track_id)
    await studio.making.fence(track, 2)
    cover: dict[str, Any] = {
        "kind": media_pb2.Asset.KIND_IMAGE,
        "filename": "cover.jpg",
        "content_type": "image/jpeg",
        "data": JPEG,
    }

    with pytest.raises(LeaseLost):
        await studio.making.store(track, lease_token=1, request_id=f"{answer.job_id}:cover", **cover)
    with pytest.raises(LeaseLost):
        await studio.making.fence(track, 1)
    assert await studio.making.store(track, lease_token=2, request_id=f"{answer.job_id}:cover", **cover)


@pytest.mark.parametrize("end", ["completes", "fails"])
async def test_a_stale_attempt_settles_nothing(studio: Studio, end: str) -> None:
    """An attempt whose lease was taken over before its end writes neither a settlement nor a release."""
    tried: list[str] = []

    async def late(run: JobRun) -> None:
        await studio.steal(run.job.job_id)
        tried.append(end)
        if end == "fails":
            raise JobFailed("TAKE_SILENT")
        with pytest.raises(LeaseLost):
            async with run.finish({"track_id": run.params["track_id"]}):
                tried.append("let in")
        raise LeaseLost

    answer = await studio.create()
    runner = Runner(studio.queue, studio.db, {MUSIC: late}, dispatcher=studio.charge.dispatcher, heartbeat_s=1000)
    await runner.run(answer.job_id)
    await studio.charge.dispatcher.drain()

    assert tried == [end]
    assert (await studio.job(answer.job_id)).state is State.RUNNING
    assert await studio.messages(answer.job_id) == []
    assert await studio.balance() == (80, 20)

    async with studio.db.transaction() as tx:
        job = await studio.queue.rows.lock(tx, answer.job_id)
        await studio.queue.requeue(tx, job, Note("its worker is gone"))
    assert (await studio.finish(answer.job_id)).state is State.COMPLETED
    assert await studio.messages(answer.job_id) == ["settle"]
    assert await studio.entries() == [-20, 100]
