"""How tests ask the gateway: one call, its status, JSON and headers."""

import gzip
from typing import Any

import orjson
from aiohttp import ClientSession
from yarl import URL

from tests.gateway.conftest import ALICE

JSON = {**ALICE, "Content-Type": "application/json"}


async def ask(http: ClientSession, method: str, path: str | URL, **options: Any) -> tuple[int, Any, Any]:
    """Return status, JSON and headers of an answer."""
    options.setdefault("headers", ALICE)
    async with http.request(method, path, **options) as response:
        raw = await response.read()
        if response.headers.get("Content-Encoding") == "gzip":
            raw = gzip.decompress(raw)
        return response.status, orjson.loads(raw) if raw else None, response.headers
