"""The other layout by hand: every process that docker-compose.yml names, with its commands and its environment.

Where compose has container names we have loopback ports; nothing else differs. PostgreSQL and Valkey are the embedded
ones, the object store is rclone's S3 server, as there.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.mesh.home import Home
from services.mesh.postgres import Postgres
from services.mesh.process import free_port
from services.mesh.up import healthy
from services.mesh.valkey import Valkey

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("auth", "wallet", "composer", "media", "share")
PROCESSES = (*SERVICES, "gateway", "worker")
KEYS = ("cadenza", "a-secret-of-the-tests")
READY_S = 120.0


@dataclass(frozen=True)
class Split:
    """The running processes of the split layout."""

    base_url: str
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]]


def has_rclone() -> str | None:
    """Return rclone's program where the platform has one."""
    return shutil.which("rclone", path=sysconfig.get_path("scripts"))


@contextmanager
def objects_at(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run rclone's S3 server on a folder; the buckets in it are kept for the next one."""
    (folder / "cadenza").mkdir(parents=True, exist_ok=True)
    settings = ["--auth-key", ",".join(KEYS), "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    command = [has_rclone() or "rclone", "serve", "s3", *settings, str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait(10)


@asynccontextmanager
async def split_mesh(
    root: Path, *, names: tuple[str, ...] = PROCESSES, otlp_endpoint: str = "", **settings: str
) -> AsyncIterator[Split]:
    """Run the split layout under a folder, its spans sent to a receiver if there is one; it is stopped at the end.

    With fewer `names` only these processes run, and whoever asked for them waits until they answer.
    """
    await asyncio.to_thread(root.mkdir)
    postgres, valkey, port = Postgres(root / "postgres", durable=False), Valkey(root / "valkey"), free_port()
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        urls = await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(valkey.start))
        with objects_at(root / "objects", port):
            environment = _environment(compose, root, urls, port) | settings
            environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp_endpoint}
            for once in ("certificates", "migrate"):
                await asyncio.to_thread(_run, _command(compose, once), environment, root / f"{once}.log")
            split = Split(environment["PUBLIC_URL"], environment, processes)
            for name in names:
                start(split, root, name)
            if names == PROCESSES:
                await _healthy(split, root)
            yield split
    finally:
        await asyncio.to_thread(_end, processes.values())
        await asyncio.to_thread(valkey.remove)
        await asyncio.to_thread(postgres.remove)


def start(split: Split, root: Path, name: str) -> None:
    """Start a process of the layout, again if it has ended."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    with (root / f"{name}.log").open("ab") as log:
        split.processes[name] = subprocess.Popen(_command(compose, name), env=split.environment, stdout=log, stderr=log)


def _environment(compose: dict[str, Any], root: Path, urls: tuple[str, str], objects: int) -> dict[str, str]:
    """Return the variables that compose sets, with the values of this machine, and the ports that are fixed there."""
    ports = {name: free_port() for name in (*SERVICES, "gateway")}
    values = {
        "APP_ENV": "test",
        "DATABASE_URL": urls[0],
        "REDIS_URL": urls[1],
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{objects}",
        "S3_ACCESS_KEY": KEYS[0],
        "S3_SECRET_KEY": KEYS[1],
        "S3_BUCKET": "cadenza",
        "OBJECT_URL_SECRET": secrets.token_hex(32),
        "ENCRYPTION_KEY": secrets.token_hex(32),
        "TLS_SERVER_NAME": "{service}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "",
        "OTEL_EXPORTER_OTLP_HEADERS": "",
        "PUBLIC_URL": f"http://127.0.0.1:{ports['gateway']}",
        **{f"{name.upper()}_ADDRESS": f"127.0.0.1:{ports[name]}" for name in SERVICES},
    }
    ours = {"CADENZA_HOME": str(root / "home"), "CADENZA_TLS": str(root / "tls"), "PYTHONUNBUFFERED": "1"}
    listening = {f"{name.upper()}_PORT": str(port) for name, port in ports.items()}
    inherited = {name: value for name, value in Home(root).environ.items() if name in {"PATH", "HOME", "LANG"}}
    return {**inherited, **{name: values[name] for name in compose["x-environment"]}, **listening, **ours}


def _command(compose: dict[str, Any], name: str) -> list[str]:
    """Return the command of a container, run by this interpreter."""
    program, *arguments = compose["services"][name]["command"]
    assert program == "cadenza"
    return [sys.executable, "-m", "services.mesh", *arguments]


def _run(command: list[str], environment: dict[str, str], log: Path) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=READY_S)
    log.write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr


async def _healthy(split: Split, root: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not await asyncio.to_thread(healthy, split.base_url):
        for name, process in split.processes.items():
            assert process.poll() is None, (root / f"{name}.log").read_text()[-2000:]
        assert time.monotonic() < deadline, "the split layout does not become healthy"
        await asyncio.sleep(0.2)


def _end(processes: Any) -> None:
    """SIGTERM to all, SIGKILL to those that are still there after ten seconds."""
    deadline = time.monotonic() + 10
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
