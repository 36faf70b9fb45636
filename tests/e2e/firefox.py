"""Drives an installed Firefox over WebDriver BiDi, the protocol it speaks by itself: Playwright's needs its own build.

Only what the story needs: open, evaluate, put a file into a field, and hear what went wrong in the page.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAMES = ("firefox-esr", "firefox")
_START_S = 60
_ANSWER_S = 60
_LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://127\.0\.0\.1:\d+)")
_PREFERENCES = """\
user_pref("intl.accept_languages", "en-GB");
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
"""


class BiDiError(Exception):
    """The browser refused a command, or a script in it failed."""


class Tab:
    """One tab and what its scripts complained about."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.problems: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._context = ""

    async def begin(self) -> None:
        """Open the session, find the tab, and listen to its console."""
        await self.send("session.new", {"capabilities": {}})
        tree = await self.send("browsingContext.getTree", {})
        self._context = tree["contexts"][0]["context"]
        await self.send("session.subscribe", {"events": ["log.entryAdded"]})

    async def send(self, method: str, params: dict[str, Any], seconds: float = _ANSWER_S) -> dict[str, Any]:
        """Return the result of a command; events that come before it are noted.

        Raises BiDiError for a refusal, TimeoutError after so many seconds without a result.
        """
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(seconds):
            while True:
                message = await self._socket.receive_json()
                if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
                    self.problems.append(message["params"]["text"])
                if message.get("id") == number:
                    if message["type"] == "error":
                        raise BiDiError(f"{method}: {message['message']}")
                    return dict(message["result"])

    async def open(self, address: str) -> None:
        """Load a page whole."""
        await self.send("browsingContext.navigate", {"context": self._context, "url": address, "wait": "complete"})

    async def look(self, expression: str) -> Any:
        """Return what an expression of JavaScript comes to, promises awaited; raises BiDiError where it throws."""
        found = await self._evaluate(expression)
        return found.get("value")

    async def until(self, expression: str, seconds: float) -> None:
        """Wait in the page until an expression is true; raises TimeoutError with what the page says instead."""
        looking = f"""new Promise(done => {{
            const end = performance.now() + {1000 * seconds};
            const look = () => ({expression}) ? done("") : performance.now() > end
                ? done(document.body.innerText.slice(0, 600)) : setTimeout(look, 100);
            look();
        }})"""
        instead = (await self._evaluate(looking, seconds + _ANSWER_S)).get("value")
        if instead != "":
            raise TimeoutError(f"{expression} was not true after {seconds:.0f} s: {instead}")

    async def press(self, selector: str) -> None:
        """Press what the selector names, once it can be pressed."""
        await self.until(f"document.querySelector('{selector}:enabled')?.checkVisibility()", _ANSWER_S)
        await self.look(f"document.querySelector('{selector}').click()")

    async def put(self, selector: str, file: Path) -> None:
        """Put a file into the field for files that the selector names."""
        field = await self._evaluate(f"document.querySelector('{selector}')")
        element = {"sharedId": field["sharedId"]}
        await self.send("input.setFiles", {"context": self._context, "element": element, "files": [str(file)]})

    async def _evaluate(self, expression: str, seconds: float = _ANSWER_S) -> dict[str, Any]:
        asked = {"expression": expression, "target": {"context": self._context}, "awaitPromise": True}
        answer = await self.send("script.evaluate", asked | {"userActivation": True}, seconds)
        if answer["type"] == "exception":
            raise BiDiError(answer["exceptionDetails"]["text"])
        return dict(answer["result"])


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[Tab]:
    """Run a headless Firefox with a new profile and yield its tab; raises FileNotFoundError without one."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise FileNotFoundError("Firefox is not installed")
    (profile / "user.js").write_text(_PREFERENCES)
    running = await asyncio.create_subprocess_exec(
        *(program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_START_S):
            address = await _address(running)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/session", max_msg_size=0) as line:
            tab = Tab(line)
            await tab.begin()
            yield tab
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


async def _address(running: asyncio.subprocess.Process) -> str:
    if running.stderr is None:
        raise BiDiError("Firefox has no standard error to read")
    while line := await running.stderr.readline():
        if found := _LISTENING.search(line):
            return found[1].decode()
    raise BiDiError("Firefox ended before it listened")
