"""One of the stacks that the edge's benchmark compares: its processes, and the requests as it reads them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from google.protobuf import json_format

from tests.bench.codec import asked
from tests.bench.ends import End
from tests.bench.rounds import Figures

CONNECTIONS = 16
COUNTS = {"ours": 1600, "envoy": 640, "fastapi": 480, "connect": 1600}
WARM = 160
BALANCE, LIST, CREATE = "read of a balance", "list of 20 tracks, 6 KB", "create with a body of 1 KB"
_BALANCE_PATHS = ("/api/v1/wallet/balance", "/cadenza.wallet.v1.CreditService/GetBalance")
_TRACKS = "/api/v1/tracks"
_TRACK_SERVICE = "/cadenza.composer.v1.TrackService/"


@dataclass(frozen=True)
class Stack:
    """One of the four: where it listens, the processes that serve, what it is asked."""

    name: str
    port: int
    pids: tuple[int, ...]
    load: End
    asks: dict[str, tuple[list[str], int]]

    async def run(self, kind: str, count: int, **more: Any) -> dict[str, Any]:
        """Ask `count` times; raises RuntimeError when an answer is not what was wanted."""
        requests, status = self.asks[kind]
        command = {"port": self.port, "requests": requests, "status": status, "count": count, **more}
        told = await self.load.ask({"connections": CONNECTIONS, **command})
        if told["refused"]:
            raise RuntimeError(f"{self.name} refused {kind}: {told['refused']}")
        return told

    def used_s(self) -> float:
        """Return the processor time of all that serve so far."""
        return sum(processor_s(pid) for pid in self.pids)

    async def side(self) -> Figures:
        """Return the microseconds of each kind of request, once what the others' turns have cooled is warm again."""
        figures = {}
        for kind in self.asks:
            await self.run(kind, WARM)
            before = self.used_s()
            await self.run(kind, COUNTS[self.name])
            figures[kind] = (self.used_s() - before) / COUNTS[self.name] * 1e6
        return figures


def processor_s(pid: int) -> float:
    """Return the processor time of a running process in seconds, to the nanosecond where Linux tells its threads' own.

    Source: Documentation/scheduler/sched-stats.rst of Linux, "/proc/<pid>/schedstat".
    """
    tasks = Path(f"/proc/{pid}/task")
    if not (tasks.parent / "schedstat").exists():
        used = psutil.Process(pid).cpu_times()
        return float(used.user + used.system)
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def asks(users: list[str], female: str, *, created: int = 201) -> dict[str, tuple[list[str], int]]:
    """Return the requests of the JSON API, one for each user, with the status of a good answer."""
    wish = _wish(female)
    return {
        BALANCE: ([_http("GET", _BALANCE_PATHS[0], token) for token in users], 200),
        LIST: ([_http("GET", f"{_TRACKS}?page_size=20", token) for token in users], 200),
        CREATE: ([_http("POST", _TRACKS, token, wish) for token in users], created),
    }


def posts(users: list[str]) -> dict[str, tuple[list[str], int]]:
    """Return the same requests in the Connect protocol."""
    wish = _wish("VOICE_GENDER_FEMALE")
    bodies = {
        _BALANCE_PATHS[1]: "{}",
        _TRACK_SERVICE + "ListTracks": '{"page_size":20}',
        _TRACK_SERVICE + "CreateTrack": wish,
    }
    kinds = asks(users, "")
    return {
        kind: ([_http("POST", path, token, body) for token in users], 200)
        for kind, (path, body) in zip(kinds, bodies.items(), strict=True)
    }


def _wish(female: str) -> str:
    wish = json_format.MessageToDict(asked(), preserving_proto_field_name=True)
    return json.dumps({**wish, "seed": 20, "voice_gender": female}, ensure_ascii=True)


def _http(verb: str, path: str, token: str, body: str = "") -> str:
    lines = [f"{verb} {path} HTTP/1.1", "Host: edge.test", "Accept: application/json", f"Authorization: Bearer {token}"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body])
