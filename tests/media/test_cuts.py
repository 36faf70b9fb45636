"""A few dozen uploads that are cut, a process that is killed among them, and a large one that costs no memory.

`python -m tests.media.cuts` cuts ten thousand and `python -m tests.media.gigabyte` sends a gigabyte.
"""

import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from services.mesh.client import Client
from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.tus import Tus
from tests.media.cuts import SETTINGS, Run, run_cuts
from tests.media.gigabyte import MEBIBYTE, send

pytestmark = pytest.mark.timeout(300)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mesh() -> AsyncIterator[RunningMesh]:
    """Yield a mesh of its own: its one process is killed, and no worker takes files away that are still compared."""
    root = Path(tempfile.mkdtemp(prefix="cadenza-cuts-", dir="/var/tmp"))
    settings = {**SETTINGS, "MESH_PROCESSES": "1"}
    try:
        async with running_mesh(Home(root, {**Home(root).environ, **settings})) as running:
            yield running
    finally:
        Postgres(root / "postgres").remove()
        shutil.rmtree(root, ignore_errors=True)


async def test_cut_uploads_are_resumed(mesh: RunningMesh) -> None:
    """However uploads are cut and whoever dies, every file is there once, byte for byte, and nothing else is left."""
    run = Run(random.Random(20), kill_at=frozenset({12}))
    await run_cuts(mesh, run, count=30, at_once=4, kill_every_s=0)
    assert len(run.sent) == 30
    assert run.blows["SIGKILL"] == 1
    assert run.blows["cut"] >= 10


async def test_a_large_upload_is_never_held_in_memory(mesh: RunningMesh) -> None:
    """96 MiB in one request let the process that takes them, gateway and Media together, grow by less than 24 MiB."""
    async with Client(mesh.base_url) as person, aiohttp.ClientSession() as session:
        await person.login()
        tus = Tus(session, mesh.base_url, person.token, patience_s=120)
        grown = await send(tus, 96 * MEBIBYTE, {"mesh": mesh.pids["mesh"]})
    assert grown["mesh"] < 24 * MEBIBYTE
