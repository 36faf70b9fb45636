"""The installed mesh from nothing to healthy, and what it takes up when nobody wants anything.

Each round makes a fresh home and starts it cold, stops it, starts it warm, lets it come to rest and weighs it. The
reference does the same without our code: the two servers, and interpreters that import the libraries of the mesh and
of a worker. What is on disk is in the page cache in either case.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.process import tree_bytes
from services.mesh.up import RunningMesh, running_mesh
from services.mesh.valkey import Valkey
from tests.bench.children import MEGABYTE, idle_child, memory_kind, settled_bytes
from tests.bench.rounds import Figures, Row, Series, Trial, median

START_LIMIT_S = 5.0
MEMORY_LIMIT_MB = 450.0
PARTS = {"mesh": "mesh process", "worker-1": "one idle worker", "postgres": "PostgreSQL", "valkey": "Valkey"}
_SHARED = (
    "grpc.aio", "google.protobuf.json_format", "sqlalchemy.ext.asyncio", "asyncpg", "redis.asyncio", "orjson",
    "prometheus_client", "cryptography.x509", "grpc_status.rpc_status",
)  # fmt: skip
MESH_LIBRARIES = (*_SHARED, "aiohttp.web", "jinja2", "jwt", "grpc_health.v1.health_pb2_grpc", "protovalidate")
WORKER_LIBRARIES = (*_SHARED, "rq", "numpy")
_ALONE = "the same server, nobody connected"
_IMPORTS = "interpreter with the libraries"
_WITHOUT_US = "both servers and an interpreter importing the libraries"
_REFERENCES = {"mesh": _IMPORTS, "worker-1": _IMPORTS, "postgres": _ALONE, "valkey": _ALONE}


@asynccontextmanager
async def fresh_home(folder: Path) -> AsyncIterator[Home]:
    """Make a home with one worker on free ports and embedded servers, and remove it whole."""
    root = passable(folder) / "home"
    unset = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL", "PUBLIC_URL", "METRICS_PORT"), "")
    chosen = {"GATEWAY_PORT": "0", "EDGE_PORT": "0", "WORKERS": "1", "MESH_PROCESSES": "1"}
    try:
        yield Home(root, {**Home().environ, **unset, **chosen})
    finally:
        await asyncio.to_thread(Postgres(root / "postgres").remove)
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)


def passable(folder: Path) -> Path:
    """Make the folder one that PostgreSQL can pass through, which runs as another account when we are root."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    return folder


async def measure(trial: Trial) -> list[Row]:
    """Return the rows for starting and for memory."""

    async def ours() -> Figures:
        async with fresh_home(trial.folder) as home:
            figures: dict[str, float] = {}
            for kind in ("cold", "warm"):
                began = time.perf_counter()
                async with running_mesh(home) as mesh:
                    figures[kind] = time.perf_counter() - began
                    figures |= _split(kind, mesh)
                    if kind == "warm":
                        figures |= await _weight(mesh)
            return figures

    async def reference() -> Figures:
        return await _without_us(passable(trial.folder) / "reference")

    series = await trial.in_turn(ours, reference)
    return [*_start_rows(series), *_memory_rows(series)]


def _split(kind: str, mesh: RunningMesh) -> dict[str, float]:
    """Return the seconds of each stage, which are told as the moment when it was done."""
    before, split = 0.0, {}
    for stage, moment in mesh.timings.items():
        split[f"{kind} {stage}"], before = moment - before, moment
    return split


async def _weight(mesh: RunningMesh) -> dict[str, float]:
    """Return the megabytes of each part at rest."""
    await settled_bytes(mesh.pids["worker-1"])
    found = await asyncio.to_thread(mesh.resident_bytes)
    return {name: size / MEGABYTE for name, size in found.items()} | {"together": sum(found.values()) / MEGABYTE}


async def _without_us(folder: Path) -> Figures:
    """Start the two servers and an interpreter that imports the libraries at the same time, twice, and weigh them."""
    passable(folder)
    postgres, valkey = Postgres(folder / "postgres"), Valkey(folder / "valkey")
    try:
        figures: dict[str, float] = {}
        for kind in ("cold", "warm"):
            began = time.perf_counter()
            async with AsyncExitStack() as stack:
                starts = [asyncio.create_task(asyncio.to_thread(each.start)) for each in (postgres, valkey)]
                pid = await stack.enter_async_context(idle_child(MESH_LIBRARIES))
                await asyncio.gather(*starts)
                figures[kind] = time.perf_counter() - began
                if kind == "warm":
                    worker = await stack.enter_async_context(idle_child(WORKER_LIBRARIES))
                    figures |= await _bare_weight({"mesh": pid, "worker-1": worker}, postgres, valkey)
            await asyncio.to_thread(valkey.stop)
            await asyncio.to_thread(postgres.stop)
        return figures
    finally:
        await asyncio.to_thread(valkey.remove)
        await asyncio.to_thread(postgres.remove)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _bare_weight(interpreters: dict[str, int], postgres: Postgres, valkey: Valkey) -> dict[str, float]:
    """Return the megabytes of each part of the reference."""
    assert postgres.pid is not None
    assert valkey.pid is not None
    pids = {**interpreters, "postgres": postgres.pid, "valkey": valkey.pid}
    weights = {name: await asyncio.to_thread(tree_bytes, pid) / MEGABYTE for name, pid in pids.items()}
    return {**weights, "together": sum(weights.values())}


def _start_rows(series: Series) -> list[Row]:
    rows = []
    for kind, what in (("cold", "fresh home to healthy"), ("warm", "second start to healthy")):
        stages = ", ".join(
            f"{name.removeprefix(f'{kind} ')} {median(values):.2f} s"
            for name, values in series.ours.items()
            if name.startswith(f"{kind} ")
        )
        row = Row(
            *("start", f"{kind}: {what}", "s", _WITHOUT_US, series.ours[kind], series.reference[kind]),
            limit=START_LIMIT_S,
            note=f"one after the other: {stages}",
        )
        rows.append(row)
    return rows


def _memory_rows(series: Series) -> list[Row]:
    kind = memory_kind()
    rows = [
        Row(
            *("memory", f"all together at rest ({kind})", "MB", "the four references below"),
            *(series.ours["together"], series.reference["together"]),
            limit=MEMORY_LIMIT_MB,
            note="mesh, PostgreSQL with its processes, Valkey, one worker",
        )
    ]
    for name, what in PARTS.items():
        rows.append(Row("memory", what, "MB", _REFERENCES[name], series.ours[name], series.reference[name]))
    return rows
