"""A server that webhooks are sent to: it remembers what came, checks signatures, and answers as a test says."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOLERANCE_S = 300


def is_genuine(secret: str, header: str, body: bytes, now_s: float) -> bool:
    """Say whether the signature is that of this secret and not older than five minutes."""
    parts = [part.partition("=") for part in header.split(",")]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    if not stamp.isdigit() or abs(now_s - int(stamp)) > TOLERANCE_S:
        return False
    wanted = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return any([hmac.compare_digest(wanted, value) for name, _, value in parts if name == "v1"])  # noqa: C419  # all of them, whichever fits


@dataclass
class Came:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """Return the body as JSON."""
        values: dict[str, Any] = json.loads(self.body)
        return values

    @property
    def delivery_id(self) -> str:
        """Return the delivery's id."""
        return self.headers["Cadenza-Delivery"]


@dataclass
class Receiver:
    """The server; `answer` is a status, or `hang`, `cut`, `endless` or `redirect`."""

    url: str = ""
    answer: int | str = 204
    came: list[Came] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Remember the request and answer it."""
        self.came.append(Came(dict(request.headers), await request.read()))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._answer(request)
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if isinstance(self.answer, int):
            return web.Response(status=self.answer)
        if self.answer == "hang":
            await self.released.wait()
        if self.answer == "cut":
            assert request.transport is not None
            request.transport.abort()
        if self.answer == "redirect":
            return web.Response(status=307, headers={"Location": "/elsewhere"})
        if self.answer == "endless":
            response = web.StreamResponse(status=200)
            await response.prepare(request)
            while not self.released.is_set():
                await response.write(b"x" * 65536)
            return response
        return web.Response(status=204)

    async def other(self, request: web.Request) -> web.Response:
        """Note that somebody followed a redirect."""
        self.elsewhere.append(request.path)
        return web.Response(status=204)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yield a receiver on a port of its own."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    app.router.add_route("*", "/elsewhere", receiver.other)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        receiver.released.set()
        await runner.cleanup()
