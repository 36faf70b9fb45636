"""The default hum to both mp3 files over HTTP on the running mesh, and how soon its events are heard.

The reference for the song is the engine's own work in one process, one piece after the other. The reference for the
events is the least that a durable event needs: one row inserted and announced by NOTIFY on the same PostgreSQL, heard
by a LISTENer. It is measured all the while, so under the same load.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from services.mesh.client import Client
from services.mesh.up import RunningMesh, running_mesh
from tests.bench.child import MAKING_SEED
from tests.bench.children import MEGABYTE, memory_kind, run_watched_child, settled_bytes, watching
from tests.bench.rounds import Figures, Row, Series, Trial, median
from tests.bench.song import take_of
from tests.bench.start import fresh_home

SONG_LIMIT_S = 12.0
FIRST_SONG_LIMIT_S = 20.0
STORY_S = 180.0
SUBMITS = 5
TRIP_EVERY_S = 0.1
TRIP_S = 10.0
ENGINE_STAGES = ("audio_check", "audio_analyze", "segment_pick", "music_generate", "ab_eval")
WISHES = {"title": "Cadenza bench", "style": "", "mood": "", "duration_s": 75}
_TRIP = "one INSERT with NOTIFY, heard"


@dataclass
class Heard:
    """Milliseconds of everything that was timed one by one, over all rounds."""

    first: list[float] = field(default_factory=list)
    taken_up: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)


async def measure(trial: Trial) -> list[Row]:
    """Return the rows for the song, its stages, its memory and its events."""
    async with fresh_home(trial.folder) as home:
        take = await take_of(trial.folder)
        hum = trial.folder / "hum.wav"
        heard = Heard()

        async def ours() -> Figures:
            async with running_mesh(home) as mesh:
                await settled_bytes(mesh.pids["worker-1"])
                first = await _told(mesh, hum, heard)
                return {**await _told(mesh, hum, heard), "first": first["s"]}

        async def reference() -> Figures:
            order = WISHES | {"seed": MAKING_SEED, "duration_s": float(str(WISHES["duration_s"]))}
            answer, most = await run_watched_child("stages", {"take": str(take), "order": order})
            took = {stage: answer[stage] for stage in ENGINE_STAGES}
            return {**took, "s": sum(took.values()), "peak": most / MEGABYTE}

        series = await trial.in_turn(ours, reference)
    return [*_song_rows(series), *_event_rows(heard)]


async def _told(mesh: RunningMesh, hum: Path, heard: Heard) -> Figures:
    """Return the figures of one story, told by a stranger while bare trips are made."""
    async with asyncio.timeout(STORY_S), _trips(mesh, heard), Client(mesh.base_url) as client:
        return await _story(mesh, client, hum, heard)


async def _story(mesh: RunningMesh, client: Client, hum: Path, heard: Heard) -> Figures:
    """Make one song as a stranger would, then submit a few more only to hear their first events."""
    await client.login()
    with watching(mesh.pids["worker-1"]) as peak:
        began = time.perf_counter()
        asset = await client.upload(hum)
        async for _message in client.events(f"/api/v1/assets/{asset['asset_id']}/events"):
            pass
        asset = (await client.call("GET", f"/api/v1/assets/{asset['asset_id']}"))["asset"]
        uploaded = time.perf_counter() - began
        body = {**WISHES, "asset_id": asset["asset_id"], "seed": MAKING_SEED}
        track_id, stages = await _song(client, body, heard)
        track = (await client.call("GET", f"/api/v1/tracks/{track_id}"))["track"]
        for variant in track["variants"]:
            await client.fetch(variant["audio_url"])
        took = time.perf_counter() - began
    if len(track["variants"]) != 2:
        raise RuntimeError(f"the track is {track['state']}")
    for _ in range(SUBMITS):
        await _submit_and_cancel(client, body, heard)
    lengths = {"take_s": asset["duration_ms"] / 1e3, "song_s": track["variants"][0]["duration_ms"] / 1e3}
    return {**stages, **lengths, "upload": uploaded, "s": took, "peak": peak.highest_bytes / MEGABYTE}


async def _song(client: Client, body: dict[str, Any], heard: Heard) -> tuple[str, dict[str, float]]:
    """Return the track and the seconds of each stage, by the times in the events."""
    moments: dict[str, datetime] = {}
    async for event, made in _watched(client, body, heard):
        moment = datetime.fromisoformat(event["event_time"])
        moments.setdefault("end" if event["final"] else event["step"], moment)
        track_id = made["track_id"]
    moments.pop("", None)
    names = list(moments)
    spans = itertools.pairwise(names)
    return track_id, {one: (moments[after] - moments[one]).total_seconds() for one, after in spans}


async def _submit_and_cancel(client: Client, body: dict[str, Any], heard: Heard) -> None:
    """Submit a song, let the worker take it up, and cancel it."""
    async for event, made in _watched(client, body, heard):
        if event["state"] == "running" and not event["step"]:
            await client.call("POST", f"/api/v1/jobs/{made['job_id']}/cancel", {})


async def _watched(
    client: Client, body: dict[str, Any], heard: Heard
) -> AsyncIterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Submit a song and yield its events and the answer, keeping how late each one comes.

    The first message is the state of the job and counts as the first event. Events written before it came are no
    measure of anything and are left out.
    """
    began = time.perf_counter()
    made = await client.call("POST", "/api/v1/tracks", body)
    opened: float | None = None
    running = False
    async for message in client.events(f"/api/v1/jobs/{made['job_id']}/events"):
        arrived = time.time()
        since = (time.perf_counter() - began) * 1e3
        event = message.get("event")
        if opened is None:
            opened = arrived
            heard.first.append(since)
        if not event:
            continue
        written = datetime.fromisoformat(event["event_time"]).timestamp()
        if written > opened:
            heard.lags.append((arrived - written) * 1e3)
        if event["state"] == "running" and not running:
            running = True
            heard.taken_up.append(since)
        yield event, made


