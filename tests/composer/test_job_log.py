"""One log, three readers: gRPC, server-sent events and polling give the same lines from every place, old logs too."""

import asyncio
import random
import tracemalloc
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest
from aiohttp import ClientSession
from sqlalchemy import select, update

from cadenza.composer.v1 import job_service_pb2 as pb
from services.composer.storage.tables import jobs as tables
from services.kit.db.paging import encode_token
from services.kit.jobs.sweeper import Sweeper
from services.kit.rpc.errors import from_rpc
from tests.composer.log_readers import (
    by_grpc,
    by_polling,
    by_sse,
    end,
    events_of,
    gateway,
    headers,
    make,
    write,
)
from tests.composer.studio import Studio, until

DAYS = timedelta(days=1)


@pytest.fixture
async def http(studio: Studio, tmp_path: Path) -> AsyncIterator[ClientSession]:
    """Yield the client of a gateway in front of the studio."""
    async with gateway(studio, tmp_path) as client:
        yield client


async def shorten(studio: Studio, job_id: str) -> int:
    """Let a year pass since the job's end, and shorten what is older than a month; return how many logs that were."""
    async with studio.db.transaction() as tx:
        await tx.execute(
            update(tables.jobs)
            .where(tables.jobs.c.job_id == job_id)
            .values(finish_time=tables.jobs.c.finish_time - 365 * DAYS)
        )
    return await Sweeper(studio.queue, studio.db, log_kept=30 * DAYS).purge()


@pytest.mark.parametrize("seed", range(4))
async def test_three_readers_read_the_same(studio: Studio, http: ClientSession, seed: int) -> None:
    """Readers that come at random moments to random places of a growing log all get the rest of it, once, in order."""
    chance = random.Random(seed)
    job = await make(studio)
    lines = chance.randrange(3, 40)
    reading: list[tuple[int, asyncio.Task[list[dict[str, object]]]]] = []
    written = 1
    while written <= lines:
        for reader in chance.sample((0, 1, 2), chance.randrange(1, 4)):
            after = chance.randrange(written + 1)
            work = (
                by_grpc(studio, job.job_id, after),
                by_sse(http, studio, job.job_id, after),
                by_polling(http, studio, job.job_id, after, page_size=chance.randrange(1, 9)),
            )
            for number, each in enumerate(work):
                if number == reader:
                    reading.append((after, asyncio.create_task(each)))
                else:
                    each.close()
        step = chance.randrange(1, 5)
        await write(studio, job, step)
        written += step
        await asyncio.sleep(chance.random() * 0.02)
    await end(studio, job)
    whole = await by_grpc(studio, job.job_id, 0)
    assert [each["sequence"] for each in whole] == list(range(1, len(whole) + 1))
    assert [each["final"] for each in whole] == [False] * (len(whole) - 1) + [True]
    assert reading
    for after, task in reading:
        assert await task == whole[after:]


async def test_going_on_from_every_place(studio: Studio, http: ClientSession) -> None:
    """From each number of a finished log all three readers give exactly what follows it."""
    job = await make(studio)
    await write(studio, job, 8)
    await end(studio, job)
    whole = await by_grpc(studio, job.job_id, 0)
    for after in range(len(whole) + 1):
        assert await by_grpc(studio, job.job_id, after) == whole[after:]
        assert await by_sse(http, studio, job.job_id, after) == whole[after:]
        assert await by_polling(http, studio, job.job_id, after) == whole[after:]


async def test_a_number_that_the_log_has_not_reached(studio: Studio, http: ClientSession) -> None:
    """All three readers refuse it and name the field."""
    job = await make(studio)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await by_grpc(studio, job.job_id, 9)
    assert [each.field for each in from_rpc(refused.value).violations] == ["after_sequence"]
    for path, more in (
        (f"/api/v1/jobs/{job.job_id}/log?after=9", {}),
        (f"/api/v1/jobs/{job.job_id}/events", {"Last_Event_ID": "9"}),
    ):
        async with http.get(path, headers=headers(studio, **more)) as answer:
            body = await answer.json()
            assert (answer.status, body["details"]["metadata"]["field"]) == (400, "after_sequence")


async def test_a_cursor_of_somebody_else(studio: Studio, http: ClientSession) -> None:
    """A place in another person's log opens nothing, and a page token of one log is refused by another."""
    theirs = await make(studio)
    await write(studio, theirs, 3)
    token = encode_token(theirs.job_id, 2)
    request = pb.ListJobEventsRequest(job_id=theirs.job_id, page_token=token)
    assert len((await studio.jobs().ListJobEvents(request, metadata=studio.metadata())).events) == 2
    await studio.new_user()
    mine = await make(studio)
    await write(studio, mine, 3)
    for path, more in (
        (f"/api/v1/jobs/{theirs.job_id}/log?page_token={token}", {}),
        (f"/api/v1/jobs/{theirs.job_id}/log?after=2", {}),
        (f"/api/v1/jobs/{theirs.job_id}/events", {"Last_Event_ID": "2"}),
    ):
        async with http.get(path, headers=headers(studio, **more)) as answer:
            assert answer.status == 404
    async with http.get(f"/api/v1/jobs/{mine.job_id}/log?page_token={token}", headers=headers(studio)) as answer:
        body = await answer.json()
        assert (answer.status, body["details"]["metadata"]["field"]) == (400, "page_token")


