"""An engine server to speak to over HTTP: takes orders by id, does each once; see `composer.providers.remote`.

What it answers has the form of the real engine's answers and no music in it: the torture wants many short songs.
`orders` counts how often each order was begun, so that a test can tell whether anything was bought twice.
"""

import asyncio
import hashlib
import io
import json
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from services.composer.providers.sound import encode_mp3, ffmpeg_program

RATE = 44_100
SONG_S = 1.0
LARGEST_ORDER = 32 * 1024 * 1024


@dataclass
class Order:
    """One piece of work: how far it is, and the answer once it is done."""

    request: dict[str, Any]
    percent: int = 0
    answer: bytes = b""
    abandoned: bool = False


@dataclass
class EngineServer:
    """The server; `seconds` is how long a piece of work takes, `refuses` and `answers` make it difficult."""

    seconds: float = 0.2
    refuses: str = ""
    away: bool = False
    answers: bytes = b""
    orders: Counter[str] = field(default_factory=Counter)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    _orders: dict[str, Order] = field(default_factory=dict)
    _work: set[asyncio.Task[None]] = field(default_factory=set)
    url: str = ""

    @property
    def waiting(self) -> list[str]:
        """The ids of the orders that somebody waits for."""
        return list(self._orders)

    def forget(self) -> None:
        """Lose every order, as a server without a memory does when it is started anew."""
        self._orders.clear()

    async def put(self, http: web.Request) -> web.Response:
        """Take an order, or know it already."""
        self._check_there()
        order_id = http.match_info["order_id"]
        body = await http.read()
        if order_id not in self._orders:
            order = Order(json.loads(body.partition(b"\n")[0]))
            self._orders[order_id] = order
            self.orders[order_id] += 1
            self.began.set()
            work = asyncio.create_task(self._do(order))
            self._work.add(work)
            work.add_done_callback(self._work.discard)
        return web.json_response({}, status=202)

    async def get(self, http: web.Request) -> web.Response:
        """Say how far an order is, or its answer."""
        self._check_there()
        order = self._orders.get(http.match_info["order_id"])
        if order is None:
            raise web.HTTPNotFound
        if not order.answer:
            return web.json_response({"percent": order.percent, "text": "play"}, status=202)
        return web.Response(body=order.answer)

    async def delete(self, http: web.Request) -> web.Response:
        """Abandon an order."""
        self._check_there()
        # What was abandoned was not bought, and whoever asks for the same later buys it for the first time.
        order = self._orders.pop(http.match_info["order_id"], None)
        if order is not None:
            order.abandoned = True
            del self.orders[http.match_info["order_id"]]
        return web.json_response({})

    def _check_there(self) -> None:
        if self.away:
            raise web.HTTPServiceUnavailable

    async def _do(self, order: Order) -> None:
        for percent in (25, 50, 75, 100):
            await asyncio.sleep(self.seconds / 4)
            order.percent = percent
        if self.answers:
            order.answer = self.answers
            return
        if self.refuses and order.request["task"] == "check":
            order.answer = json.dumps({"refused": self.refuses, "measure": "as told"}).encode() + b"\n"
            return
        answer, blob = await asyncio.to_thread(_ANSWERS[order.request["task"]], order.request)
        order.answer = json.dumps({"answer": answer, "blob": len(blob)}).encode() + b"\n" + blob


def _check(_request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return {"loudness_lufs": -18.0, "voiced_ratio": 0.9, "snr_db": 40.0}, b""


def _listen(_request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    notes = [{"start_s": at / 2, "end_s": at / 2 + 0.45, "pitch": 60 + at} for at in range(8)]
    key = {"tonic": 0, "mode": "major"}
    segment = {"start_s": 0.0, "end_s": 4.0}
    return {"key": key, "tempo_bpm": 120.0, "beats_per_bar": 4, "notes": notes, "segment": segment}, b""


def _segment(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return dict(request["analysis"]), b""


def _make(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    label = request["order"]["label"]
    if label not in _SONGS:
        at = np.arange(int(RATE * SONG_S)) / RATE
        tone = 0.2 * np.sin(2 * np.pi * (440 if label == "A" else 550) * at)
        stereo = np.stack([tone, tone], axis=1).astype(np.float32)
        _SONGS[label] = encode_mp3(stereo, rate=RATE, ffmpeg=ffmpeg_program(""), title=label)
    answer = {
        "label": label,
        "duration_ms": round(1000 * SONG_S),
        "style": request["order"]["style"] or "pop",
        "key": "C major",
        "tempo_bpm": 120.0,
        "melody_score": 0.9,
        "loudness_lufs": -14.0,
        "true_peak_dbtp": -1.0,
        "peaks": [50] * 256,
        "chords": ["C", "G"],
        "instruments": ["Piano"],
        "scores": {"label": label, "melody": 0.9},
        "midi": b64encode(_MIDI).decode(),
        "chord_sheet": "[chorus]\n| C | G |\n",
    }
    return answer, _SONGS[label]


def _judge(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    recommended = "A" if hashlib.sha256(str(request["seed"]).encode()).digest()[0] % 2 else "B"
    scored = {each: {"score": 0.8, "recommended": each == recommended, "remarks": []} for each in ("A", "B")}
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 60, 120)).save(picture, "JPEG")
    return {"recommended": recommended, **scored}, picture.getvalue()


_ANSWERS = {"check": _check, "listen": _listen, "segment": _segment, "change": _segment, "make": _make, "judge": _judge}
_SONGS: dict[str, bytes] = {}
# One track that ends at once.
_MIDI = b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\0\4\0\xff\x2f\0"


@asynccontextmanager
async def engine_server(**settings: Any) -> AsyncIterator[EngineServer]:
    """Run an engine server on a free port of loopback; its `url` is where it listens."""
    server = EngineServer(**settings)
    app = web.Application(client_max_size=LARGEST_ORDER)
    path = "/orders/{order_id}"
    app.add_routes([web.put(path, server.put), web.get(path, server.get), web.delete(path, server.delete)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
