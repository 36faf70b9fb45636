"""A Composer whose words come from the stand-ins of models, and the two ways to ask it for some: HTTP and gRPC."""

import io
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import orjson
import pytest
from aiohttp import ClientSession
from sqlalchemy import select

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from cadenza.error.v1.reason_pb2 import Reason
from gateway.codec import Codec
from gateway.envelope import STATUSES
from services.composer.domain.lyrics import Lyrics
from services.composer.storage import lyrics as storage
from services.composer.storage import tables
from services.kit.breaker import Breaker
from services.kit.log import JsonLines
from services.kit.rpc.errors import from_rpc
from tests.composer.log_readers import gateway, headers
from tests.composer.studio import Studio, running
from tests.fakes import openai_chat
from tests.fakes.gemini import KEY, MODEL, Gemini
from tests.fakes.openai_chat import OpenAiChat
from tests.fakes.stand_in import served

PATHS = ("/api/v1/ai/lyrics", "/api/ai/lyrics/generate")
WISH: dict[str, Any] = {"theme": "海边的夏天", "style": "民谣", "mood": "治愈", "seed": 7}


@dataclass(frozen=True)
class Told:
    """What a caller is told: HTTP status, public code and symbol (0 and empty when all is well), and the data."""

    status: int
    code: int
    symbol: str
    data: dict[str, Any]


@dataclass
class Newsroom:
    """A running Composer, its vendors, and a gateway in front."""

    studio: Studio
    gemini: Gemini
    chat: OpenAiChat
    http: ClientSession

    async def begin(self) -> None:
        """Be a new person, with vendors that have forgotten everything."""
        for vendor in (self.gemini, self.chat):
            vendor.faults.clear()
            vendor.calls.clear()
            vendor.seen.clear()
        await self.studio.new_user()

    async def by_http(self, path: str = PATHS[0], *, platform: str = "web", **wishes: Any) -> Told:
        """Return what an HTTP client is told."""
        given = headers(self.studio, X_Platform=platform)
        async with self.http.post(path, json={**WISH, **wishes}, headers=given) as answer:
            body = await answer.json()
        if answer.status == 200:
            return Told(200, 0, "", body["data"])
        return Told(answer.status, body["code"], body["error"], body["details"]["metadata"])

    async def by_grpc(self, _path: str = "", *, platform: str = "web", **wishes: Any) -> Told:
        """Return what a gRPC client is told, with the status that HTTP has for it."""
        request = pb.GenerateLyricsRequest(**{**WISH, **wishes})
        try:
            answer = await self.studio.lyrics().GenerateLyrics(
                request, metadata=self.studio.metadata(x_platform=platform), timeout=50
            )
        except grpc.aio.AioRpcError as error:
            told = from_rpc(error)
            return Told(STATUSES[told.reason], Reason.Value(f"REASON_{told.reason}"), told.reason, dict(told.metadata))
        return Told(200, 0, "", Codec().encode(answer))

    async def row(self) -> Lyrics:
        """Return the person's newest lyrics as they are stored."""
        async with self.studio.db.transaction() as tx:
            return (await storage.page(tx, self.studio.user_id, before="", size=1))[0]

    async def jobs(self) -> list[tuple[str, int]]:
        """Return state and attempts of the person's jobs."""
        table = tables.jobs.jobs
        query = select(table.c.state, table.c.attempt).where(table.c.user_id == self.studio.user_id)
        async with self.studio.db.transaction() as tx:
            return [(str(state), int(attempt)) for state, attempt in await tx.execute(query)]

    async def money(self) -> tuple[tuple[int, int], list[int]]:
        """Return the balance and the ledger once every message about credits has arrived."""
        await self.studio.charge.dispatcher.drain()
        return await self.studio.balance(), await self.studio.entries()


@asynccontextmanager
async def newsroom(database_url: str, redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Newsroom]:
    """Yield a newsroom with Gemini, then the chat server, then the offline writer, and short pauses.

    Breakers have tests of their own; here a vendor that failed in one test is asked again in the next.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Breaker, "admit", lambda _: True)
        async with _opened(database_url, redis_url, folder, settings) as made:
            yield made


@asynccontextmanager
async def _opened(database_url: str, redis_url: str, folder: Path, settings: dict[str, Any]) -> AsyncIterator[Newsroom]:
    async with served(Gemini(pace_s=0.0)) as gemini, served(OpenAiChat(pace_s=0.0)) as chat:
        given: dict[str, Any] = {
            "gemini_base_url": f"{gemini.url}/v1beta",
            "gemini_api_key": KEY,
            "gemini_model": MODEL,
            "gemini_usd_in": 0.5,
            "gemini_usd_out": 2.0,
            "openai_base_url": f"{chat.url}/v1",
            "openai_api_key": openai_chat.KEY,
            "openai_model": openai_chat.MODEL,
            "lyrics_pause_s": 0.01,
        }
        async with (
            running(database_url, redis_url, folder, **{**given, **settings}) as studio,
            gateway(studio, folder) as http,
        ):
            yield Newsroom(studio, gemini, chat, http)


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """Yield the lines of the log as they are written, each with the context of its call."""
    stream, lines = io.StringIO(), list[dict[str, Any]]()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines("composer"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        lines += map(orjson.loads, stream.getvalue().splitlines())
