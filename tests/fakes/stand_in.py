"""What every vendor's stand-in shares: it notes what it is asked, and can be told to fail as its vendor fails.

A stand-in is one class with its routes. Tests run it in their own loop (`served`); `python -m tests.fakes` runs all of
them behind one port, each under its name, and lets faults be set and the log be read over HTTP.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.kit.clock import Clock, now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from aiohttp.typedefs import Handler

Vendor = TypeVar("Vendor", bound="StandIn")

MOST_SEEN = 2_000
MOST_LETTERS = 200
LARGEST_BODY = 32 * 1024 * 1024
LONGEST_DELAY_S = 600.0
OUR_SIDE = "/_sandbox/"
"""Paths of a stand-in that its vendor does not have: they are for who plays with it, never fail and are not noted."""


@dataclass(frozen=True)
class Seen:
    """One request as it came, and what it was answered; a body that is no text is told by its length."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Letter:
    """What a vendor would have brought to a person: a mail, an SMS, a line of a robot, a login code."""

    at: datetime
    kind: str
    to: str
    subject: str
    text: str


@dataclass
class Fault:
    """What goes wrong with the next `times` requests whose path holds `on`.

    After `delay_s`: with `cut` the connection breaks in the middle of the answer, with `drop` before any of it, with a
    `status` that is answered with `body`, or with `echo` all that it was asked, and with none of them the request is
    answered as usual, only late. With
    `after` the vendor does what it is asked before it fails so. A fault with a `name` is the vendor's own:
    nothing happens here, its stand-in asks `told(name)` at the place where the vendor goes wrong.
    """

    status: int = 0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut: bool = False
    drop: bool = False
    after: bool = False
    echo: bool = False
    name: str = ""
    on: str = ""
    times: int = 1


PARROT = Fault(status=400, echo=True)


@dataclass(frozen=True)
class Reply:
    """What a client got; status 0 is a connection that broke."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, an empty one when it is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Ask:
    """A client of a stand-in, as plain as can be: `await ask("POST", "/path", json=...)`."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def __call__(self, method: str, path: str, **options: Any) -> Reply:
        """Return the whole answer; `options` are aiohttp's."""
        try:
            async with self._http.request(method, self._url + path, **options) as answer:
                return Reply(answer.status, dict(answer.headers), await answer.read())
        except aiohttp.ClientError:
            return Reply(0)


