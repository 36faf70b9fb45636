"""What an idle connection and an open event stream weigh in the gateway's process, against bare aiohttp."""

import asyncio

import psutil

from services.kit.ids import new_id
from tests.bench.edge_stack import Stack
from tests.bench.ends import running_end
from tests.bench.rounds import Figures, Row, Trial

CONNECTIONS = 500
_ANSWER_S = 30.0
_SETTLE_S = 0.3
_HOST = "127.0.0.1"


async def measure(trial: Trial, ours: Stack, token: str) -> list[Row]:
    """Return one row for connections that have asked once and stay, and one for event streams."""
    async with running_end("tests.bench.crowd", "bare") as bare:
        port = int((await bare.ask({"kind": "sse"}))["port"])
        job = f"/api/v1/jobs/{new_id()}/events"
        rows = []
        kinds = {
            "idle connection": ("/health/live", "/nothing", ""),
            "open event stream": (job, "/events", "\r\nAccept: text/event-stream"),
        }
        for what, (our_path, bare_path, more) in kinds.items():
            mine = _Crowd(ours.pids[0], ours.port, our_path, token + more)
            theirs = _Crowd(bare.pid, port, bare_path, token + more)
            series = await trial.in_turn(mine.side, theirs.side)
            values = (series.ours["kb"], series.reference["kb"])
            rows.append(Row("edge", f"memory of an {what}", "KB", "bare aiohttp", *values, note=_NOTE))
    return rows


_NOTE = f"{CONNECTIONS} more each round, all of which stay"


class _Crowd:
    """Connections that grow in number."""

    def __init__(self, pid: int, port: int, path: str, token: str) -> None:
        self._process = psutil.Process(pid)
        self._port = port
        self._request = f"GET {path} HTTP/1.1\r\nHost: edge.test\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        self._open: list[asyncio.StreamWriter] = []

    async def side(self) -> Figures:
        """Return by how many kilobytes each of the further connections has made the process larger."""
        before = self._process.memory_info().rss
        for _ in range(CONNECTIONS):
            reader, writer = await asyncio.open_connection(_HOST, self._port)
            self._open.append(writer)
            writer.write(self._request)
            async with asyncio.timeout(_ANSWER_S):
                await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(_SETTLE_S)
        return {"kb": (self._process.memory_info().rss - before) / CONNECTIONS / 1000}
