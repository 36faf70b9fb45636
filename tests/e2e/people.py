"""People at the JSON API: what they do, what they are answered, and what is theirs afterwards."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

from services.mesh.client import Client

T = TypeVar("T")

PATIENCE_S = 240.0
WISHES: dict[str, Any] = {"title": "Ode", "duration_s": 30, "seed": 7}
MINE = {"tracks": "tracks", "assets": "assets", "jobs": "jobs", "shares": "shares", "wallet/entries": "entries"}


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers, bytes."""

    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        """The bytes as JSON."""
        return json.loads(self.raw)

    @property
    def refusal(self) -> tuple[int, int, str]:
        """Status, public code and symbol of a refusal."""
        return self.status, self.body["code"], self.body["error"]

    @property
    def fields(self) -> set[str]:
        """The fields that a refusal names, as violations or in its facts."""
        details = self.body["details"]
        named = {each["field"] for each in details["fields"]}
        return named | ({details["metadata"]["field"]} if "field" in details["metadata"] else set())


@dataclass(frozen=True)
class Event:
    """One server-sent event; `number` is its id, -1 without one."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Song:
    """A finished track, its asset, and the events of its job as they came in live."""

    asset: dict[str, Any]
    created: dict[str, Any]
    track: dict[str, Any]
    events: list[Event] = field(repr=False)

    @property
    def track_id(self) -> str:
        """The id of the track."""
        return str(self.track["track_id"])

    @property
    def job_id(self) -> str:
        """The id of its job."""
        return str(self.track["job_id"])


class Person(Client):
    """A client who also looks at refusals closely."""

    user_id = ""

    async def arrive(self) -> Self:
        """Log in as somebody new and wait for the credits of registration."""
        self.user_id = (await self.login())["user_id"]
        await until(self.credits, lambda found: found == (100, 0))
        return self

    async def ask(self, method: str, path: str, *, patience_s: float = 60, **request: Any) -> Answer:
        """Return the answer, whatever it is; `headers` come on top of ours, and a full address is taken as it is."""
        headers = self.headers() | request.pop("headers", {})
        url = path if path.startswith("http") else self.base_url + path
        timeout = aiohttp.ClientTimeout(total=patience_s)
        async with self.session.request(method, url, headers=headers, timeout=timeout, **request) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def send(
        self,
        data: bytes,
        filename: str,
        content_type: str = "audio/wav",
        *,
        path: str = "/api/v1/assets/audio/upload",
        **headers: str,
    ) -> Answer:
        """Send bytes as the file of a multipart form."""
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(data), filename=filename, content_type=content_type)
        return await self.ask("POST", path, data=form, headers=headers, patience_s=120)

    async def credits(self) -> tuple[int, int]:
        """Return the credits that can be spent and those that are held."""
        balance = (await self.call("GET", "/api/v1/wallet/balance"))["balance"]
        return balance["available_credits"], balance["held_credits"]

    async def belongings(self) -> dict[str, Any]:
        """Return everything that is this person's: credits, tracks, assets, jobs, shares, ledger lines."""
        found: dict[str, Any] = {"credits": await self.credits()}
        for path, name in MINE.items():
            listed = (await self.call("GET", f"/api/v1/{path}?page_size=100"))[name]
            # Addresses are signed anew each time, and that is no change.
            found[name] = [{key: value for key, value in each.items() if "url" not in key} for each in listed]
        for track in found["tracks"]:
            for variant in track["variants"]:
                variant.update({key: "" for key in variant if "url" in key})
        return found

    async def settled_asset(self, asset_id: str) -> dict[str, Any]:
        """Return the asset once it is ready or failed, following its event stream."""
        async with asyncio.timeout(PATIENCE_S):
            async for _ in self.events(f"/api/v1/assets/{asset_id}/events"):
                pass
        return dict((await self.call("GET", f"/api/v1/assets/{asset_id}"))["asset"])

    async def ready_asset(self, path: Path) -> dict[str, Any]:
        """Upload a recording and return its asset when it is ready."""
        asset = await self.settled_asset((await self.upload(path))["asset_id"])
        assert asset["state"] == "ready", asset
        return asset

    async def order(self, asset_id: str, **wishes: Any) -> dict[str, Any]:
        """Ask for a short song and return what the creation answered."""
        return dict(await self.call("POST", "/api/v1/tracks", {"asset_id": asset_id, **WISHES, **wishes}))

    async def finished(self, job_id: str) -> dict[str, Any]:
        """Return the job once it has ended, polling it as a client without event streams does."""

        async def job() -> dict[str, Any]:
            return dict((await self.call("GET", f"/api/v1/jobs/{job_id}"))["job"])

        return await until(job, lambda found: found["state"] in {"completed", "failed", "cancelled"})

    async def stream(self, path: str, *, after: int | None = None, most: int | None = None) -> list[Event]:
        """Return the events of a stream to its end, or hang up after `most` of them."""
        headers = self.headers() | ({} if after is None else {"Last-Event-ID": str(after)})
        timeout, found = aiohttp.ClientTimeout(total=PATIENCE_S), list[Event]()
        async with self.session.get(self.base_url + path, headers=headers, timeout=timeout) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            async for event in _events(answer.content):
                found.append(event)
                if len(found) == most:
                    break
        return found


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    """Parse as WHATWG HTML section 9.2.6 says."""
    number, name, data = -1, "message", list[str]()
    async for raw in content:
        key, _, value = raw.decode().rstrip("\n").partition(":")
        value = value.removeprefix(" ")
        if key == "id":
            number = int(value)
        elif key == "event":
            name = value
        elif key == "data":
            data.append(value)
        elif not key and not value and data:
            yield Event(number, name, json.loads("\n".join(data)))
            number, name, data = -1, "message", []


async def until(
    look: Callable[[], Awaitable[T]], good: Callable[[T], bool], *, patience_s: float = PATIENCE_S, pause_s: float = 0.2
) -> T:
    """Return what is seen as soon as it is good; fails with the last sight when it never is."""
    deadline = time.monotonic() + patience_s
    while True:
        found = await look()
        if good(found):
            return found
        assert time.monotonic() < deadline, f"still {found}"
        await asyncio.sleep(pause_s)
