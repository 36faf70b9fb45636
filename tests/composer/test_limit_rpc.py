"""How many songs one person and everybody together may have in the making: exact, however many ask at once."""

import asyncio
from collections import Counter
from pathlib import Path

import grpc.aio
import pytest

from cadenza.composer.v1 import track_service_pb2 as pb
from services.composer.usecases.track import MUSIC
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio, running

AT_ONCE = 40
PEOPLE, EACH = 20, 2


async def ask(studio: Studio, user_id: str, asset_id: str) -> str:
    """Return why the person was refused one more song and which limit it was, or an empty text."""
    request = pb.CreateTrackRequest(asset_id=asset_id)
    try:
        await studio.tracks().CreateTrack(request, metadata=studio.metadata(user_id), timeout=120)
    except grpc.aio.AioRpcError as error:
        refused = from_rpc(error)
        return f"{refused.reason} {refused.metadata.get('scope')}"
    return ""


@pytest.mark.timeout(200)
async def test_one_persons_limit_is_exact(studio: Studio) -> None:
    """Of forty songs that one person asks for at once three are taken, and only they are paid for."""
    asset_id = await studio.asset()
    answers = await asyncio.gather(*(ask(studio, studio.user_id, asset_id) for _ in range(AT_ONCE)))
    assert Counter(answers) == {"": 3, "GENERATE_BUSY user": AT_ONCE - 3}
    assert await studio.rows() == (3, 3)
    assert await studio.balance() == (40, 60)


@pytest.mark.timeout(200)
async def test_everybodys_limit_is_exact(studio: Studio, database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Of forty songs that twenty people ask for at once as many are taken as there is room for, and not one more."""
    async with studio.db.transaction() as tx:
        before = await studio.queue.active_count(tx, kind=MUSIC)
    room = 5
    async with running(database_url, redis_url, tmp_path, active_jobs_total=before + room) as small:
        people = []
        for _ in range(PEOPLE):
            user_id = await small.new_user()
            people.append((user_id, await small.asset()))
        wishes = [person for person in people for _ in range(EACH)]
        answers = await asyncio.gather(*(ask(small, *wish) for wish in wishes))
        async with small.db.transaction() as tx:
            after = await small.queue.active_count(tx, kind=MUSIC)
        balances = [await small.balance(user_id) for user_id, _ in people]
    taken = Counter(user_id for (user_id, _), why in zip(wishes, answers, strict=True) if not why)
    assert sum(taken.values()) == after - before == room
    assert max(taken.values()) <= 3
    assert {"", "GENERATE_BUSY system"} <= set(answers) <= {"", "GENERATE_BUSY system", "GENERATE_BUSY user"}
    assert balances == [(100 - 20 * taken[user_id], 20 * taken[user_id]) for user_id, _ in people]
