"""The sandbox: stand-ins for vendors, run as a process of their own beside the mesh (decision 32).

They live among the tests, which no service imports: they are started as a program, and say over HTTP which settings
point the mesh at them.
"""

import asyncio
import importlib.util
import json
import os
import sys
import urllib.request
from collections.abc import Mapping

from services.mesh.errors import CannotStart
from services.mesh.home import Home

PROGRAM = "tests.fakes"
TOOLS = "aiosmtpd"
READY_S = 30.0
SWITCH = "SANDBOX"
ON = frozenset({"1", "true", "yes", "on"})
OFF = frozenset({"", "0", "false", "no", "off"})


def command(port: int, mesh_url: str = "") -> list[str]:
    """Return the command line that serves the stand-ins on that port; raise ``CannotStart`` where they are missing.

    What vendors push goes to the mesh at ``mesh_url``.
    """
    try:
        found = importlib.util.find_spec(PROGRAM)
    except ModuleNotFoundError:
        found = None
    if found is None:
        message = "The stand-ins are not here: they live in tests/, which an installed Cadenza leaves out."
        raise CannotStart(message, "Run this from a checkout, after `make up` or `make test` has set it up.")
    if importlib.util.find_spec(TOOLS) is None:
        message = "The stand-ins need the test tools, and only what the mesh needs is installed."
        raise CannotStart(message, "Run: make .venv/dev.stamp")
    # Without the folder we stand in: another project's `tests` must not take the place of ours.
    return [sys.executable, "-P", "-m", PROGRAM, "--port", str(port), *(["--mesh", mesh_url] if mesh_url else [])]


def stay(home: Home) -> None:
    """Become the stand-ins; Ctrl-C ends them."""
    arguments = command(port_of(home))
    os.execve(arguments[0], arguments, home.environ)  # noqa: S606  # no shell: our own interpreter, arguments built here


def port_of(home: Home) -> int:
    """Return the port for the stand-ins (SANDBOX_PORT); raise ``CannotStart`` when it is taken."""
    return home.public_port("SANDBOX_PORT")


def wanted(home: Home) -> bool:
    """Return whether the mesh is to start with its stand-ins (SANDBOX).

    Raise ``CannotStart`` for what is no answer, and in production.
    """
    text = home.environ.get(SWITCH, "").strip().lower()
    if text not in ON | OFF:
        raise CannotStart(f"{SWITCH} is {text!r}, but must be 1 or 0.", "Change it or unset it (then it is 0).")
    if text in ON and home.environ.get("APP_ENV") == "production":
        message = "SANDBOX is set in production: its page shows every code that is sent, and its keys are public."
        raise CannotStart(message, "Unset one of both.")
    return text in ON


async def settings(url: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return what points the mesh at the stand-ins; a vendor of which anything is set already is left as it is."""
    groups = await asyncio.to_thread(_asked, url)
    return {
        name: value
        for group in groups.values()
        if not any(given.get(name) for name in group)
        for name, value in group.items()
    }


async def answers(url: str) -> bool:
    """Return whether the stand-ins answer."""
    try:
        await asyncio.to_thread(_asked, url)
    except (OSError, ValueError):
        return False
    return True


def _asked(url: str) -> dict[str, dict[str, str]]:
    with urllib.request.urlopen(f"{url}/_sandbox/settings", timeout=2) as answer:  # noqa: S310 - our own address
        found: dict[str, dict[str, str]] = json.load(answer)
    return found
