"""Uploads that are cut at random and resumed: `python -m tests.media.cuts --count 10000 --seed 1`.

Two processes of the mesh share one port, real PostgreSQL and the local object store behind them. Clients that speak tus
hang up amid their bytes, lose answers, send damaged pieces and send one piece twice at once, and the processes are
killed with SIGKILL now and then. In the end every file must be in the store byte for byte, and nothing else.
"""

import asyncio
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click
from sqlalchemy import func, select

from services.kit.db.engine import Database
from services.kit.objects.local import LocalObjectStore
from services.media.storage.tables import assets, jobs, resumable_tails
from services.mesh.client import Client
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.tus import Tus, sha256

SETTINGS = {
    **dict.fromkeys(("GATEWAY_PORT", "EDGE_PORT", "METRICS_PORT", "WORKERS"), "0"),
    **dict.fromkeys(("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "PUBLIC_URL"), ""),
    "MESH_PROCESSES": "2",
    "RATE_USER_PER_MINUTE": "0",
    "ASSETS_OPEN_MOST": "1000000",
}
_SMALL = (2_000, 300_000)
_LARGE = (5_500_000, 13_000_000)
_LARGE_SHARE = 0.02
_PATIENCE_S = 180.0
_TOLD_EVERY = 500
# As many writes as clients may be under way when a process dies.
_BROKEN_BY_KILL = 16
_BUSY = frozenset({409, 423, 429, 500, 502, 503, 504})


@dataclass
class Run:
    """What happened, and what has to be true in the end."""

    chance: random.Random
    blows: Counter[str] = field(default_factory=Counter)
    sent: dict[str, str] = field(default_factory=dict)
    # Before which uploads a process is killed, besides those that are killed by the clock.
    kill_at: frozenset[int] = frozenset()
    slowest_s: float = 0.0
    # What was there before.
    others: set[str] = field(default_factory=set)


def make_file(chance: random.Random) -> bytes:
    """Return a file that begins like a sound and is like no other."""
    low, high = _LARGE if chance.random() < _LARGE_SHARE else _SMALL
    size = chance.randrange(low, high)
    return b"RIFF" + (size - 8).to_bytes(4, "little") + b"WAVEfmt " + chance.randbytes(size - 16)


async def upload(client: Tus, run: Run) -> None:
    """Send one file, cut at least once, until it has come whole."""
    data, began = make_file(run.chance), time.monotonic()
    key = hashlib.sha256(data).hexdigest()
    url = ""
    while not url:
        await _spend(began)
        try:
            status, headers = await client.create(len(data), Idempotency_Key=key)
        except (aiohttp.ClientError, TimeoutError):
            continue
        if status == 201:
            url = headers["Location"]
        elif status not in _BUSY:
            raise AssertionError(f"an announcement was answered {status}")
    for _ in range(1 + (run.chance.random() < 0.3) + (len(data) > _SMALL[1])):
        offset = await _offset(client, url, began)
        await _blow(client, run, url, data, offset)
    await _send_rest(client, run, url, data, began)
    run.sent[url.rpartition("/")[2]] = key
    run.slowest_s = max(run.slowest_s, time.monotonic() - began)


async def _blow(client: Tus, run: Run, url: str, data: bytes, offset: int) -> None:
    """Let one request go wrong."""
    rest = data[offset:]
    if not rest:
        return
    piece = rest[: run.chance.randrange(1, len(rest) + 1)]
    kind = run.chance.choice(("cut", "cut", "cut", "cut", "lost answer", "twice at once", "damaged"))
    run.blows[kind] += 1
    try:
        if kind == "cut":
            after, pause_s = run.chance.randrange(len(rest)), run.chance.choice((0.0, 0.01, 0.05))
            await client.cut_patch(url, rest, offset, after=after, pause_s=pause_s)
        elif kind == "lost answer":
            await client.cut_patch(url, piece, offset, after=len(piece), pause_s=run.chance.choice((0.0, 0.02)))
        elif kind == "twice at once":
            both = await asyncio.gather(*(client.patch(url, piece, offset) for _ in range(2)))
            assert {status for status, _ in both} <= {204} | _BUSY, both
        else:
            status, _ = await client.patch(url, piece, offset, Upload_Checksum=sha256(piece + b"?"))
            assert status in {460} | _BUSY, status
    except (aiohttp.ClientError, TimeoutError):
        run.blows["connection lost"] += 1


async def _offset(client: Tus, url: str, began: float) -> int:
    """Return how much has come, whoever has to be asked how often."""
    while True:
        await _spend(began)
        try:
            status, headers, _ = await client.request("HEAD", url)
        except (aiohttp.ClientError, TimeoutError):
            continue
        if status == 200:
            return int(headers["Upload-Offset"])
        assert status in _BUSY, f"HEAD was answered {status}"


async def _send_rest(client: Tus, run: Run, url: str, data: bytes, began: float) -> None:
    """Go on where the server says until it says that all has come."""
    while True:
        offset = await _offset(client, url, began)
        if offset == len(data):
            return
        checksum = {"Upload_Checksum": sha256(data[offset:])} if run.chance.random() < 0.3 else {}
        try:
            status, _ = await client.patch(url, data[offset:], offset, **checksum)
        except (aiohttp.ClientError, TimeoutError):
            run.blows["connection lost"] += 1
            continue
        assert status in {204} | _BUSY, f"PATCH was answered {status}"
        if status != 204:
            run.blows[f"answered {status}"] += 1


async def _spend(began: float) -> None:
    """Wait a little; AssertionError when an upload has had its time."""
    assert time.monotonic() - began < _PATIENCE_S, "an upload does not end"
    await asyncio.sleep(0.03)


async def run_cuts(
    mesh: RunningMesh, run: Run, *, count: int, at_once: int, kill_every_s: float, longest_s: float = 3600.0
) -> None:
    """Send so many files, a few at once, while processes are killed; then compare everything that is left.

    No upload begins after the longest time.
    """
    left, began = iter(range(count)), time.monotonic()
    run.others = await _there(mesh)

    async def client() -> None:
        async with Client(mesh.base_url) as person, aiohttp.ClientSession() as session:
            await _login(person)
            tus = Tus(session, mesh.base_url, person.token)
            for number in left:
                if time.monotonic() - began > longest_s:
                    return
                if number in run.kill_at:
                    kill_one(mesh, run)
                await upload(tus, run)
                if number and number % _TOLD_EVERY == 0:
                    click.echo(f"{number} uploads, {dict(run.blows)}", err=True)

    killing = asyncio.create_task(_kill(mesh, run, kill_every_s))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(client())
    finally:
        killing.cancel()
    await compare(mesh, run)


async def _login(person: Client) -> None:
    """Log in, also while the one process is being started again."""
    for _ in range(100):
        try:
            await person.login()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.2)
        else:
            return


async def _kill(mesh: RunningMesh, run: Run, every_s: float) -> None:
    """Kill one of the two processes now and then; the supervisor brings it back."""
    while every_s:
        await asyncio.sleep(every_s * run.chance.uniform(0.5, 1.5))
        kill_one(mesh, run)


def kill_one(mesh: RunningMesh, run: Run) -> None:
    """Kill one of the mesh's processes with SIGKILL."""
    pids = mesh.pids
    name = run.chance.choice([name for name in ("mesh", "mesh-1") if name in pids])
    os.kill(pids[name], signal.SIGKILL)
    run.blows["SIGKILL"] += 1


async def _there(mesh: RunningMesh) -> set[str]:
    """Return the assets of the mesh."""
    db = Database(mesh.environment["DATABASE_URL"])
    try:
        async with db.transaction() as tx:
            return set((await tx.execute(select(assets.c.asset_id))).scalars())
    finally:
        await db.close()


async def compare(mesh: RunningMesh, run: Run) -> None:
    """AssertionError unless every file is there once with the bytes that were sent, and nothing besides."""
    db = Database(mesh.environment["DATABASE_URL"])
    store = LocalObjectStore(mesh.home.objects, mesh.environment["OBJECT_URL_SECRET"], mesh.base_url)
    try:
        await _quiet(db)
        async with db.transaction() as tx:
            rows = (await tx.execute(select(assets.c.asset_id, assets.c.raw_key, assets.c.state))).all()
            made = (await tx.execute(select(jobs.jobs.c.subject_id, func.count()).group_by("subject_id"))).all()
            tails = (await tx.execute(select(func.count()).select_from(resumable_tails))).scalar_one()
        others = {asset_id for asset_id, _, _ in rows} - set(run.sent) - run.others
        assert not others, "an announcement whose answer was lost made a second upload"
        assert len(rows) == len(run.sent) + len(run.others)
        assert {state for _, _, state in rows} == {"uploaded"}
        assert {row[0]: row[1] for row in made} == dict.fromkeys({*run.sent, *run.others}, 1)
        assert tails == 0
        for asset_id, key, _ in rows:
            if asset_id in run.others:
                continue
            digest = hashlib.sha256()
            async for piece in store.open(key):
                digest.update(piece)
            assert digest.hexdigest() == run.sent[asset_id], f"{asset_id} has other bytes than were sent"
        _compare_files(mesh, run, [key for _, key, _ in rows])
    finally:
        await db.close()


def _compare_files(mesh: RunningMesh, run: Run, keys: list[str]) -> None:
    """AssertionError for a file of the store that no asset owns, and for parts of an upload that is finished.

    A process that is killed amid a write leaves its file beside the object that the next one makes, without facts, so
    that nobody finds it; it goes with the object.
    """
    owners = {hashlib.sha256(key.encode()).hexdigest() for key in keys}
    files = [path for path in mesh.home.objects.rglob("*") if path.is_file()]
    facts = {path.stem for path in files if path.suffix == ".json"}
    assert facts == owners
    assert not [path for path in files if path.suffix in {".part", ".parts"}]
    assert {path.name.partition(".")[0] for path in files} == owners
    broken = len(files) - 2 * len(keys)
    assert 0 <= broken <= _BROKEN_BY_KILL * run.blows["SIGKILL"]
    if broken:
        run.blows["write broken by a kill"] = broken


async def _quiet(db: Database) -> None:
    """Wait until every asset is made and nothing waits to be removed any more."""
    waiting = (
        select(func.count()).select_from(jobs.outbox).where(jobs.outbox.c.done_time.is_(None)),
        select(func.count()).select_from(assets).where(assets.c.state == "uploading"),
    )
    async with asyncio.timeout(90):
        while True:
            async with db.transaction() as tx:
                if not any([(await tx.execute(query)).scalar_one() for query in waiting]):
                    return
            await asyncio.sleep(0.2)


async def _run(root: Path, seed: int, **wishes: Any) -> Run:
    run, home = Run(random.Random(seed)), Home(root, {**Home(root).environ, **SETTINGS})
    async with running_mesh(home) as mesh:
        await run_cuts(mesh, run, **wishes)
    return run


@click.command()
@click.option("--count", default=10_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--at-once", default=8, show_default=True)
@click.option("--kill-every-s", default=20.0, show_default=True, help="0 for never")
@click.option("--longest-s", default=3600.0, show_default=True, help="no upload begins after it")
def main(seed: int, **wishes: Any) -> None:
    """Cut uploads at random, resume them, and compare."""
    root, began = Path(tempfile.mkdtemp(prefix="cadenza-cuts-", dir="/var/tmp")), time.perf_counter()
    try:
        run = asyncio.run(_run(root, seed, **wishes))
    finally:
        Postgres(root / "postgres").remove()
        shutil.rmtree(root, ignore_errors=True)
    blows = ", ".join(f"{number} {kind}" for kind, number in run.blows.most_common())
    click.echo(
        f"{len(run.sent)} uploads cut and resumed in {time.perf_counter() - began:.0f} s with equal hashes; {blows}; "
        f"the slowest took {run.slowest_s:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
