"""How soon a share that is called back is closed everywhere: `python -m tests.e2e.revocations --trials 1000`.

A mesh of two processes that share the gateway's port; each trial opens every door of a share at both of them, calls the
share back, and knocks again until each door of each process is closed. Doors are the page, the player, oEmbed, JSON,
the mini-program's way in, gRPC at the edge, the sound, a range of the sound, the cover and the public list. At the end
it tells how long page and resolve took while nothing was called back.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp
import click
import grpc.aio

from cadenza.share.v1.share_service_pb2 import ResolveShareRequest
from cadenza.share.v1.share_service_pb2_grpc import ShareServiceStub
from services.mesh.postgres import Postgres
from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.conftest import home_at
from tests.e2e.people import Person

PROCESSES = 2
# Enough that the kernel gives each process at least one with all but certainty.
CONNECTIONS = 12
PROMISED_S = 2.0
GIVE_UP_S = 10.0
_TOLD_EVERY = 50
_LYRICS = {"title": "Tide", "lyrics": "[verse]\n海边的风\n慢慢地吹", "duration_s": 30, "seed": 5}
_OPEN, _CLOSED = {200, 206}, {404, 410}

Knock = Callable[[aiohttp.ClientSession], Awaitable[bool]]


class Doors:
    """Every door of one share, each knocked at over connections to both processes."""

    def __init__(self, mesh: RunningMesh, sessions: list[aiohttp.ClientSession], stubs: list[Any]) -> None:
        """Knock at this mesh through these connections."""
        self._mesh = mesh
        self._sessions = sessions
        self._stubs = stubs

    async def opened(self, code: str) -> int:
        """Return how many knocks at how many doors found it open; raises AssertionError when one did not."""
        found = await asyncio.gather(*(self._is_open(name, code, at) for name, at in self._all()))
        assert all(found), [each for each, is_open in zip(self._all(), found, strict=True) if not is_open]
        return len(found)

    async def closed_after(self, code: str) -> dict[str, float]:
        """Return after how many seconds from now each door was closed at every process."""
        began = time.monotonic()

        async def closing(name: str, at: int) -> tuple[str, float]:
            while time.monotonic() - began < GIVE_UP_S:
                asked = time.monotonic()
                if not await self._is_open(name, code, at):
                    return name, asked - began
                await asyncio.sleep(0.02)
            return name, GIVE_UP_S

        took: dict[str, float] = {}
        for name, seconds in await asyncio.gather(*(closing(name, at) for name, at in self._all())):
            took[name] = max(took.get(name, 0.0), seconds)
        return took

    def _all(self) -> list[tuple[str, int]]:
        return [(name, at) for name in (*_DOORS, "list", "grpc") for at in range(len(self._sessions))]

    async def _is_open(self, name: str, code: str, at: int) -> bool:
        if name == "grpc":
            try:
                await self._stubs[at % len(self._stubs)].ResolveShare(ResolveShareRequest(share_code=code), timeout=60)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                return False
            return True
        if name == "list":
            async with self._sessions[at].get(f"{self._mesh.base_url}/api/v1/public/songs?page_size=100") as answer:
                return any(each["share_code"] == code for each in (await answer.json())["data"]["songs"])
        path, headers = _DOORS[name]
        async with self._sessions[at].get(path.format(at=self._mesh.base_url, code=code), headers=headers) as answer:
            await answer.read()
            assert answer.status in _OPEN | _CLOSED, (name, answer.status)
            return answer.status in _OPEN


_DOORS: dict[str, tuple[str, dict[str, str]]] = {
    "page": ("{at}/s/{code}", {"Accept": "text/html"}),
    "player": ("{at}/s/{code}/player", {"Accept": "text/html"}),
    "oembed": ("{at}/oembed?url={at}/s/{code}", {}),
    "resolve": ("{at}/api/v1/shares/{code}", {"X-Platform": "web"}),
    "mini-program": ("{at}/api/v1/shares/{code}", {"X-Platform": "wxmp"}),
    "sound": ("{at}/s/{code}/audio", {}),
    "range": ("{at}/s/{code}/audio", {"Range": "bytes=1000-1999"}),
    "cover": ("{at}/s/{code}/cover", {}),
}


async def revoke_trials(
    mesh: RunningMesh, person: Person, track_id: str, *, trials: int, connections: int
) -> list[dict[str, float]]:
    """Return of each trial how many seconds after the answer to the revoking each door was closed everywhere.

    A door that stays open counts as closed after ten seconds; AssertionError when one is not open before.
    """
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(_one_connection()) for _ in range(connections)]
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(mesh.edge_address, options=options) for _ in range(connections)]
        for channel in channels:
            await stack.enter_async_context(channel)
        doors, found = Doors(mesh, sessions, [ShareServiceStub(each) for each in channels]), list[dict[str, float]]()
        for number in range(trials):
            code = await _shared(person, track_id)
            await person.call("PATCH", f"/api/v1/shares/{code}", {"listed": True})
            await doors.opened(code)
            await person.call("DELETE", f"/api/v1/shares/{code}")
            found.append(await doors.closed_after(code))
            if (number + 1) % _TOLD_EVERY == 0:
                slowest = max(max(each.values()) for each in found)
                click.echo(f"{number + 1} trials, the slowest {slowest:.2f} s", err=True)
        return found


async def _shared(person: Person, track_id: str) -> str:
    return str((await person.call("POST", f"/api/v1/tracks/{track_id}/share", {}))["share_code"])


def _one_connection() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1, keepalive_timeout=600))


async def _tell_speed(mesh: RunningMesh, code: str) -> None:
    """Say how long page and resolve take, asked one after the other."""
    for name in ("page", "resolve"):
        path, headers = _DOORS[name]
        took = []
        async with _one_connection() as session:
            for _ in range(500):
                began = time.perf_counter()
                async with session.get(path.format(at=mesh.base_url, code=code), headers=headers) as answer:
                    await answer.read()
                took.append(1000 * (time.perf_counter() - began))
        click.echo(
            f"{name}: p50 {median(took):.1f} ms, p99 {quantiles(took, n=100)[98]:.1f} ms, 500 one after the other"
        )


async def _run(trials: int, root: Path) -> int:
    home = home_at(root, MESH_PROCESSES=str(PROCESSES), RATE_USER_PER_MINUTE="0")
    async with running_mesh(home) as mesh, Person(mesh.base_url) as person:
        created = await (await person.arrive()).call("POST", "/api/v1/tracks", _LYRICS)
        assert (await person.finished(created["job_id"]))["state"] == "completed"
        found = await revoke_trials(mesh, person, created["track_id"], trials=trials, connections=CONNECTIONS)
        await _tell_speed(mesh, await _shared(person, created["track_id"]))
    for name in found[0]:
        took = sorted(each[name] for each in found)
        click.echo(f"{name}: p50 {median(took):.2f} s, p99 {took[int(len(took) * 0.99)]:.2f} s, most {took[-1]:.2f} s")
    late = sum(max(each.values()) > PROMISED_S for each in found)
    click.echo(f"{len(found)} trials at {PROCESSES} processes, {late} closed later than {PROMISED_S:g} s")
    return 1 if late else 0


@click.command()
@click.option("--trials", type=click.IntRange(1), default=1000, show_default=True)
def main(trials: int) -> None:
    """Call back so many shares and leave with 1 when a door stayed open for longer than two seconds."""
    folder = Path(tempfile.mkdtemp(prefix="cadenza-revocations-", dir="/var/tmp"))
    try:
        sys.exit(asyncio.run(_run(trials, folder / "home")))
    finally:
        Postgres(folder / "home" / "postgres").remove()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
