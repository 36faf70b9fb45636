"""An ordinary HTTP client of the JSON gateway: what the demonstration, the benchmarks and the stories in tests use.

It knows nothing that a stranger with the API document would not know.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

_TIMEOUT_S = 30
_UPLOAD_TIMEOUT_S = 120
_RECONNECTS = 30
_PAUSE_S = 0.5
_LONGEST_EVENT = 1024 * 1024


class ApiError(Exception):
    """The gateway's refusal: HTTP status, public code, symbol, the sentence for people and the trace id."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.code = body.get("code", 0)
        self.symbol = body.get("error", "")
        self.details = body.get("details")
        self.trace_id = body.get("trace_id", "")
        super().__init__(f"{status} {self.code} {self.symbol}: {body.get('message', '')}")


class Client:
    """A person at the JSON API; use it as an async context manager."""

    def __init__(self, base_url: str, *, language: str = "en", platform: str = "web") -> None:
        self.base_url = base_url
        self.token = ""
        self._headers = {"Accept-Language": language, "X-Platform": platform}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        self._session = aiohttp.ClientSession(read_bufsize=_LONGEST_EVENT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connection pool; only inside the context manager."""
        assert self._session is not None
        return self._session

    def headers(self) -> dict[str, str]:
        """Return the headers of a call, with the token once there is one."""
        return self._headers | ({"Authorization": f"Bearer {self.token}"} if self.token else {})

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Return the data of a JSON call; raises ApiError for a refusal. Header names take underscores."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method,
            self.base_url + path,
            json=body,
            headers=self.headers() | extra,
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
        ) as answer:
            return await _data(answer)

    async def login(self, device_id: str = "") -> dict[str, Any]:
        """Log in anonymously under a fresh device id, or the one given, and keep the token."""
        body = {"provider": "web", "provider_id": device_id or secrets.token_hex(16)}
        data: dict[str, Any] = await self.call("POST", "/api/v1/auth/anonymous", body)
        self.token = data["access_token"]
        return data

    async def upload(self, path: Path) -> dict[str, Any]:
        """Send a file as a multipart form, as a browser does, and return the asset."""
        with path.open("rb") as file:
            form = aiohttp.FormData()
            form.add_field("file", file, filename=path.name)
            async with self.session.post(
                f"{self.base_url}/api/v1/assets/audio/upload",
                data=form,
                headers=self.headers(),
                timeout=aiohttp.ClientTimeout(total=_UPLOAD_TIMEOUT_S),
            ) as answer:
                data: dict[str, Any] = await _data(answer)
        return data["asset"]  # type: ignore[no-any-return]

    async def events(self, path: str, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """Yield the messages of a watch stream to its end, reconnecting where it broke off.

        The first message is the whole present state; raises ApiError for a refusal, ConnectionError when the gateway
        stays away.
        """
        for _ in range(_RECONNECTS):
            try:
                async for name, number, data in self._stream(path, after):
                    if name == "end":
                        return
                    if name == "error":
                        raise ApiError(0, data)
                    after = max(after, number)
                    yield data
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(_PAUSE_S)
        message = "the event stream breaks off again and again"
        raise ConnectionError(message)

    async def _stream(self, path: str, after: int) -> AsyncIterator[tuple[str, int, dict[str, Any]]]:
        headers = self.headers() | {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self.session.get(self.base_url + path, headers=headers, timeout=timeout) as answer:
            if answer.status != 200:  # noqa: PLR2004  # OK
                await _data(answer)
            name, number, lines = "message", after, list[str]()
            async for raw in answer.content:
                field, _, value = raw.decode().rstrip("\r\n").partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    name = value
                elif field == "id":
                    number = int(value)
                elif field == "data":
                    lines.append(value)
                elif not field and not value and (lines or name == "end"):
                    yield name, number, json.loads("\n".join(lines) or "{}")
                    name, lines = "message", []

    async def fetch(self, url: str) -> bytes:
        """Return the bytes behind an address that an answer gave."""
        async with self.session.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as answer:
            if answer.status != 200:  # noqa: PLR2004  # OK
                raise ApiError(answer.status, {"message": f"GET {url} failed"})
            return await answer.read()


async def _data(answer: aiohttp.ClientResponse) -> Any:
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(answer.status, {"message": "the answer is not JSON"})
    if answer.status >= 400 or body.get("code"):  # noqa: PLR2004  # client and server errors
        raise ApiError(answer.status, body)
    return body.get("data")