@asynccontextmanager
async def _trips(mesh: RunningMesh, heard: Heard) -> AsyncIterator[None]:
    """Make bare trips through the mesh's own PostgreSQL for the length of the block."""
    url = mesh.environment["DATABASE_URL"]
    writer = await asyncpg.connect(url, command_timeout=TRIP_S)
    try:
        listener = await asyncpg.connect(url, command_timeout=TRIP_S)
        try:
            task = asyncio.create_task(_travel(writer, listener, heard.trips))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()):
                raise error
        finally:
            listener.terminate()
    finally:
        writer.terminate()


async def _travel(writer: Any, listener: Any, trips: list[float]) -> None:
    arrived: asyncio.Queue[str] = asyncio.Queue()
    await writer.execute("CREATE TABLE IF NOT EXISTS public.bench_trip (id bigint GENERATED ALWAYS AS IDENTITY)")
    await listener.add_listener("bench_trip", lambda *notice: arrived.put_nowait(notice[-1]))
    statement = await writer.prepare(
        "WITH made AS (INSERT INTO public.bench_trip DEFAULT VALUES RETURNING id)"
        " SELECT pg_notify('bench_trip', id::text) FROM made"
    )
    while True:
        began = time.perf_counter()
        async with asyncio.timeout(TRIP_S):
            await statement.fetch()
            await arrived.get()
        trips.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(TRIP_EVERY_S)


def _song_rows(series: Series) -> list[Row]:
    upload, params = median(series.ours["upload"]), median(series.ours["compose_params"])
    rows = [
        Row(
            *("hum to songs", "default hum to both mp3 files over HTTP", "s", "the engine's work in one process"),
            *(series.ours["s"], series.reference["s"]),
            limit=SONG_LIMIT_S,
            note=f"besides the stages below: upload and transcode {upload:.2f} s, compose_params {params:.2f} s",
        ),
        Row(
            *("hum to songs", "the first one after the start of the mesh", "s", "the engine's work in one process"),
            *(series.ours["first"], series.reference["s"]),
            limit=FIRST_SONG_LIMIT_S,
        ),
    ]
    for stage in ENGINE_STAGES:
        making = stage in {"music_generate", "ab_eval"}
        factor = median(series.ours[stage]) / median(series.ours["song_s" if making else "take_s"])
        note = f"{factor:.3f} of real time of the {'song' if making else 'take'}"
        note += "; A and B at the same time against one after the other" if stage == "music_generate" else ""
        against = "the same in one process"
        rows.append(Row("hum to songs", stage, "s", against, series.ours[stage], series.reference[stage], note=note))
    rows.append(
        Row(
            *("hum to songs", f"peak memory of worker and engine ({memory_kind()})", "MB", "that one process"),
            *(series.ours["peak"], series.reference["peak"]),
        )
    )
    return rows


def _event_rows(heard: Heard) -> list[Row]:
    rows = []
    taken_up = f"taken up by the worker after {median(heard.taken_up):.0f} ms; " if heard.taken_up else ""
    told = (
        ("POST of a song to its first event", heard.first, f"{taken_up}{len(heard.first)} songs submitted"),
        ("event committed to client", heard.lags, f"{len(heard.lags)} events, {len(heard.trips)} bare trips"),
    )
    for figure, values, note in told:
        for share in (0.5, 0.99):
            row = Row(
                *("events", figure if share != 0.5 else f"{figure}, p50", "ms", _TRIP),
                *(tuple(values), tuple(heard.trips)),
                share=share,
                note=note if share == 0.5 else "",
            )
            rows.append(row)
    return rows
