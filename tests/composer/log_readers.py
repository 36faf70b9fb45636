"""The three readers of a job's log, each giving plain sequences, and a writer of logs that a test makes up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientResponse, ClientSession, ClientTimeout, web

from cadenza.composer.v1 import job_service_pb2 as pb
from gateway.app import build
from gateway.codec import Codec
from gateway.config import Config
from gateway.listen import GatewayRunner
from services.composer.usecases.track import MUSIC
from services.kit.ids import new_id
from services.kit.jobs.job import Job, Note
from services.kit.jobs.queue import nothing_more
from services.kit.jobs.states import Event
from tests.composer.studio import Studio

Line = dict[str, Any]
# Where a waiting job stands is worked out anew for each reader and is no part of the log.
_MOMENTARY = ("queue_position", "expected_start_time")


def logged(event: Line) -> Line:
    """Return an event without what is true only for the moment at which it was read."""
    return {name: value for name, value in event.items() if name not in _MOMENTARY}


async def make(studio: Studio) -> Job:
    """Return a new job of the person with one line in its log; it belongs to no track and costs nothing."""
    async with studio.db.transaction() as tx:
        job = await studio.queue.create(tx, kind=MUSIC, user_id=studio.user_id, subject_id=new_id(), params={})
    await studio.queue.push(job)
    return job


async def write(studio: Studio, job: Job, lines: int) -> None:
    """Write more lines, one transaction each."""
    for number in range(lines):
        async with studio.db.transaction() as tx:
            note = Note(f"line {number}", number % 101)
            await studio.queue.rows.change(tx, job.job_id, studio.queue.clock(), note=note, step=f"step {number % 5}")
        await studio.queue.signals.wake(job.job_id)


async def end(studio: Studio, job: Job) -> None:
    """Write the last line."""
    async with studio.db.transaction() as tx:
        row = await studio.queue.rows.lock(tx, job.job_id)
        await studio.queue.end(tx, row, Event.CANCEL, note=Note("enough"), on_end=nothing_more)
    await studio.queue.signals.wake(job.job_id)


@asynccontextmanager
async def gateway(studio: Studio, folder: Path, **settings: Any) -> AsyncIterator[ClientSession]:
    """Yield the client of a gateway in front of the studio's services."""
    config = Config(
        **{
            "redis_url": "redis://127.0.0.1:1/0",
            "object_store_directory": folder,
            "object_url_secret": "a secret of the tests",
            "rate_user_per_minute": 0,
            "rate_address_per_minute": 0,
            **settings,
        }
    )
    runner = GatewayRunner(await build(config, studio.mesh.peers("gateway")), drain_s=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with ClientSession(address, timeout=ClientTimeout(total=100)) as client:
            yield client
    finally:
        await runner.cleanup()


def headers(studio: Studio, **more: str) -> dict[str, str]:
    """Return the headers of the person's HTTP requests."""
    given = {"Authorization": dict(studio.metadata())["authorization"]}
    return given | {name.replace("_", "-"): value for name, value in more.items()}


async def by_grpc(studio: Studio, job_id: str, after: int) -> list[Line]:
    """Return the lines that a gRPC watcher gets, as JSON."""
    request = pb.WatchJobRequest(job_id=job_id, after_sequence=after)
    call = studio.jobs().WatchJob(request, metadata=studio.metadata(), timeout=100)
    codec = Codec()
    return [logged(codec.encode(each.event)) for each in [each async for each in call] if each.HasField("event")]


async def by_polling(
    http: ClientSession, studio: Studio, job_id: str, after: int, *, page_size: int = 100
) -> list[Line]:
    """Return the lines that a client gets that asks again until the last one."""
    lines: list[Line] = []
    while not (lines and lines[-1]["final"]):
        params = {"after": str(lines[-1]["sequence"] if lines else after), "page_size": str(page_size)}
        async with http.get(f"/api/v1/jobs/{job_id}/log", params=params, headers=headers(studio)) as answer:
            body = await answer.json()
            assert answer.status == 200, body
        lines += map(logged, body["data"]["events"])
        if not body["data"]["events"]:
            if body["data"]["job"]["state"] in {"completed", "failed", "cancelled"}:
                break
            await asyncio.sleep(0.05)
    return lines


async def events_of(answer: ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """Yield name, id and data of each server-sent event."""
    fields: dict[str, str] = {}
    while line := await answer.content.readline():
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("event", "message"), fields.get("id", ""), orjson.loads(fields["data"])
            fields = {}
        else:
            fields = {}


async def by_sse(http: ClientSession, studio: Studio, job_id: str, after: int) -> list[Line]:
    """Return the lines that a browser gets that comes back with this Last-Event-ID."""
    more = {"Last_Event_ID": str(after)} if after else {}
    async with http.get(f"/api/v1/jobs/{job_id}/events", headers=headers(studio, **more)) as answer:
        assert answer.status == 200
        seen = [each async for each in events_of(answer)]
    assert [seen[0][0], seen[-1][0]] == ["snapshot", "end"]
    assert [int(each[1]) for each in seen[1:-1]] == [each[2]["sequence"] for each in seen[1:-1]]
    return [logged(data["event"]) for _, _, data in seen[1:-1]]
