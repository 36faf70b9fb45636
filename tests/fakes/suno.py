"""A stand-in for the vendors that resell Suno's songs: sunoapi.org, or with `dialect="kie"` api.kie.ai.

It keeps what breaks clients. Every answer is HTTP 200 with the outcome in `code` of the body, and the two dialects mean
different things by the same numbers. An order gives two songs; `record-info` tells it in camelCase and repeats the
request as a JSON text, the callback tells it in snake_case, more than once and not in order. Lengths are checked by the
model, twenty orders in ten seconds are accepted, links die, a word of the list of sensitive ones fails a task, and a
task can be lost, which looks like one that waits for ever. A song is paid for when it is handed over: `paid` counts
the orders, failed ones are given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.song import cover_png, song_mp3
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

MODELS: Mapping[str, tuple[int, int, int]] = {
    "V4": (3000, 200, 80),
    "V4_5": (5000, 1000, 100),
    "V4_5PLUS": (5000, 1000, 100),
    "V4_5ALL": (5000, 1000, 80),
    "V5": (5000, 1000, 100),
    "V5_5": (5000, 1000, 100),
}
"""Longest prompt, style and title of each model."""

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "sunoapi": {"bad": 400, "long": 413, "credits": 429, "often": 430, "maintenance": 455, "server": 500},
    "kie": {"bad": 422, "long": 422, "credits": 402, "often": 429, "maintenance": 455, "server": 500},
}
"""The body code of each error in each dialect."""

_MOST_ORDERS, _WINDOW_S = 20, 10.0
_SONGS = 2
_NO_KEY = 401
_FAILURES = ("CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED", "CALLBACK_EXCEPTION")


@dataclass
class Task:
    """One order and what will become of it."""

    task_id: str
    request: dict[str, Any]
    began: float
    fate: str = "SUCCESS"
    lost: bool = False
    half: bool = False
    silent: bool = False
    one_broken: bool = False
    calls: list[asyncio.Task[None]] = field(default_factory=list)


class Suno(StandIn):
    """One account; `seconds` is how long a song takes, `song_s` how long it is, `links_s` how long a link lives."""

    name: ClassVar[str] = "suno"
    FAULTS: ClassVar[Mapping[str, Fault]] = {
        **{word: Fault(name=word) for word in ("credits", "often", "maintenance", "server", "captcha")},
        **{
            word: Fault(name=word)
            for word in ("lost_task", "half_file", "silent", "one_broken", "accepts_and_breaks", *_FAILURES)
        },
        "slow": Fault(delay_s=2.0),
        "http_500": Fault(status=500, body="<html>oops</html>"),
        "http_502": Fault(status=502, body="<html>bad gateway</html>"),
        "http_503": Fault(status=503, body="busy"),
        "cut": Fault(cut=True, on="/generate"),
        "data_null": Fault(status=200, body={"code": 200, "msg": "success", "data": None}, on="/generate"),
        "gone_links": Fault(status=403, body="expired", on="/files/"),
    }

    def __init__(
        self,
        *,
        key: str = "suno-key",
        dialect: str = "sunoapi",
        seconds: float = 1.0,
        song_s: float = 20.0,
        links_s: float = 15 * 24 * 3600.0,
        most_orders: int = _MOST_ORDERS,
        window_s: float = _WINDOW_S,
        sensitive: tuple[str, ...] = ("forbiddenword",),
        clock: Clock = now,
    ) -> None:
        super().__init__(clock=clock)
        self.key, self.dialect = key, dialect
        self.seconds, self.song_s, self.links_s = seconds, song_s, links_s
        self.most_orders, self.window_s, self.sensitive = most_orders, window_s, sensitive
        self.tasks: dict[str, Task] = {}
        self.paid = 0
        self._sent: deque[float] = deque()

    def routes(self) -> list[web.RouteDef]:
        """Return the API and where its files lie."""
        return [
            web.post("/api/v1/generate", self._generate),
            web.get("/api/v1/generate/record-info", self._record_info),
            web.get("/api/v1/generate/credit", self._credit),
            web.get("/files/{task_id}/{number}.mp3", self._file),
            web.get("/files/{task_id}/{number}.png", self._picture),
        ]

    def settings(self) -> dict[str, str]:
        """Return what has songs of words made here and by MiniMax's stand-in; a hum stays with our own engine."""
        return {
            "MUSIC_PROVIDERS": "suno,minimax,offline",
            "SUNO_URL": self.url,
            "SUNO_KEY": self.key,
            "SUNO_USD": "0.1",
        }

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Order a song, ask how far it is, and fetch what will be there."""
        headers = {"Authorization": f"Bearer {self.key if good_key else 'another'}"}
        body = {
            "customMode": True,
            "instrumental": False,
            "model": "V4_5ALL",
            "callBackUrl": "https://callback.invalid/",
            "title": "Morning",
            "style": "folk",
            "prompt": "A street in the morning light",
        }
        ordered = await ask("POST", "/api/v1/generate", json=body, headers=headers)
        task_id = next(reversed(self.tasks), "none")
        path = "/api/v1/generate/record-info"
        told = await ask("GET", path, params={"taskId": task_id}, headers=headers)
        until = str(self.clock().timestamp() + self.links_s)
        return [ordered, told, await ask("GET", f"/files/{task_id}/0.mp3", params={"until": until})]

    def refused(self, reply: Reply) -> bool:
        """Return whether the body says 401, which HTTP does not."""
        return reply.json().get("code") == _NO_KEY

    async def _generate(self, request: web.Request) -> web.Response:
        """Take an order, or say in the body why not."""
        refusal = self._refusal(request)
        body: dict[str, Any] = {}
        if refusal is None:
            try:
                body = await request.json()
            except ValueError:
                refusal = self._say("bad", "the body is no JSON")
        refusal = refusal or self._wrong(body) or self._too_often()
        if refusal is not None:
            return refusal
        task = Task(secrets.token_hex(16), body, time.monotonic())
        task.lost, task.half, task.silent = self.told("lost_task"), self.told("half_file"), self.told("silent")
        task.one_broken = self.told("one_broken")
        for fate in _FAILURES:
            if self.told(fate):
                task.fate = fate
        if any(word in str(body.get("prompt", "")).lower() for word in self.sensitive):
            task.fate = "SENSITIVE_WORD_ERROR"
        self.tasks[task.task_id] = task
        if task.fate in {"SUCCESS", "CALLBACK_EXCEPTION"} and not task.lost:
            self.paid += 1
        task.calls.append(asyncio.create_task(self._call_back(task)))
        if self.told("accepts_and_breaks"):
            # Whoever asked never hears that it was accepted.
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return _said(200, "success", {"taskId": task.task_id})

    async def _record_info(self, request: web.Request) -> web.Response:
        refusal = self._key_refusal(request)
        if refusal is not None:
            return refusal
        task = self.tasks.get(request.query.get("taskId", ""))
        if task is None:
            return _said(200, "success", None)
        status = self._status(task)
        songs = [self._song(task, number) for number in self._ready(task, status)]
        data = {
            "taskId": task.task_id,
            "parentMusicId": "",
            "param": json.dumps(task.request),
            "response": {"taskId": task.task_id, "sunoData": songs} if status != "PENDING" else None,
            "status": status,
            "type": "GENERATE",
            "errorCode": 400 if status == "SENSITIVE_WORD_ERROR" else None,
            "errorMessage": "words" if status == "SENSITIVE_WORD_ERROR" else None,
        }
        return _said(200, "success", data)

    async def _credit(self, request: web.Request) -> web.Response:
        return self._key_refusal(request) or _said(200, "success", 1000 - self.paid)

    async def _file(self, request: web.Request) -> web.Response:
        task = self._linked(request)
        number = int(request.match_info["number"])
        sound = song_mp3(number, self.song_s, silent=task.silent)
        if task.half or (task.one_broken and number):
            sound = sound[: len(sound) // 2]
        return web.Response(body=sound, content_type="audio/mpeg")

    async def _picture(self, request: web.Request) -> web.Response:
        self._linked(request)
        return web.Response(body=cover_png(int(request.match_info["number"])), content_type="image/png")

    def _linked(self, request: web.Request) -> Task:
        """Return the task that a link belongs to; raises HTTPForbidden for one that has expired or never was."""
        task = self.tasks.get(request.match_info["task_id"])
        until = request.query.get("until", "")
        if task is None or not until.replace(".", "").isdigit() or self.clock().timestamp() > float(until):
            raise web.HTTPForbidden
        return task

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Return the answer of an account that cannot order now, None when it can."""
        if self.told("captcha"):
            return _said(self._number("bad"), "hCaptcha required, token validation failed", None)
        words = {
            "credits": "insufficient credits",
            "often": "call frequency too high",
            "maintenance": "under maintenance",
            "server": "server exception",
        }
        for word, message in words.items():
            if self.told(word):
                return self._say(word, message)
        return self._key_refusal(request)

    def _key_refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return _said(_NO_KEY, "You do not have access permissions", None)
        return None

    def _wrong(self, body: Mapping[str, Any]) -> web.Response | None:
        """Return the refusal of a request that is not as it must be, None for a good one."""
        lengths = MODELS.get(str(body.get("model")))
        if lengths is None or not str(body.get("callBackUrl", "")).startswith("http"):
            return self._say("bad", "model or callBackUrl is wrong")
        if not isinstance(body.get("customMode"), bool) or not isinstance(body.get("instrumental"), bool):
            return self._say("bad", "customMode and instrumental are required")
        if body.get("vocalGender", "m") not in {"m", "f"}:
            return self._say("bad", "vocalGender must be m or f")
        needed = ["prompt"]
        if body["customMode"]:
            needed = ["style", "title"] if body["instrumental"] else ["style", "title", "prompt"]
        if not all(body.get(name) for name in needed):
            return self._say("bad", f"{' and '.join(needed)} are required")
        longest = dict(zip(("prompt", "style", "title"), lengths, strict=True))
        if self.dialect == "kie":
            longest["title"] = 80
        if any(len(str(body.get(name, ""))) > most for name, most in longest.items()):
            return self._say("long", "The theme or prompt is too long")
        return None

    def _too_often(self) -> web.Response | None:
        at = time.monotonic()
        while self._sent and at - self._sent[0] >= self.window_s:
            self._sent.popleft()
        if len(self._sent) >= self.most_orders:
            return self._say("often", "call frequency too high")
        self._sent.append(at)
        return None

    def _status(self, task: Task) -> str:
        share = (time.monotonic() - task.began) / max(self.seconds, 1e-6)
        if task.lost or share < 0.3:
            return "PENDING"
        if share < 0.6:
            return "TEXT_SUCCESS"
        if share < 1.0:
            return "FIRST_SUCCESS"
        return task.fate

    def _ready(self, task: Task, status: str) -> range:
        """Return the numbers of the songs that are told of at this stage."""
        if status in {"SUCCESS", "CALLBACK_EXCEPTION", "FIRST_SUCCESS", "TEXT_SUCCESS"}:
            return range(_SONGS)
        return range(0)

    def _song(self, task: Task, number: int) -> dict[str, Any]:
        """Return one song as record-info tells it: what is not made yet has empty links."""
        done = self._status(task) in {"SUCCESS", "CALLBACK_EXCEPTION"} or (
            number == 0 and self._status(task) == "FIRST_SUCCESS"
        )
        until = f"?until={self.clock().timestamp() + self.links_s:.3f}"
        path = f"{self.url}/files/{task.task_id}/{number}"
        return {
            "id": f"{task.task_id}-{number}",
            "audioUrl": f"{path}.mp3{until}" if done else "",
            "streamAudioUrl": f"{path}.mp3{until}",
            "imageUrl": f"{path}.png{until}" if done else "",
            "prompt": task.request.get("prompt", ""),
            "modelName": "chirp-crow",
            "title": task.request.get("title", ""),
            "tags": task.request.get("style", ""),
            "createTime": f"{self.clock():%Y-%m-%d %H:%M:%S}",
            "duration": self.song_s if done else None,
        }

    async def _call_back(self, task: Task) -> None:
        """Tell the caller's address what happens: `first` late, `complete` twice."""
        address = str(task.request["callBackUrl"])
        if not address.startswith(("http://127.0.0.1", "http://localhost")):
            return
        await asyncio.sleep(self.seconds)
        kinds = ["complete", "first", "complete"] if task.fate == "SUCCESS" else ["error"]
        async with aiohttp.ClientSession() as session:
            for kind in kinds if not task.lost else []:
                with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                    async with session.post(address, json=self._callback(task, kind), timeout=_CALLBACK):
                        pass

    def _callback(self, task: Task, kind: str) -> dict[str, Any]:
        """Return a callback's body: other names than record-info has for the same things."""
        renamed = {
            "audioUrl": "audio_url",
            "streamAudioUrl": "stream_audio_url",
            "imageUrl": "image_url",
            "modelName": "model_name",
        }
        songs = [
            {renamed.get(name, name): value for name, value in self._song(task, number).items()}
            for number in (range(_SONGS) if kind != "error" else ())
        ]
        code = 200 if kind != "error" else 400
        return {"code": code, "msg": kind, "data": {"callbackType": kind, "task_id": task.task_id, "data": songs}}

    def _number(self, word: str) -> int:
        return NUMBERS[self.dialect][word]

    def _say(self, word: str, message: str) -> web.Response:
        return _said(self._number(word), message, None)


_CALLBACK = aiohttp.ClientTimeout(total=15)


def _said(code: int, message: str, data: Any) -> web.Response:
    """Return the envelope of every answer; its HTTP status is 200 whatever happened."""
    return web.json_response({"code": code, "msg": message, "data": data})
