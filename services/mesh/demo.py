"""``cadenza demo``: hum in, song out, once, as an ordinary client of the HTTP API with no short cut."""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.mesh.client import ApiError, Client
from services.mesh.home import Home
from services.mesh.up import RunningMesh, running_mesh

if TYPE_CHECKING:
    from pathlib import Path

    from rich.progress import TaskID

STAGES = ("audio_check", "audio_analyze", "segment_pick", "compose_params", "music_generate", "ab_eval")
_TITLE = "Cadenza demo"
_WHOLE_S = 300


class Refused(Exception):  # the fact
    """The demonstration could not go on; the text says what to do."""


@dataclass
class Story:
    """What happened, as it goes into the report; the files go into `out`."""

    out: Path
    stages: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run(hum: Path | None, out: Path) -> int:
    """Run the demonstration; the exit status is 0 when both songs were made, charged once and shared."""
    console = Console(record=True)
    out.mkdir(parents=True, exist_ok=True)
    try:
        return asyncio.run(_bounded(console, hum, out))
    except (Refused, ApiError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    except KeyboardInterrupt:
        return 130


async def _bounded(console: Console, hum: Path | None, out: Path) -> int:
    async with asyncio.timeout(_WHOLE_S), AsyncExitStack() as stack:
        started = time.monotonic()
        console.print("[bold]Cadenza[/bold]: hum in, song out")
        home = Home()
        # Any free port: a demonstration must not collide with a mesh that is up.
        home.environ.setdefault("GATEWAY_PORT", "0")
        home.environ.setdefault("EDGE_PORT", "0")
        mesh = await stack.enter_async_context(running_mesh(home))
        up_s = time.monotonic() - started
        console.print(f"mesh healthy after {up_s:.1f} s: PostgreSQL, Valkey, five services, workers, gateway")
        client = await stack.enter_async_context(Client(mesh.base_url))
        story = Story(out)
        story.facts["mesh_start_s"] = round(up_s, 2)
        story.facts["mesh_start_stages_s"] = mesh.timings
        await _play(console, client, hum, story)
        story.facts["whole_s"] = round(time.monotonic() - started, 2)
        _report(console, mesh, story)
    return 0


async def _play(console: Console, client: Client, hum: Path | None, story: Story) -> None:
    """Go the way of a person: log in, upload, create, watch, choose, share, look at the page."""
    facts = story.facts
    user = await client.login()
    before = await _credits(client)
    facts |= {"user_id": user["user_id"], "credits_before": before}
    console.print(f"logged in as a new anonymous user with {before} credits")
    source = hum
    if source is None:
        source = await asyncio.to_thread(_sample, story.out)
    began = time.monotonic()
    with _bars(console) as bars:
        asset = await _ready_asset(client, source, bars)
        story.stages["upload and transcode"] = round(time.monotonic() - began, 2)
        began = time.monotonic()
        body = {"asset_id": asset["asset_id"], "title": _TITLE if hum is None else hum.stem[:100]}
        made = await client.call("POST", "/api/v1/tracks", body, Idempotency_Key=asset["asset_id"])
        await _watch(client, made["job_id"], bars, story)
    facts["hum_to_songs_s"] = round(time.monotonic() - began, 2)
    track = (await client.call("GET", f"/api/v1/tracks/{made['track_id']}"))["track"]
    for variant in track["variants"]:
        data = await client.fetch(variant["audio_url"])
        await asyncio.to_thread((story.out / f"{variant['label']}.mp3").write_bytes, data)
    best = next(each for each in track["variants"] if each["recommended"])
    choice = {"variant_id": best["variant_id"]}
    await client.call("POST", f"/api/v1/tracks/{track['track_id']}/choose", choice)
    share = await client.call("POST", f"/api/v1/tracks/{track['track_id']}/share", {"share_types": ["link"]})
    page = (await client.fetch(share["link_url"])).decode()
    facts |= {
        "hum": str(source),
        "track": {name: value for name, value in track.items() if name not in {"analysis", "lyrics"}},
        "heard": {name: value for name, value in (track["analysis"] or {}).items() if name != "notes"},
        "notes_heard": len((track["analysis"] or {}).get("notes", [])),
        "chosen": best["label"],
        "share_url": share["link_url"],
        "share_page_bytes": len(page),
        "share_page_plays": "<audio" in page,
        "credits_after": await _settled(client, before - track["cost_credits"]),
    }


def _sample(out: Path) -> Path:
    """Return the bundled hum, synthesised here from a tune in the public domain."""
    from services.mesh.hum import write_sample_hum

    return write_sample_hum(out / "hum.wav")


async def _credits(client: Client) -> int:
    return int((await client.call("GET", "/api/v1/wallet/balance"))["balance"]["available_credits"])


async def _settled(client: Client, expected: int) -> int:
    """Return the balance once nothing is held any more; the settlement follows the job within a moment."""
    balance: dict[str, Any] = {}
    for _ in range(50):
        balance = (await client.call("GET", "/api/v1/wallet/balance"))["balance"]
        if not balance["held_credits"]:
            break
        await asyncio.sleep(0.1)
    if balance["available_credits"] != expected:
        message = f"the balance is {balance['available_credits']} credits and should be {expected}"
        raise Refused(message)
    return int(balance["available_credits"])


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(bar_width=40),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
    )


