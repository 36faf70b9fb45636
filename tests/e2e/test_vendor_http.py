"""The story of a song of words that vendors make: over both paths and gRPC, when they work and when they do not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from cadenza.composer.v1 import job_service_pb2 as job_pb
from cadenza.composer.v1.job_service_pb2_grpc import JobServiceStub
from services.kit.crash import ARMED, DIED
from services.kit.ids import new_id
from services.mesh.up import RunningMesh, running_mesh
from tests.composer.vendors import KEY, WORDS, stand_in
from tests.e2e.conftest import home_at
from tests.e2e.people import Person, until
from tests.fakes.minimax import MiniMax
from tests.fakes.otlp import Otlp, ReceivedSpan
from tests.fakes.stand_in import served
from tests.fakes.suno import Suno

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

CANARY = "zebrafinch at the kitchen window"
PATHS = ("/api/music/generate", "/api/v1/tracks")


@dataclass
class Street:
    """A mesh of its own and the two vendors of its list."""

    mesh: RunningMesh
    suno: Suno
    minimax: MiniMax
    otlp: Otlp
    points: Path


@pytest.fixture(scope="module")
async def street(homes: Callable[[str], Path]) -> AsyncIterator[Street]:
    """Yield the mesh with two workers, so that whatever is done once is done once by both."""
    async with AsyncExitStack() as stack:
        suno = await stack.enter_async_context(served(stand_in("suno", seconds=0.6)))
        minimax = await stack.enter_async_context(served(stand_in("minimax", seconds=0.2)))
        assert isinstance(suno, Suno)
        assert isinstance(minimax, MiniMax)
        otlp = await stack.enter_async_context(served(Otlp()))
        root = homes("vendors")
        points = root.with_name("points")
        points.mkdir()
        settings = otlp.settings() | {
            "CRASH_POINTS": str(points),
            "WORKERS": "2",
            "ACTIVE_JOBS_PER_USER": "8",
            "MUSIC_PROVIDERS": "suno,minimax",
            "MUSIC_POLL_S": "0.1",
            "MUSIC_SHORTEST_S": "0.5",
            "MUSIC_PAUSE_S": "0.3",
            "SUNO_URL": suno.url,
            "SUNO_KEY": KEY,
            "MINIMAX_URL": minimax.url,
            "MINIMAX_KEY": KEY,
        }
        mesh = await stack.enter_async_context(running_mesh(home_at(root, **settings)))
        yield Street(mesh, suno, minimax, otlp, points)


@pytest.fixture
async def person(street: Street) -> AsyncIterator[Person]:
    """Yield somebody new, and vendors that work."""
    for vendor in (street.suno, street.minimax):
        vendor.faults.clear()
    async with Person(street.mesh.base_url) as one:
        yield await one.arrive()


async def _ordered(street: Street) -> int:
    """Return how many orders the first vendor has seen."""
    return street.suno.calls["POST /api/v1/generate"]


async def _entries(person: Person) -> list[int]:
    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]
    return [int(entry["amount_credits"]) for entry in entries]


async def test_words_become_a_song(street: Street, person: Person) -> None:
    """Asked for on the older path, polled and watched at once: both views agree, and the song can be fetched."""
    others = street.minimax.calls.total()
    version = (await person.call("POST", "/api/ai/lyrics/generate", {"theme": "海边的夏天", "seed": 3}))["versions"][0]
    await until(person.credits, lambda found: found == (90, 0))
    wish = {"lyricsVersionId": version["version_id"], "voiceGender": "female", "durationS": 30, "style": "民谣"}
    created = await person.ask("POST", PATHS[0], json=wish, headers={"X-Platform": "wxmp"})
    assert created.status == 201
    assert await person.credits() == (70, 20)
    job_id, track_id = created.body["data"]["job_id"], created.body["data"]["track_id"]
    watching = asyncio.create_task(person.stream(f"/api/v1/jobs/{job_id}/events"))
    polled: list[dict[str, Any]] = []
    while not polled or polled[-1]["state"] not in {"completed", "failed"}:
        polled.append((await person.call("GET", f"/api/music/{job_id}/status"))["job"])
        await asyncio.sleep(0.1)
    watched = await watching
    assert polled[-1]["state"] == "completed"
    told = [event.data["event"] for event in watched if event.data.get("event")]
    for seen in (polled, told):
        percents = [each["progress_percent"] for each in seen]
        assert percents == sorted(percents)
        assert set(percents) <= {0, 10, 30, 50, 70, 100}
    assert {10, 70, 100} <= {each["progress_percent"] for each in told}

    track = (await person.call("GET", f"/api/v1/tracks/{track_id}"))["track"]
    assert (track["state"], track["provider"], len(track["variants"])) == ("ready", "suno", 2)
    sound = await person.ask("GET", track["variants"][0]["audio_url"])
    cover = await person.ask("GET", track["cover_url"])
    assert (sound.status, sound.headers["Content-Type"]) == (200, "audio/mpeg")
    assert cover.raw[:2] == b"\xff\xd8"
    assert [each["track_id"] for each in (await person.call("GET", "/api/v1/tracks"))["tracks"]] == [track_id]
    assert all("/music/generated/" in each["audio_url"] for each in track["variants"])
    await until(person.credits, lambda found: found == (70, 0))
    assert street.minimax.calls.total() == others


async def test_the_first_vendor_is_down(street: Street, person: Person) -> None:
    """When the first vendor is down the second makes the song, for each path and platform alike, with one charge."""
    street.suno.fail("maintenance", times=3)
    wish = {"lyrics": WORDS, "duration_s": 30}
    for path, platform in zip(PATHS, ("web", "wxmp"), strict=True):
        created = await person.ask("POST", path, json=wish, headers={"X-Platform": platform})
        assert created.status == 201
        job = await person.finished(created.body["data"]["job_id"])
        track = (await person.call("GET", f"/api/v1/tracks/{created.body['data']['track_id']}"))["track"]
        assert (job["state"], job["attempt"], track["provider"]) == ("completed", 1, "minimax")
    await until(person.credits, lambda found: found == (60, 0))
    assert await _entries(person) == [-20, -20, 100]


async def test_every_vendor_is_down(street: Street, person: Person) -> None:
    """After three attempts the job failed with 40002, is refunded once by two workers, and is a dead letter."""
    street.suno.fail("server", times=1000)
    street.minimax.fail("internal", times=1000)
    created = await person.call("POST", PATHS[1], {"lyrics": WORDS, "duration_s": 30})
    job = await person.finished(created["job_id"])
    assert (job["state"], job["attempt"]) == ("failed", 3)
    assert (job["error"]["code"], job["error"]["reason"]) == (40002, "GENERATE_PROVIDER_ERROR")
    await until(person.credits, lambda found: found == (100, 0))
    assert await _entries(person) == [20, -20, 100]
    async with grpc.aio.insecure_channel(street.mesh.edge_address) as channel:
        metadata = (("authorization", f"Bearer {person.token}"),)
        told = await JobServiceStub(channel).GetJob(job_pb.GetJobRequest(job_id=created["job_id"]), metadata=metadata)
    assert (told.job.error.code, told.job.error.reason) == (40002, "GENERATE_PROVIDER_ERROR")


@pytest.mark.parametrize("platform", ["web", "wxmp", "ios"])
async def test_words_that_no_vendor_sings(street: Street, person: Person, platform: str) -> None:
    """Words that the vendor will not sing end the job at once with 40005, on every platform and over gRPC."""
    body = {"lyrics": "forbiddenword of love", "duration_s": 30}
    created = await person.ask("POST", PATHS[1], json=body, headers={"X-Platform": platform})
    job = await person.finished(created.body["data"]["job_id"])
    assert (job["state"], job["error"]["code"], job["error"]["reason"]) == ("failed", 40005, "CONTENT_REJECTED")
    assert job["error"]["message"]
    await until(person.credits, lambda found: found == (100, 0))
    async with grpc.aio.insecure_channel(street.mesh.edge_address) as channel:
        metadata = (("authorization", f"Bearer {person.token}"),)
        request = job_pb.GetJobRequest(job_id=job["job_id"])
        told = await JobServiceStub(channel).GetJob(request, metadata=metadata)
    assert told.job.error.code == 40005


async def test_credits_that_do_not_suffice(street: Street, person: Person) -> None:
    """With less than a song costs nothing is made and no vendor hears of it, on both paths and every platform."""
    asked = [person.call("POST", PATHS[1], {"lyrics": WORDS, "duration_s": 30}) for _ in range(2)]
    asked += [person.call("POST", "/api/v1/ai/lyrics", {"theme": theme}) for theme in ("海", "山", "风", "雨", "月")]
    for created in (await asyncio.gather(*asked))[:2]:
        await person.finished(created["job_id"])
    await until(person.credits, lambda found: found == (10, 0))
    before = await person.belongings()
    heard = await _ordered(street)
    for path in PATHS:
        for platform in ("web", "wxmp", "ios"):
            answer = await person.ask(
                "POST", path, json={"lyrics": WORDS, "duration_s": 30}, headers={"X-Platform": platform}
            )
            assert answer.refusal == (402, 40003, "INSUFFICIENT_CREDITS")
    after = await person.belongings()
    for name in ("tracks", "jobs", "entries"):
        assert len(after[name]) == len(before[name])
    assert await _ordered(street) == heard


@pytest.mark.parametrize(("point", "maker"), [("after-vendor_accept", "suno"), ("after-vendor_submit", "")])
async def test_the_worker_is_killed(street: Street, person: Person, point: str, maker: str) -> None:
    """A worker killed by SIGKILL around an order costs nothing twice: the vendor sees one order.

    What was accepted is followed by the other worker. What may have been, while nobody wrote it down, is not bought
    from anybody else: without a maker that costs nothing the job fails, and the credits are back.
    """
    before = (street.suno.paid, await _ordered(street), street.minimax.calls.total())
    (street.points / f"{point}{ARMED}").touch()
    created = await person.call("POST", PATHS[1], {"lyrics": WORDS, "duration_s": 30})
    job = await person.finished(created["job_id"])
    assert list(street.points.glob(f"{point}.*{DIED}"))
    track = (await person.call("GET", f"/api/v1/tracks/{created['track_id']}"))["track"]
    assert (job["state"], track["provider"]) == (("completed", maker) if maker else ("failed", ""))
    await until(person.credits, lambda found: found == ((80, 0) if maker else (100, 0)))
    assert (street.suno.paid - before[0], await _ordered(street) - before[1]) == (1, 1)
    assert street.minimax.calls.total() == before[2]


@pytest.mark.parametrize("platform", ["web", "wxmp"])
async def test_the_call_to_a_vendor_is_traced(street: Street, person: Person, platform: str) -> None:
    """The trace of a song holds the vendor's call with platform, model and time, under the id the client was told."""
    trace_id = new_id().replace("-", "")
    headers = {"X-Platform": platform, "X-Trace-Id": trace_id}
    created = await person.ask("POST", PATHS[0], json={"lyrics": WORDS, "duration_s": 30}, headers=headers)
    assert created.body["trace_id"] == trace_id
    await person.finished(created.body["data"]["job_id"])

    async def calls() -> list[ReceivedSpan]:
        return [each for each in street.otlp.trace(trace_id) if each.name.startswith("generate_music")]

    (call,) = await until(calls, lambda found: len(found) == 1)
    attributes = call.attributes
    assert (attributes["gen_ai.provider.name"], attributes["gen_ai.request.model"]) == ("suno", "V4_5ALL")
    assert attributes["langfuse.trace.metadata.platform"] == platform
    assert call.end_ns - call.start_ns >= 0.6e9
    assert not call.failed
    assert WORDS.splitlines()[1] not in str(street.otlp.trace(trace_id))


async def test_neither_key_nor_words_leave_traces(street: Street, person: Person) -> None:
    """After good and bad songs no log of any process holds the vendors' key, the person's token or the words."""
    street.suno.fail("http_502", "accepts_and_breaks")
    for _ in range(2):
        body = {"lyrics": f"{CANARY}\n{WORDS}", "duration_s": 30, "request_id": new_id()}
        created = await person.call("POST", PATHS[0], body)
        job = await person.finished(created["job_id"])
        assert CANARY not in str(job.get("error"))
    written = "\n".join(path.read_text(errors="replace") for path in street.mesh.home.logs.rglob("*") if path.is_file())
    assert "outbound" in written
    secrets: tuple[Any, ...] = (KEY, CANARY, person.token)
    assert not [secret for secret in secrets if secret in written]
