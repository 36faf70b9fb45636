"""What becomes of a person's files when their account is erased: all of them go, and nobody else's."""

from typing import Any

import pytest
from sqlalchemy import func, select

from cadenza.media.v1 import ownership_service_pb2 as pb
from cadenza.media.v1.ownership_service_pb2_grpc import OwnershipServiceStub
from services.kit.ids import new_id
from services.media.storage import asset as storage
from services.media.storage.tables import jobs
from services.media.usecases import asset as usecase
from tests.media.conftest import Media
from tests.media.recordings import sound
from tests.media.test_asset_rpc import store
from tests.media.test_upload_rpc import get, refusal, upload


async def _erase(media: Media, user_id: str, caller: str = "auth") -> int:
    stub: Any = OwnershipServiceStub(media.mesh.peers(caller).channel("media"))
    return int((await stub.EraseOwned(pb.EraseOwnedRequest(user_id=user_id))).left_count)


async def _job_lines(media: Media, user_id: str) -> int:
    """Return how many lines there are of a person's jobs, their logs, steps and attempts."""
    ids = select(jobs.jobs.c.job_id).where(jobs.jobs.c.user_id == user_id)
    async with media.db.transaction() as tx:
        found = list((await tx.execute(ids)).scalars())
        below = (jobs.events, jobs.steps, jobs.attempts)
        lines = [select(func.count()).select_from(each).where(each.c.job_id.in_(found)) for each in below]
        return len(found) + sum([int((await tx.execute(each)).scalar_one()) for each in lines])


async def test_logs_and_results_go_too(media: Media) -> None:
    """With the account go its jobs with logs and results, also one that waits; another person's stay."""
    gone = media.user_id
    await upload(media, sound("take.wav"))
    await media.settle()
    await upload(media, sound("take.wav"))
    media.user_id = other = new_id()
    await upload(media, sound("take.mp3"))
    await media.settle()
    before = await _job_lines(media, gone), await _job_lines(media, other)
    assert await _erase(media, gone) == 0

    assert min(before) > 5
    assert (await _job_lines(media, gone), await _job_lines(media, other)) == (0, before[1])


async def test_all_files_of_a_person_go(media: Media, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings and songs go in rounds, those in use as well, with every stored byte; another person's stay."""
    monkeypatch.setattr(usecase, "_ERASED_AT_ONCE", 2)
    gone = media.user_id
    for name in ("take.wav", "take.mp3"):
        media.tracks.in_use.add((await upload(media, sound(name))).asset_id)
    await media.settle()
    await store(media, sound("take.mp3"))
    media.user_id = new_id()
    kept = await store(media, sound("take.mp3"))
    files = len(media.files())

    rounds = [await _erase(media, gone)]
    while rounds[-1]:
        rounds.append(await _erase(media, gone))
    media.user_id, other = gone, media.user_id
    await media.settle()
    assert rounds == [1, 0]
    assert await _job_lines(media, gone) == 0
    assert await _erase(media, gone) == 0
    assert 0 < len(media.files()) < files
    async with media.db.transaction() as tx:
        assert await storage.page(tx, gone, before="", count=10) == []
    media.user_id = other
    assert (await get(media, kept.asset_id)).asset_id == kept.asset_id
    assert len({path.stem for path in media.files()}) == 1


@pytest.mark.parametrize("caller", ["gateway", "composer", "share"])
async def test_only_auth_erases(media: Media, caller: str) -> None:
    """Whoever else asks is refused, and nothing is removed."""
    asset = await store(media, sound("take.mp3"))
    assert (await refusal(_erase(media, media.user_id, caller))).reason == "PERMISSION_DENIED"
    assert (await get(media, asset.asset_id)).asset_id == asset.asset_id