async def _ready_asset(client: Client, source: Path, bars: Progress) -> dict[str, Any]:
    """Upload the recording and return its asset when it can be used; raises Refused when it cannot."""
    bar = bars.add_task("upload, transcode", total=100, note=source.name)
    asset = await client.upload(source)
    path = f"/api/v1/assets/{asset['asset_id']}"
    async for message in client.events(f"{path}/events"):
        if event := message.get("event"):
            bars.update(bar, completed=event["progress_percent"], note=event["message"])
        asset = message.get("asset") or asset
    asset = dict((await client.call("GET", path))["asset"])
    if asset["state"] != "ready":
        error = asset.get("error") or {}
        raise Refused(f"the recording cannot be used: {error.get('reason')} {error.get('message')}")
    bars.update(bar, completed=100, note=f"{asset['duration_ms'] / 1000:.1f} s of sound")
    return asset


async def _watch(client: Client, job_id: str, bars: Progress, story: Story) -> None:
    """Draw one bar per stage from the job's event stream; raises Refused when the job does not complete."""
    tasks: dict[str, TaskID] = {}
    begun: dict[str, datetime] = {}
    job: dict[str, Any] = {}
    async for message in client.events(f"/api/v1/jobs/{job_id}/events"):
        job = message.get("job") or job
        event = message.get("event")
        if not event or not event["step"]:
            continue
        step, moment = event["step"], datetime.fromisoformat(event["event_time"])
        if step not in tasks:
            tasks[step] = bars.add_task(step, total=100, note="")
            begun[step] = moment
        if not event["final"]:
            bars.update(tasks[step], completed=event["step_progress_percent"], note=event["message"])
            story.stages[step] = round((moment - begun[step]).total_seconds(), 2)
    if job.get("state") != "completed":
        error = job.get("error") or {}
        raise Refused(f"the job ended as {job.get('state')}: {error.get('reason')} {error.get('message')}")


def _report(console: Console, mesh: RunningMesh, story: Story) -> None:
    """Print the table and write the report beside the songs."""
    facts, heard, track = story.facts, story.facts["heard"], story.facts["track"]
    table = Table(title="What happened", title_justify="left")
    table.add_column("what", style="bold")
    table.add_column("value", overflow="fold")
    for stage, seconds in story.stages.items():
        table.add_row(stage, f"{seconds:.2f} s")
    table.add_row("hum to both songs", f"{facts['hum_to_songs_s']:.1f} s")
    table.add_row("key", heard["key"])
    table.add_row("tempo", f"{heard['tempo_bpm']:.1f} bpm, {heard['metre']}")
    for variant in track["variants"]:
        text = (
            f"{variant['style']}, {variant['key']}, {variant['tempo_bpm']:.1f} bpm, "
            f"{variant['duration_ms'] / 1000:.0f} s, {variant['loudness_lufs']:.1f} LUFS, "
            f"melody score {variant['melody_score']:.2f}"
        )
        table.add_row(f"variant {variant['label']}" + (" (chosen)" if variant["recommended"] else ""), text)
    table.add_row("credits", f"{facts['credits_before']} before, {facts['credits_after']} after")
    table.add_row("files", f"{story.out / 'A.mp3'}  {story.out / 'B.mp3'}  {story.out / 'report.json'}")
    table.add_row("share page", f"{facts['share_url']} ({facts['share_page_bytes']} bytes)")
    console.print(table)
    console.print("Keep it running with [bold]make up[/bold].")
    document = {
        "machine": {"system": platform.platform(), "python": platform.python_version(), "ffmpeg": _has("ffmpeg")},
        "pids": mesh.pids,
        "stages_s": story.stages,
        **facts,
    }
    (story.out / "report.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    console.save_svg(str(story.out / "run.svg"), title="make demo")


def _has(program: str) -> bool:
    return shutil.which(program) is not None
