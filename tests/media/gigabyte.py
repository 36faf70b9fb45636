"""What one large upload costs in memory: `python -m tests.media.gigabyte --mebibytes 1024`.

The gateway runs in the mesh's process with Media beside it, so that process's growth is that of both. With `--split`
they are two processes as in production, joined by mutual TLS.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import click

from services.mesh.client import Client
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.process import tree_bytes
from services.mesh.up import running_mesh
from tests.e2e.split import split_mesh
from tests.e2e.tus import BYTES, Tus
from tests.media.cuts import SETTINGS

MEBIBYTE = 1024 * 1024
_LOOK_S = 0.05
_HEAD = b"RIFF\xff\xff\xff\xffWAVEfmt "


async def send(
    client: Tus, size: int, processes: dict[str, int], say: Callable[[str], None] = click.echo
) -> dict[str, int]:
    """Return by how many bytes each process grew at most while one file of that size came in one request."""
    await _one(client, 8 * MEBIBYTE)
    before = {name: tree_bytes(pid) for name, pid in processes.items()}
    most, began = dict(before), time.perf_counter()

    async def look() -> None:
        while True:
            for name, pid in processes.items():
                most[name] = max(most[name], await asyncio.to_thread(tree_bytes, pid))
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look())
    try:
        await _one(client, size)
    finally:
        looking.cancel()
    took_s = time.perf_counter() - began
    say(f"{size / MEBIBYTE:.0f} MiB in {took_s:.1f} s, {size / MEBIBYTE / took_s:.0f} MiB/s")
    for name in processes:
        more = most[name] - before[name]
        say(f"{name}: {before[name] / MEBIBYTE:.1f} MiB before, {more / MEBIBYTE:.1f} MiB more at most")
    return {name: most[name] - before[name] for name in processes}


async def _one(client: Tus, size: int) -> None:
    status, headers = await client.create(size)
    assert status == 201, status

    async def body() -> AsyncIterator[bytes]:
        yield _HEAD
        left = size - len(_HEAD)
        while left:
            piece = bytes(min(left, 256 * 1024))
            left -= len(piece)
            yield piece

    answered, _, text = await client.request(
        "PATCH", headers["Location"], data=body(), Upload_Offset="0", Content_Type=BYTES, Content_Length=str(size)
    )
    assert answered == 204, text
    assert await client.offset(headers["Location"]) == size


async def _measure(root: Path, mebibytes: int, *, split: bool) -> None:
    settings = {**SETTINGS, "MESH_PROCESSES": "1", "UPLOAD_LIMIT_RESUMABLE_MB": str(mebibytes)}
    if split:
        async with split_mesh(root / "split", UPLOAD_LIMIT_RESUMABLE_MB=str(mebibytes)) as found:
            pids = {name: process.pid for name, process in found.processes.items() if name in {"gateway", "media"}}
            await _as_somebody(found.base_url, mebibytes, pids)
        return
    async with running_mesh(Home(root, {**Home(root).environ, **settings})) as mesh:
        await _as_somebody(mesh.base_url, mebibytes, {"gateway and services": mesh.pids["mesh"]})


async def _as_somebody(base_url: str, mebibytes: int, pids: dict[str, int]) -> None:
    async with Client(base_url) as person, aiohttp.ClientSession() as session:
        await person.login()
        await send(Tus(session, base_url, person.token, patience_s=1200), mebibytes * MEBIBYTE, pids)


@click.command()
@click.option("--mebibytes", default=1024, show_default=True)
@click.option(
    "--split/--no-split", default=False, show_default=True, help="gateway and Media as processes of their own"
)
def main(mebibytes: int, *, split: bool) -> None:
    """Upload one large file and watch the memory of those who take it."""
    root = Path(tempfile.mkdtemp(prefix="cadenza-gigabyte-", dir="/var/tmp"))
    try:
        asyncio.run(_measure(root, mebibytes, split=split))
    finally:
        Postgres(root / "postgres").remove()
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