async def test_old_logs_are_shortened(studio: Studio) -> None:
    """Of a log that ended long ago only the last line stays, the job stays whole, and younger or running ones stay."""
    old, young, running = [await make(studio) for _ in range(3)]
    for job in (old, young, running):
        await write(studio, job, 5)
    for job in (old, young):
        await end(studio, job)
    before = await studio.job(old.job_id)
    assert await shorten(studio, old.job_id) == 1
    assert await Sweeper(studio.queue, studio.db, log_kept=30 * DAYS).purge() == 0
    async with studio.db.transaction() as tx:
        rows = await tx.execute(select(tables.events.c.job_id, tables.events.c.sequence))
        left = [(str(job_id), sequence) for job_id, sequence in rows]
    assert [sequence for job_id, sequence in left if job_id == old.job_id] == [7]
    assert len([1 for job_id, _ in left if job_id == young.job_id]) == 7
    assert len([1 for job_id, _ in left if job_id == running.job_id]) == 6
    after = await studio.job(old.job_id)
    assert (after.state, after.last_sequence, after.job_id) == (before.state, before.last_sequence, before.job_id)


async def test_a_place_that_is_gone(studio: Studio, http: ClientSession) -> None:
    """It is told apart from every other refusal, with the first number there is; 0 and that place work everywhere."""
    job = await make(studio)
    await write(studio, job, 5)
    await end(studio, job)
    (last,) = (await by_grpc(studio, job.job_id, 0))[-1:]
    await shorten(studio, job.job_id)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await by_grpc(studio, job.job_id, 3)
    error = from_rpc(refused.value)
    assert refused.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert (error.reason, error.metadata["first_sequence"]) == ("EVENTS_GONE", "7")
    async with http.get(f"/api/v1/jobs/{job.job_id}/log?after=3", headers=headers(studio)) as answer:
        body = await answer.json()
        assert (answer.status, body["error"], body["code"]) == (410, "EVENTS_GONE", 40024)
        assert body["details"]["metadata"]["first_sequence"] == "7"

    for after in (0, 6):
        assert await by_grpc(studio, job.job_id, after) == [last]
        assert await by_polling(http, studio, job.job_id, after) == [last]
        assert await by_sse(http, studio, job.job_id, after) == [last]
    assert await by_grpc(studio, job.job_id, 7) == []
    request = pb.WatchJobRequest(job_id=job.job_id)
    call = studio.jobs().WatchJob(request, metadata=studio.metadata(), timeout=30)
    assert [each.sequence for each in [each async for each in call]] == [6, 7]


async def test_a_browser_begins_again(studio: Studio, http: ClientSession) -> None:
    """A browser that comes back to a place that is gone gets a `reset` event, then the state and what there is."""
    job = await make(studio)
    await write(studio, job, 5)
    await end(studio, job)
    await shorten(studio, job.job_id)
    path = f"/api/v1/jobs/{job.job_id}/events"
    for url, more in ((path, {"Last_Event_ID": "3"}), (f"{path}?after_sequence=3", {})):
        async with http.get(url, headers=headers(studio, **more)) as answer:
            assert answer.status == 200
            seen = [each async for each in events_of(answer)]
        assert [(name, number) for name, number, _ in seen] == [
            ("reset", ""),
            ("snapshot", "6"),
            ("change", "7"),
            ("end", ""),
        ]
        assert seen[0][2]["error"] == "EVENTS_GONE"
        assert seen[0][2]["details"]["metadata"]["first_sequence"] == "7"
        assert seen[1][2]["job"]["state"] == "cancelled"


async def test_a_reader_that_does_not_read(studio: Studio, http: ClientSession) -> None:
    """While one reader of each kind sleeps over a thousand lines, others get all of them, and little is held for it."""
    job = await make(studio)
    lazy_request = pb.WatchJobRequest(job_id=job.job_id)
    lazy_call = studio.jobs().WatchJob(lazy_request, metadata=studio.metadata(), timeout=110)
    lazily = aiter(lazy_call)
    await anext(lazily)
    path = f"/api/v1/jobs/{job.job_id}/events"
    async with http.get(path, headers=headers(studio), read_bufsize=4096) as lazy:
        await lazy.content.readline()
        fast = [
            asyncio.create_task(by_grpc(studio, job.job_id, 0)),
            asyncio.create_task(by_sse(http, studio, job.job_id, 0)),
        ]
        await write(studio, job, 50)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await write(studio, job, 950)
        await end(studio, job)
        expected = list(range(1, 1003))
        for task in fast:
            assert [each["sequence"] for each in await task] == expected
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # What the fast readers keep of the thousand lines is most of it; the sleepers hold a window at most.
        assert after - before < 16 * 1024 * 1024
        seen = [int(number) async for name, number, _ in events_of(lazy) if name == "change"]
        assert seen == expected
    slow = [each.sequence async for each in lazily if each.HasField("event")]
    assert slow == expected

    async def nobody_listens() -> bool:
        return not await studio.redis.pubsub_channels(f"job:{job.job_id}")

    await until(nobody_listens)
