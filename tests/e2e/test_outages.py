"""Whatever is stopped while a song is made and started again: the song is finished, told without gaps, charged once."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.mesh.client import ApiError
from services.mesh.up import RunningMesh, healthy, running_mesh
from tests.e2e.conftest import home_at
from tests.e2e.people import WISHES, Person, until

pytestmark = pytest.mark.timeout(500)
LONGER_THAN_A_LEASE_S = 7.0
STEPS = ("audio_check", "audio_analyze", "segment_pick", "compose_params", "music_generate", "ab_eval")


@pytest.fixture(scope="module")
async def shaken(homes: Callable[[str], Path]) -> AsyncIterator[RunningMesh]:
    """A mesh of our own, to break."""
    async with running_mesh(home_at(homes("shaken"))) as running:
        yield running


@pytest.fixture
async def person(shaken: RunningMesh) -> AsyncIterator[Person]:
    """Somebody new at that mesh."""
    async with Person(shaken.base_url) as newcomer:
        yield await newcomer.arrive()


async def log_of(person: Person, job_id: str) -> list[dict[str, Any]]:
    """Return all events of a job; nothing while the mesh does not answer."""
    events, token = list[dict[str, Any]](), ""
    try:
        while True:
            page = await person.call("GET", f"/api/v1/jobs/{job_id}/log?page_size=100&page_token={token}")
            events += page["events"]
            token = page["next_page_token"]
            if not token:
                return events
    except (ApiError, OSError):
        return []


async def at_step(person: Person, job_id: str, step: str) -> None:
    """Return when the job has begun the step."""
    await until(lambda: log_of(person, job_id), lambda found: any(e["step"] == step for e in found), pause_s=0.05)


async def check_finished(
    person: Person, created: dict[str, Any], watched: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Assert that the song is whole, told without gaps to whoever watched, and charged once; return its events."""
    job = await person.finished(created["job_id"])
    events = await log_of(person, created["job_id"])
    track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
    await until(person.credits, lambda found: found == (80, 0))
    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]
    seen = [each["event"]["sequence"] for each in watched if each["event"]]

    assert (job["state"], track["state"]) == ("completed", "ready"), job
    for variant in track["variants"]:
        assert len(await person.fetch(variant["audio_url"])) > 100_000
    assert [each["sequence"] for each in events] == list(range(1, len(events) + 1))
    assert seen == list(range(seen[0], events[-1]["sequence"] + 1))
    assert [(each["kind"], each["amount_credits"]) for each in entries] == [("hold", -20), ("signup_grant", 100)]
    return events