class StandIn:
    """One vendor: subclasses name themselves, give their routes and list their vendor's ways to fail."""

    name: ClassVar[str]
    FAULTS: ClassVar[Mapping[str, Fault]] = {}
    """Ways in which this vendor fails, by the words they are set with: a copy is taken for each use."""

    OPEN_TO_ALL: ClassVar[bool] = False
    """Whether this vendor asks for no key at all."""

    def __init__(self, *, clock: Clock = now) -> None:
        self.clock = clock
        self.seen: deque[Seen] = deque(maxlen=MOST_SEEN)
        self.calls: Counter[str] = Counter()
        self.letters: deque[Letter] = deque(maxlen=MOST_LETTERS)
        self.faults: list[Fault] = []
        self.url = ""
        # Where events are pushed to; empty when this stand-in runs without a mesh.
        self.mesh_url = ""

    def routes(self) -> list[web.RouteDef]:
        """Return the vendor's routes."""
        raise NotImplementedError

    def settings(self) -> dict[str, str]:
        """Return the settings that point the mesh at this stand-in, where it listens now (`url`)."""
        return {}

    def credentials(self) -> dict[str, str]:
        """Return addresses and keys as the page shows them to whoever wants to call this stand-in."""
        return self.settings()

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Do what a client of this vendor ordinarily does, with a wrong key if told so, and return the answers.

        The conformance test walks over every stand-in with it: between them the calls must come by every fault.
        """
        raise NotImplementedError

    def refused(self, reply: Reply) -> bool:
        """Return whether this is how the vendor refuses a wrong key."""
        raise NotImplementedError

    async def open(self) -> None:
        """Start what listens besides the HTTP port, if anything."""

    async def close(self) -> None:
        """End what `open` started and what still runs in the background."""

    def bring(self, kind: str, to: str, subject: str, text: str) -> None:
        """Keep what a person would have got, newest last."""
        self.letters.append(Letter(self.clock(), kind, to, subject, text))

    def ways(self) -> Mapping[str, Fault]:
        """Return in which ways this vendor fails: its own, and as a parrot that says back what it was asked."""
        return {**self.FAULTS, "parrot": PARROT}

    def fail(self, *faults: str | Fault, times: int = 1, on: str = "") -> None:
        """Let the next requests go wrong, the first fault first; a word is looked up in `FAULTS`."""
        for fault in faults:
            known = self.ways()[fault] if isinstance(fault, str) else fault
            self.faults.append(replace(known, times=times, on=on or known.on))

    def told(self, name: str, path: str = "") -> bool:
        """Return whether a fault of this name is to happen now, and count it."""
        for fault in self.faults:
            if fault.name == name and fault.on in path:
                self._count(fault)
                return True
        return False

    def application(self) -> web.Application:
        """Return the server: the vendor's routes behind the log and the faults."""
        application = web.Application(middlewares=[self._around], client_max_size=LARGEST_BODY)
        application.add_routes(self.routes())
        application.cleanup_ctx.append(self._alive)
        return application

    async def _alive(self, _: web.Application) -> AsyncIterator[None]:
        await self.open()
        try:
            yield
        finally:
            await self.close()

    def _count(self, fault: Fault) -> None:
        fault.times -= 1
        if fault.times <= 0:
            self.faults.remove(fault)

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if OUR_SIDE in request.path:
            return await handler(request)
        began = time.perf_counter()
        data = await request.read()
        resource = request.match_info.route.resource
        self.calls[f"{request.method} {resource.canonical if resource else request.path}"] += 1
        status = 0
        try:
            response = await self._answer(request, handler)
        except web.HTTPException as refusal:
            status = refusal.status
            raise
        else:
            status = response.status
            return response
        finally:
            self.seen.append(
                Seen(
                    request.method,
                    request.path,
                    dict(request.query),
                    {name.lower(): value for name, value in request.headers.items()},
                    _text(data),
                    status,
                    time.perf_counter() - began,
                )
            )

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = next((each for each in self.faults if not each.name and each.on in request.path), None)
        if fault is None:
            return await handler(request)
        self._count(fault)
        await asyncio.sleep(min(fault.delay_s, LONGEST_DELAY_S))
        if fault.after:
            await handler(request)
        if fault.drop:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if fault.cut:
            return await _cut(request, await handler(request))
        if fault.echo:
            return web.json_response(_echoed(request, await request.text()), status=fault.status)
        if fault.status:
            if isinstance(fault.body, (dict, list)):
                return web.json_response(fault.body, status=fault.status, headers=fault.headers)
            return web.Response(text=str(fault.body or ""), status=fault.status, headers=fault.headers)
        return await handler(request)


def _echoed(request: web.Request, body: str) -> dict[str, Any]:
    """Return an error as careless servers word them: with everything in it that it was about."""
    about = f"cannot handle {request.method} {request.rel_url} with {dict(request.headers)} and {body}"
    return {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": about}, "errmsg": about, "msg": about}


async def _cut(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Send half of an answer that promises all of it, and break the connection."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b"{" * 64
    half = web.StreamResponse(status=whole.status, headers={"Content-Type": whole.content_type})
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return half


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"<{len(data)} bytes>"


def plain(seen: Seen) -> dict[str, Any]:
    """Return what was seen as JSON may carry it."""
    return asdict(seen)


@asynccontextmanager
async def served(vendor: Vendor) -> AsyncIterator[Vendor]:
    """Run one stand-in on a free port of this machine; its `url` says where."""
    server = TestServer(vendor.application(), host="127.0.0.1")
    await server.start_server()
    vendor.url = f"http://127.0.0.1:{server.port}"
    try:
        yield vendor
    finally:
        await server.close()
