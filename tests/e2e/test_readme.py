"""Every command that README shows is run, as a newcomer would paste it."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from services.mesh.home import Home
from services.mesh.up import RunningMesh
from tests.e2e.conftest import FREE
from tests.fakes.sandbox import Sandbox
from tests.fakes.wechat import Wechat

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"<!-- run:(\w+) -->\n```sh\n(.*?)```", README, re.DOTALL))
COMMANDS = set(re.findall(r"`(make [a-z]+)", README)) | set(re.findall(r"^(make [a-z]+)$", README, re.MULTILINE))


def _shell(script: str, **environment: str) -> str:
    """Return what the script prints; the script stops at its first failing command."""
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        cwd=ROOT,
        env={**Home().environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_the_http_commands(mesh: RunningMesh) -> None:
    """The curl lines log in, show a new user's 100 credits, the prices and the API document."""
    out = await asyncio.to_thread(_shell, BLOCKS["http"], BASE=mesh.base_url)

    assert '"available_credits":100' in out
    assert '"amount_credits":20' in out
    assert '"openapi":"3.1' in out.replace(" ", "")


async def test_the_grpc_commands(mesh: RunningMesh) -> None:
    """The `buf curl` lines list the public methods through reflection and log in."""
    out = await asyncio.to_thread(_shell, BLOCKS["grpc"], EDGE=mesh.edge_address)

    assert "cadenza.auth.v1.SessionService/AnonymousLogin" in out
    assert '"accessToken"' in out


def test_the_lyrics_commands() -> None:
    """The writer prints A and B of each theme and forty samples, in both languages."""
    out = _shell(BLOCKS["lyrics"])

    assert out.count("海边的夏天") > 2
    assert out.count("my blue bicycle") > 2
    assert len(re.findall(r"^\(.*; seed \d+\)$", out, re.MULTILINE)) == 44


async def test_the_sandbox_commands() -> None:
    """The curl lines set a fault, make a login code, read the log and take the fault back."""
    async with TestServer(Sandbox([Wechat()], url="http://127.0.0.1").application(), host="127.0.0.1") as server:
        out = await asyncio.to_thread(_shell, BLOCKS["sandbox"], SANDBOX=str(server.make_url("")).rstrip("/"))

    assert '{"waiting": [200]}' in out
    assert '{"code": "0' in out
    assert '"seen": []' in out


def test_every_make_target_exists() -> None:
    """Every `make` that README names is a target that `make help` explains."""
    out = _shell("make help")

    assert {"make demo", "make test", "make up", "make check", "make gen", "make bench"} <= COMMANDS
    for command in COMMANDS:
        assert re.search(rf"^{command.removeprefix('make ')}\s", out, re.MULTILINE), command


def test_the_named_subcommands_exist() -> None:
    """`cadenza --help` lists every subcommand that README and the issue promise."""
    out = _shell(f"{sys.executable} -m services.mesh --help")

    for name in ("up", "demo", "doctor", "migrate", "worker", "serve", "gateway", "sandbox"):
        assert re.search(rf"^\s+{name}\s", out, re.MULTILINE), name


@pytest.mark.timeout(400)
def test_make_demo(tmp_path: Path, homes: Callable[[str], Path]) -> None:
    """`make demo` makes both songs from nothing, charges 20 credits once, and leaves no process behind."""
    environment = {**Home().environ, **FREE, "CADENZA_HOME": str(homes("demo"))}
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), "-C", str(ROOT), "demo"]
    done = subprocess.run(
        [*command, f"OUT={tmp_path}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["credits_before"], report["credits_after"]) == (100, 80)
    assert report["share_page_plays"]
    for name in ("A.mp3", "B.mp3"):
        assert (tmp_path / name).read_bytes()[:3] in {b"ID3", b"\xff\xfb\x92", b"\xff\xfb\xb0"}
    for pid in report["pids"].values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.timeout(120)
def test_make_up_prints_the_way_and_stops_on_sigterm(homes: Callable[[str], Path]) -> None:
    """`make up` says where everything is and what to paste next, and a SIGTERM ends it in order."""
    environment = {**Home().environ, **FREE, "CADENZA_HOME": str(homes("up"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.mesh", "up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    text = "".join(lines)

    assert process.returncode == 0, text + rest
    assert "curl" in text
    assert "grpcurl -plaintext" in text
    assert "buf curl" in text
