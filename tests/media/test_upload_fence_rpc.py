"""The fence before the object store: what an attempt at a job may store once a later attempt is known."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from cadenza.media.v1 import asset_service_pb2 as pb
from services.kit.clock import now
from services.kit.ids import new_id
from services.media.storage.tables import objects, upload_fences
from services.media.usecases.shelf import Shelf
from services.media.usecases.transcode import Sweep
from tests.kit.tiny_service import until
from tests.media.conftest import Media
from tests.media.recordings import sound
from tests.media.test_asset_rpc import store
from tests.media.test_upload_rpc import refusal


def lease(job_id: str, lease_token: int) -> pb.JobLease:
    """Return the name of one attempt."""
    return pb.JobLease(job_id=job_id, lease_token=lease_token)


async def fence(media: Media, job_id: str, lease_token: int, caller: str = "composer") -> None:
    """Make the attempt known."""
    await media.stub(caller).FenceUploads(pb.FenceUploadsRequest(lease=lease(job_id, lease_token)))


async def test_an_earlier_attempt_is_refused(media: Media) -> None:
    """Once an attempt is known an earlier one stores nothing, also when the later one has stored nothing either."""
    job_id = new_id()
    await fence(media, job_id, 2)
    error = await refusal(store(media, sound("take.mp3"), lease=lease(job_id, 1)))

    assert (error.reason, error.metadata) == ("JOB_LEASE_LOST", {"job_id": job_id, "lease_token": "1"})
    # No bytes were taken in, so nothing waits for its removal.
    assert await media.left_behind() == (0, 0)


async def test_the_latest_attempt_stores(media: Media) -> None:
    """The latest attempt stores as often as it likes, a later one takes its place, another job is not concerned."""
    job_id = new_id()
    for lease_token in (1, 1, 2, 5):
        await store(media, sound("take.mp3"), lease=lease(job_id, lease_token))
    error = await refusal(store(media, sound("take.mp3"), lease=lease(job_id, 4)))
    await store(media, sound("take.mp3"), lease=lease(new_id(), 1))
    await store(media, sound("take.mp3"))

    assert error.reason == "JOB_LEASE_LOST"
    assert (await media.left_behind())[0] == 6


async def test_a_repeat_of_a_later_attempt(media: Media) -> None:
    """A later attempt that stores what an earlier one stored gets the first asset; the earlier one gets nothing."""
    job_id, request_id = new_id(), new_id()
    first = await store(media, sound("take.mp3"), request_id=request_id, lease=lease(job_id, 1))
    again = await store(media, sound("take.mp3"), request_id=request_id, lease=lease(job_id, 2))
    error = await refusal(store(media, sound("take.mp3"), request_id=request_id, lease=lease(job_id, 1)))

    assert again.asset_id == first.asset_id
    assert error.reason == "JOB_LEASE_LOST"
    assert (await media.left_behind())[0] == 1


async def test_a_takeover_amid_a_stream(media: Media) -> None:
    """An attempt whose job is taken over while its bytes come is refused at the end, and its object goes."""
    job_id, data = new_id(), sound("take.mp3")
    header = pb.StoreHeader(
        request_id=new_id(),
        user_id=media.user_id,
        kind=pb.Asset.KIND_MUSIC,
        filename="A.mp3",
        content_type="audio/mpeg",
        lease=lease(job_id, 1),
    )
    taken_over = []
    async with media.db.transaction() as tx:
        before = await tx.scalar(select(func.count()).select_from(objects))

    async def announced() -> bool:
        async with media.db.transaction() as tx:
            return await tx.scalar(select(func.count()).select_from(objects)) != before

    async def messages() -> AsyncIterator[pb.StoreAssetRequest]:
        yield pb.StoreAssetRequest(header=header)
        yield pb.StoreAssetRequest(chunk=data[:10_000])
        # Its key is announced once the attempt was let in and the beginning of its file looked at.
        await until(announced)
        await fence(media, job_id, 2)
        taken_over.append(True)
        yield pb.StoreAssetRequest(chunk=data[10_000:])

    error = await refusal(media.stub("composer").StoreAsset(messages()))
    await media.settle()

    assert (taken_over, error.reason) == ([True], "JOB_LEASE_LOST")
    assert await media.left_behind() == (0, 0)


async def test_a_fence_never_goes_back(media: Media) -> None:
    """An earlier attempt cannot make itself known any more; the latest one may as often as it likes."""
    job_id = new_id()
    await fence(media, job_id, 3)
    await fence(media, job_id, 3)

    assert (await refusal(fence(media, job_id, 2))).reason == "JOB_LEASE_LOST"
    async with media.db.transaction() as tx:
        known = await tx.scalar(select(upload_fences.c.lease_token).where(upload_fences.c.job_id == job_id))
    assert known == 3


@pytest.mark.parametrize("caller", ["gateway", "share", "wallet"])
async def test_internal(media: Media, caller: str) -> None:
    """Only the service whose jobs store files makes attempts known."""
    assert (await refusal(fence(media, new_id(), 1, caller))).reason == "PERMISSION_DENIED"


async def test_bad_leases(media: Media) -> None:
    """A lease without a job or with a token below 1 is refused by the name of its field."""
    for job_id, lease_token, field in (("", 1, "lease.job_id"), (new_id(), 0, "lease.lease_token")):
        error = await refusal(fence(media, job_id, lease_token))
        assert (error.reason, error.metadata["field"]) == ("PARAM_INVALID", field)


async def test_old_fences_go(media: Media) -> None:
    """The fence of a job that stored nothing for a month is removed, a younger one stays."""
    old, young = new_id(), new_id()
    await fence(media, old, 1)
    await fence(media, young, 1)
    async with media.db.transaction() as tx:
        late = update(upload_fences).where(upload_fences.c.job_id == old)
        await tx.execute(late.values(update_time=now() - timedelta(days=31)))
    shelf = Shelf(media.db, media.store, now, read_s=60, write_s=60)
    await Sweep(media.db, shelf, now, abandoned=timedelta(hours=1)).once()

    async with media.db.transaction() as tx:
        found = await tx.execute(select(upload_fences.c.job_id).where(upload_fences.c.job_id.in_([old, young])))
    assert list(found.scalars()) == [young]
