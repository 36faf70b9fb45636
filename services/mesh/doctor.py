"""``cadenza doctor``: what this machine has and lacks for Cadenza, each with what to do about it.

It changes nothing and starts no server, so it can be run before the first start and beside a running mesh.
"""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from services.mesh.errors import CannotStart
from services.mesh.home import DEFAULT_EDGE_PORT, DEFAULT_GATEWAY_PORT, LAST_PORT, Home, port_owner
from services.mesh.process import free_port

Level = Literal["ok", "warn", "fail"]
PYTHON_LEAST = (3, 11)
MEMORY_FAIL_BYTES = 512 * 2**20
MEMORY_WARN_BYTES = 1024 * 2**20
DISK_FAIL_BYTES = 300 * 2**20
DISK_WARN_BYTES = 2 * 2**30
PROGRAM_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 3.0
SOUNDFONT_PLACES = (
    "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "/usr/share/sounds/sf3/MuseScore_General.sf3",
    "/usr/share/sounds/sf2/MuseScore_General.sf2",
)
FONT_PLACES = ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts")
CJK_FONT_NAMES = (
    "notosanscjk",
    "notoserifcjk",
    "notosanssc",
    "wqy",
    "pingfang",
    "sourcehan",
    "hiragino",
    "arialunicode",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report: how serious, about what, what is so and what to do."""

    level: Level
    subject: str
    fact: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as plain JSON values."""
        return asdict(self)


def examine(environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Return a finding for each thing Cadenza needs, in the order in which they are worth mending."""
    home = Home(environ=environ)
    checks: tuple[Callable[[Home], list[Finding]], ...] = (
        _python,
        _memory,
        _disk,
        _ports,
        _database,
        _valkey,
        _objects,
        _ffmpeg,
        _soundfont,
        _fonts,
    )
    return [finding for check in checks for finding in check(home)]


def _python(_: Home) -> list[Finding]:
    version = platform.python_version()
    if sys.version_info[:2] >= PYTHON_LEAST:
        return [Finding("ok", "python", version)]
    return [Finding("fail", "python", version, "Install Python 3.11 or newer and run: make clean up PYTHON=python3.11")]


def _memory(_: Home) -> list[Finding]:
    free = psutil.virtual_memory().available
    fact = f"{free / 2**30:.1f} GiB available"
    if free < MEMORY_FAIL_BYTES:
        return [Finding("fail", "memory", fact, "The mesh needs about 450 MB and a song 300 MB more: close programs.")]
    if free < MEMORY_WARN_BYTES:
        return [Finding("warn", "memory", fact, "Enough for one worker: WORKERS=1 make up")]
    return [Finding("ok", "memory", fact)]


def _disk(home: Home) -> list[Finding]:
    place = next(each for each in (home.root, *home.root.parents) if each.exists())
    if not os.access(place, os.W_OK):
        advice = "Set CADENZA_HOME to a folder you can write."
        return [Finding("fail", "disk", f"{home.root} cannot be written", advice)]
    free = home.free_disk_bytes()
    fact = f"{free / 2**30:.1f} GiB free for {home.root}"
    if free < DISK_FAIL_BYTES:
        return [Finding("fail", "disk", fact, "Free some space, or set CADENZA_HOME to a bigger disk.")]
    if free < DISK_WARN_BYTES:
        return [Finding("warn", "disk", fact, "Each song takes about 5 MB.")]
    return [Finding("ok", "disk", fact)]


def _ports(home: Home) -> list[Finding]:
    found = []
    running = home.is_claimed()
    for name, default in (("GATEWAY_PORT", DEFAULT_GATEWAY_PORT), ("EDGE_PORT", DEFAULT_EDGE_PORT)):
        try:
            port = home.number(name, default, least=0, most=LAST_PORT)
        except CannotStart as error:
            found.append(Finding("fail", name, error.problem, error.advice))
            continue
        if port == 0 or free_port(port) == port:
            found.append(Finding("ok", name, f"{port} is free" if port else "any free port"))
        elif running:
            found.append(Finding("ok", name, f"{port} is used by the Cadenza running in {home.root}"))
        else:
            owner = port_owner(port)
            advice = f"Stop that program, or choose another port: {name}={port + 1} make up"
            found.append(Finding("fail", name, f"{port} is in use{f' by {owner}' if owner else ''}", advice))
    return found


def _database(home: Home) -> list[Finding]:
    url = home.environ.get("DATABASE_URL", "")
    if url:
        return [_reachable("database", url, default_port=5432, variable="DATABASE_URL")]
    from services.mesh.account import server_account
    from services.mesh.postgres import programs

    try:
        version = server_account().run([str(programs() / "postgres"), "--version"]).stdout.decode().strip()
    except CannotStart as error:
        return [Finding("fail", "database", error.problem, error.advice)]
    except OSError:
        version = "PostgreSQL, to be copied where the server's account can run it"
    return [Finding("ok", "database", f"embedded {version or 'PostgreSQL'}")]


def _valkey(home: Home) -> list[Finding]:
    url = home.environ.get("REDIS_URL", "")
    if url:
        return [_reachable("valkey", url, default_port=6379, variable="REDIS_URL")]
    from services.mesh.valkey import program

    try:
        return [_version_of("valkey", str(program()), "--version", "Set REDIS_URL to a Redis 7 or Valkey server.")]
    except CannotStart as error:
        return [Finding("fail", "valkey", error.problem, error.advice)]


def _objects(home: Home) -> list[Finding]:
    url = home.environ.get("S3_ENDPOINT_URL", "")
    if url:
        return [_reachable("objects", url, default_port=80, variable="S3_ENDPOINT_URL")]
    return [Finding("ok", "objects", f"files in {home.objects}")]


def _ffmpeg(home: Home) -> list[Finding]:
    given = home.environ.get("FFMPEG_BINARY", "")
    advice = "Run make again to install it, or set FFMPEG_BINARY to your own."
    if given:
        return [_version_of("ffmpeg", given, "-version", "FFMPEG_BINARY names no program that runs; unset it.")]
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        return [Finding("fail", "ffmpeg", "not installed", advice)]
    import imageio_ffmpeg

    try:
        return [_version_of("ffmpeg", imageio_ffmpeg.get_ffmpeg_exe(), "-version", advice)]
    except RuntimeError:
        return [Finding("fail", "ffmpeg", "not installed", advice)]


def _soundfont(home: Home) -> list[Finding]:
    given = home.environ.get("SOUNDFONT", "")
    if given and not Path(given).is_file():
        return [Finding("fail", "soundfont", f"SOUNDFONT={given} is no file", "Correct it or unset it.")]
    good = next((each for each in (given, *SOUNDFONT_PLACES) if each and Path(each).is_file()), None)
    if good:
        return [Finding("ok", "soundfont", good)]
    better = "For a fuller sound: apt-get install musescore-general-soundfont-small"
    spec = importlib.util.find_spec("pretty_midi")
    small = [f for place in (spec and spec.submodule_search_locations) or () for f in Path(place).glob("*.sf2")]
    if small:
        return [Finding("ok", "soundfont", f"{small[0].name}, the small one that comes along", better)]
    return [Finding("fail", "soundfont", "none found", f"{better}, or set SOUNDFONT to an .sf2 or .sf3 file.")]


def _fonts(_: Home) -> list[Finding]:
    names = {
        file.name.lower().replace("-", "").replace("_", "")
        for place in (*FONT_PLACES, str(Path.home() / ".fonts"), str(Path.home() / ".local/share/fonts"))
        for file in Path(place).rglob("*.[to]t[fc]")
    }
    if any(name.startswith(CJK_FONT_NAMES) for name in names):
        return [Finding("ok", "fonts", "a font with Chinese characters is installed")]
    advice = "Chinese titles on covers show as boxes: apt-get install fonts-noto-cjk"
    return [Finding("warn", "fonts", "no font with Chinese characters", advice)]


def _reachable(subject: str, url: str, *, default_port: int, variable: str) -> Finding:
    """Return whether a server listens where the address points; the address is shown without its password."""
    parts = urlsplit(url)
    try:
        address = (parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else default_port))
        with socket.create_connection(address, timeout=CONNECT_TIMEOUT_S):
            return Finding("ok", subject, f"{variable} answers at {address[0]}:{address[1]}")
    except (OSError, ValueError) as error:
        place = f"{parts.hostname}:{parts.netloc.rpartition(':')[2]}"
        return Finding("fail", subject, f"{variable} at {place}: {error}", f"Start that server, or unset {variable}.")


def _version_of(subject: str, program: str, flag: str, advice: str) -> Finding:
    found = shutil.which(program)
    try:
        if found is None:
            return Finding("fail", subject, f"{program} is not there", advice)
        done = subprocess.run([found, flag], capture_output=True, check=False, timeout=PROGRAM_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("fail", subject, f"{program}: {error}", advice)
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode != 0 or not lines:
        return Finding("fail", subject, f"{program} ends with status {done.returncode}", advice)
    return Finding("ok", subject, lines[0][:80])
