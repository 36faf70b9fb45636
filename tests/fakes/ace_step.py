"""A stand-in for the ACE-Step 1.5 server: a queue in memory in front of a model.

It keeps the envelope around good answers and FastAPI's `detail` with a true HTTP status around bad ones, that `result`
is JSON inside of text, that a task nobody knows has status 0 for ever (`restart` forgets all of them), the full queue
that answers 429, relative links with an encoded path, and measures that are the text N/A when there are none.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from email import message_from_bytes
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from aiohttp import web

from services.kit.clock import Clock, now
from tests.fakes.song import song_mp3
from tests.fakes.stand_in import Ask, Fault, Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER = "/srv/api_audio"
_UNAUTHORIZED = 401
_SHORTEST_S, _LONGEST_S = 10.0, 600.0


@dataclass
class Task:
    """One order in the queue."""

    request: dict[str, Any]
    began: float
    take_bytes: int = 0
    fails: bool = False
    lost: bool = False
    half: bool = False
    silent: bool = False


class AceStep(StandIn):
    """One server; a song takes `seconds` and lasts `song_s`; without a key nobody needs one."""

    name: ClassVar[str] = "ace_step"
    FAULTS: ClassVar[Mapping[str, Fault]] = {
        **{word: Fault(name=word) for word in ("lost_task", "fails", "half_file", "silent")},
        "full": Fault(status=429, body={"detail": "Server busy: queue is full"}, on="/release_task"),
        "loading": Fault(status=503, body={"detail": "LM not ready"}, on="/release_task"),
        "slow": Fault(delay_s=2.0),
        "http_500": Fault(status=500, body={"detail": "Internal Server Error"}),
        "http_502": Fault(status=502, body="bad gateway"),
        "http_503": Fault(status=503, body="busy"),
        "cut": Fault(cut=True, on="/release_task"),
        "gone_links": Fault(status=404, body={"detail": "Audio file not found"}, on="/v1/audio"),
    }

    def __init__(
        self,
        *,
        key: str = "",
        seconds: float = 1.0,
        song_s: float = 20.0,
        queue: int = 200,
        clock: Clock = now,
    ) -> None:
        super().__init__(clock=clock)
        self.key, self.seconds, self.song_s, self.queue = key, seconds, song_s, queue
        self.tasks: dict[str, Task] = {}
        self.paid = 0

    def restart(self) -> None:
        """Forget every order, as a new process does."""
        self.tasks.clear()

    def routes(self) -> list[web.RouteDef]:
        """Return the API."""
        return [
            web.post("/release_task", self._release),
            web.post("/query_result", self._query),
            web.get("/v1/audio", self._audio),
            web.get("/v1/stats", self._stats),
            web.get("/health", self._health),
        ]

    def settings(self) -> dict[str, str]:
        """Return what points ACE-Step here; whoever wants it puts it into MUSIC_PROVIDERS."""
        return {"ACE_STEP_URL": self.url}

    async def use(self, ask: Ask, *, good_key: bool = True) -> list[Reply]:
        """Order a song, ask how far it is, and fetch what will be there."""
        headers = {} if good_key else {"Authorization": "Bearer another"}
        replies = [await ask("POST", "/release_task", json={"prompt": "folk", "lyrics": "la la"}, headers=headers)]
        task_id = next(reversed(self.tasks), "none")
        replies.append(await ask("POST", "/query_result", json={"task_id_list": [task_id]}, headers=headers))
        path = {"path": f"{_FOLDER}/{task_id}-0.mp3"}
        replies.append(await ask("GET", "/v1/audio", params=path, headers=headers))
        return [*replies, await ask("GET", "/v1/stats", headers=headers)]

    def refused(self, reply: Reply) -> bool:
        """Return whether the server wants another key."""
        return reply.status == _UNAUTHORIZED

    async def _release(self, request: web.Request) -> web.Response:
        refusal = self._key_refusal(request)
        if refusal is not None:
            return refusal
        body, take = await _fields(request)
        refusal = self._wrong(body, take)
        if body is None or refusal is not None:
            return refusal or _detail(415, "Unsupported Content-Type")
        task_id = str(uuid.UUID(bytes=time.time_ns().to_bytes(16, "big")))
        task = Task(body, time.monotonic(), take)
        task.lost, task.fails = self.told("lost_task"), self.told("fails")
        task.half, task.silent = self.told("half_file"), self.told("silent")
        if not task.lost:
            self.tasks[task_id] = task
        return _wrapped({"task_id": task_id, "status": "queued", "queue_position": len(self.tasks)})

    def _wrong(self, body: Mapping[str, Any] | None, take: int) -> web.Response | None:
        """Return the refusal of an order that is not as it must be or has no room, None for a good one."""
        if body is None:
            return None
        try:
            length_s = float(body.get("audio_duration", 60))
        except ValueError:
            return _detail(400, "audio_duration is no number")
        if not _SHORTEST_S <= length_s <= _LONGEST_S or not (body.get("prompt") or body.get("lyrics")):
            return _detail(400, "prompt or lyrics are missing, or audio_duration is out of range")
        if body.get("task_type", "text2music") == "cover" and not take:
            return _detail(400, "src_audio is missing")
        if sum(self._open(task) for task in self.tasks.values()) >= self.queue:
            return _detail(429, "Server busy: queue is full")
        return None

    async def _query(self, request: web.Request) -> web.Response:
        refusal = self._key_refusal(request)
        if refusal is not None:
            return refusal
        ids = (await request.json()).get("task_id_list", [])
        ids = json.loads(ids) if isinstance(ids, str) else ids
        return _wrapped([self._told(str(task_id)) for task_id in ids])

    def _told(self, task_id: str) -> dict[str, Any]:
        task = self.tasks.get(task_id)
        if task is None:
            return {"task_id": task_id, "status": 0, "result": "[]", "progress_text": ""}
        share = (time.monotonic() - task.began) / max(self.seconds, 1e-6)
        if share < 1.0:
            result: list[dict[str, Any]] = [{"file": "", "status": 0, "progress": round(share, 2), "stage": "dit"}]
            return {"task_id": task_id, "status": 0, "result": json.dumps(result), "progress_text": "decoding"}
        if task.fails:
            result = [{"file": "", "status": 2, "error": "CUDA out of memory"}]
            return {"task_id": task_id, "status": 2, "result": json.dumps(result), "progress_text": ""}
        metas = {"bpm": 96, "duration": self.song_s, "genres": "N/A", "keyscale": "D Minor", "timesignature": "4"}
        result = [
            {
                "file": f"/v1/audio?path={quote(f'{_FOLDER}/{task_id}-{number}.mp3', safe='')}",
                "wave": "",
                "status": 1,
                "create_time": int(time.time()),
                "env": "development",
                "prompt": task.request.get("prompt", ""),
                "lyrics": task.request.get("lyrics", ""),
                "metas": metas if number == 0 else dict.fromkeys(metas, "N/A"),
                "seed_value": "1,2",
            }
            for number in range(int(task.request.get("batch_size", 2)))
        ]
        return {"task_id": task_id, "status": 1, "result": json.dumps(result), "progress_text": ""}

    async def _audio(self, request: web.Request) -> web.Response:
        refusal = self._key_refusal(request)
        if refusal is not None:
            return refusal
        path = request.query.get("path", "")
        if not path.startswith(f"{_FOLDER}/") or ".." in path:
            return _detail(403, "Access denied: path outside audio directory")
        name = path.removeprefix(f"{_FOLDER}/").removesuffix(".mp3")
        task = self.tasks.get(name[:-2])
        if task is None:
            return _detail(404, "Audio file not found")
        sound = song_mp3(int(name[-1]), self.song_s, silent=task.silent)
        return web.Response(body=sound[: len(sound) // 2] if task.half else sound, content_type="audio/mpeg")

    async def _stats(self, request: web.Request) -> web.Response:
        queued = sum(self._open(task) for task in self.tasks.values())
        jobs = {"total": len(self.tasks), "queued": max(0, queued - 1), "running": min(1, queued)}
        jobs |= {"succeeded": len(self.tasks) - queued, "failed": 0}
        stats = {"jobs": jobs, "queue_size": jobs["queued"], "queue_maxsize": self.queue}
        return self._key_refusal(request) or _wrapped(stats)

    async def _health(self, _request: web.Request) -> web.Response:
        return _wrapped({"status": "ok", "service": "ACE-Step API", "version": "1.0"})

    def _open(self, task: Task) -> bool:
        return time.monotonic() - task.began < self.seconds

    def _key_refusal(self, request: web.Request) -> web.Response | None:
        said = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return None if said == self.key else _detail(_UNAUTHORIZED, "Unauthorized")


async def _fields(request: web.Request) -> tuple[dict[str, Any] | None, int]:
    """Return the fields of an order in any of its three forms and the size of its recording; None for another form."""
    if request.content_type == "application/json":
        body = await request.json()
        return (body, 0) if isinstance(body, dict) else ({}, 0)
    if request.content_type == "application/x-www-form-urlencoded":
        return dict(await request.post()), 0
    if request.content_type != "multipart/form-data":
        return None, 0
    # The body has been read for the log, so that aiohttp's own reader of parts would find nothing.
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    fields: dict[str, Any] = {}
    size = 0
    for part in message_from_bytes(head + await request.read()).walk():
        name, data = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            if part.get_filename():
                size = len(data)
            else:
                fields[name] = data.decode()
    return fields, size


def _wrapped(data: Any) -> web.Response:
    answer = {"data": data, "code": 200, "error": None, "timestamp": int(time.time() * 1000), "extra": None}
    return web.json_response(answer)


def _detail(status: int, text: str) -> web.Response:
    return web.json_response({"detail": text}, status=status)