@contextlib.asynccontextmanager
async def watching(person: Person, job_id: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Read the job's event stream in the background, as a client that reconnects; it has ended at the exit."""
    seen: list[dict[str, Any]] = []

    async def read() -> None:
        while not any(each["event"] and each["event"]["final"] for each in seen):
            after = max((each["sequence"] for each in seen), default=0)
            try:
                async for message in person.events(f"/api/v1/jobs/{job_id}/events", after=after):
                    seen.append(message)  # noqa: PERF401 - the caller looks on
            except (ApiError, OSError):
                await asyncio.sleep(0.3)  # the gateway is there and what is behind it is not

    reading = asyncio.create_task(read())
    try:
        yield seen
        async with asyncio.timeout(240):
            await reading
    finally:
        reading.cancel()


async def killed(mesh: RunningMesh, name: str) -> None:
    """SIGKILL one process of the mesh and return when another has taken its place and the mesh is healthy."""
    before = mesh.pids[name]
    os.kill(before, signal.SIGKILL)

    async def back() -> bool:
        return mesh.pids.get(name) not in {None, before} and await asyncio.to_thread(healthy, mesh.base_url)

    await until(back, bool)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
async def test_a_server_dies_and_is_stopped(shaken: RunningMesh, person: Person, hum: Path, name: str) -> None:
    """A server that is killed while the take is heard, and down for longer than a lease later, loses nothing."""
    server = shaken.postgres if name == "postgres" else shaken.valkey
    assert server is not None
    asset = await person.ready_asset(hum)
    created = await person.order(asset["asset_id"])
    async with watching(person, created["job_id"]) as watched:
        await at_step(person, created["job_id"], "audio_check")
        await killed(shaken, name)
        await at_step(person, created["job_id"], "music_generate")
        await asyncio.to_thread(server.stop)
        # What the services know of their servers is a moment old.
        await until(lambda: person.ask("GET", "/health"), lambda answer: answer.status == 503)
        await asyncio.sleep(LONGER_THAN_A_LEASE_S)
        await asyncio.to_thread(server.start)
    await check_finished(person, created, watched)


async def test_work_is_handed_in_without_valkey(shaken: RunningMesh, hum: Path) -> None:
    """With Valkey away each song and each lyrics asked for is either taken, done and paid once, or 503 and free."""
    valkey = shaken.valkey
    assert valkey is not None
    async with contextlib.AsyncExitStack() as stack:
        people = [await (await stack.enter_async_context(Person(shaken.base_url))).arrive() for _ in range(4)]
        singer, *writers = people
        asset = await singer.ready_asset(hum)
        wish = {"asset_id": asset["asset_id"], **WISHES}
        await asyncio.to_thread(valkey.stop)
        try:
            asked = [singer.ask("POST", "/api/v1/tracks", json=wish, patience_s=120)]
            for number, writer in enumerate(writers * 2):
                words = {"theme": f"lake {number}"}
                asked.append(writer.ask("POST", "/api/v1/ai/lyrics", json=words, patience_s=120))
            answers = await asyncio.gather(*asked)
        finally:
            await asyncio.to_thread(valkey.start)
        askers, prices = [singer, *writers, *writers], [20, *[10] * 6]
        refused = [answer.refusal for answer in answers if answer.status >= 300]
        taken = [
            (who, price, answer.body["data"]["job"]["job_id"])
            for who, price, answer in zip(askers, prices, answers, strict=True)
            if answer.status < 300
        ]
        ends = [(await who.finished(job_id))["state"] for who, _, job_id in taken]
        left = [(100 - sum([price for who, price, _ in taken if who is person]), 0) for person in people]

        async def purses() -> list[tuple[int, int]]:
            return [await person.credits() for person in people]

        await until(purses, lambda found: found == left)
        jobs = [(await person.call("GET", "/api/v1/jobs?page_size=100"))["jobs"] for person in people]

    assert set(refused) <= {(503, 10003, "SERVICE_UNAVAILABLE")}
    assert set(ends) <= {"completed"}
    assert sum(map(len, jobs)) == len(taken)


async def test_the_worker_is_killed(shaken: RunningMesh, person: Person, hum: Path) -> None:
    """Another worker takes the job up at the step that was cut off; what was done is not done again."""
    created = await person.order((await person.ready_asset(hum))["asset_id"])
    async with watching(person, created["job_id"]) as watched:
        await at_step(person, created["job_id"], "music_generate")
        await killed(shaken, "worker-1")
    events = await check_finished(person, created, watched)
    begun = [each["step"] for each in events if each["message"] == "started"]

    assert {step: begun.count(step) for step in begun} == dict.fromkeys(STEPS, 1) | {"music_generate": 2}
    assert [each["state"] for each in events].count("queued") == 2


async def test_the_mesh_process_is_killed(shaken: RunningMesh, person: Person, hum: Path) -> None:
    """Gateway and all services die at once: the worker goes on, and the client's stream resumes where it broke off."""
    created = await person.order((await person.ready_asset(hum))["asset_id"])
    async with watching(person, created["job_id"]) as watched:
        await at_step(person, created["job_id"], "audio_analyze")
        await killed(shaken, "mesh")
    await check_finished(person, created, watched)


async def test_the_object_store_is_away(shaken: RunningMesh, person: Person, hum: Path, tmp_path: Path) -> None:
    """While the store cannot be read the job is put back with its credits held, and done when the store is there."""
    asset = await person.ready_asset(hum)
    objects, away = shaken.home.objects, shaken.home.root / "objects.away"
    await asyncio.to_thread(objects.rename, away)
    await asyncio.to_thread(objects.touch)
    try:
        created = await person.order(asset["asset_id"])
        events = await until(
            lambda: log_of(person, created["job_id"]),
            lambda found: [each["state"] for each in found].count("queued") == 2,
        )
        held = await person.credits()
        refused = await person.send(b"ID3" + bytes(5_000), "a.mp3", "audio/mpeg")
    finally:
        await asyncio.to_thread(objects.unlink)
        await asyncio.to_thread(away.rename, objects)
    async with watching(person, created["job_id"]) as watched:
        pass

    assert "running" in {each["state"] for each in events}
    assert held == (80, 20)
    assert refused.refusal == (503, 10003, "SERVICE_UNAVAILABLE")
    await check_finished(person, created, watched)


async def test_everything_is_killed(homes: Callable[[str], Path], hum: Path) -> None:
    """After SIGKILL of every process the next start finds person, credits and tracks, and finishes the running job."""
    home = home_at(homes("killed"))
    environment = {**home.environ, "CADENZA_HOME": str(home.root)}
    log = home.root.with_suffix(".log")
    with log.open("wb") as out:
        command = [sys.executable, "-m", "services.mesh", "up"]
        up = subprocess.Popen(command, env=environment, stdout=out, stderr=out)  # noqa: ASYNC220 - it only starts
    try:
        ports = await _addresses(home.root, up)
        async with Person(f"http://127.0.0.1:{ports['gateway']}") as person:
            await person.arrive()
            created = await person.order((await person.ready_asset(hum))["asset_id"])
            await at_step(person, created["job_id"], "music_generate")
            token, before = person.token, await person.belongings()
    finally:
        for process in (*psutil.Process(up.pid).children(recursive=True), psutil.Process(up.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await asyncio.to_thread(up.wait, 30)
    async with running_mesh(home_at(home.root)) as again, Person(again.base_url) as person:
        person.token = token
        found = await person.belongings()
        async with watching(person, created["job_id"]) as watched:
            pass
        await check_finished(person, created, watched)

    assert before["credits"] == (80, 20)
    assert [each["track_id"] for each in found["tracks"]] == [created["track_id"]]
    assert found["assets"] == before["assets"]
    assert found["entries"] == before["entries"]


async def _addresses(root: Path, up: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return the ports of a mesh that another process starts, once it is healthy."""
    deadline = time.monotonic() + 120
    while True:
        assert up.poll() is None, "it does not start"
        assert time.monotonic() < deadline, "it takes too long to start"
        with contextlib.suppress(OSError, ValueError):
            ports: dict[str, int] = json.loads((root / "ports.json").read_text())
            if await asyncio.to_thread(healthy, f"http://127.0.0.1:{ports['gateway']}"):
                return ports
        await asyncio.sleep(0.2)
