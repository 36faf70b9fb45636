"""``python -m tests.gateway.overload_load``: asks a mesh for more than it can answer, from a process of its own.

The moments of the requests are fixed beforehand, whatever became of those before, and how late an answer is counts from
its moment. It reads one JSON object from standard input and writes one: for every request its second, its status, its
milliseconds and whether a refusal said when to come back.
"""

import asyncio
import json
import sys
import time
from typing import Any

_PATIENCE_S = 60.0


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request on its way at most."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._got = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(b"")

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0 or self._answer is None or self._answer.done():
            return
        fields = bytes(self._got[:head]).lower()
        length = int(fields.split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._got) >= head + 4 + length:
            self._answer.set_result(fields)
            self._got.clear()

    async def ask(self, request: bytes) -> bytes:
        """Return the head of the answer in lower case, or nothing when the connection broke."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer


async def _ask(said: dict[str, Any]) -> list[tuple[float, int, float, bool]]:
    loop, found = asyncio.get_running_loop(), []
    request, count, rate, seconds = said["request"].encode(), said["connections"], said["rate"], said["seconds"]
    connections = [(await loop.create_connection(_Connection, "127.0.0.1", said["port"]))[1] for _ in range(count)]
    began = time.perf_counter() + 0.05

    async def asking(place: int, connection: _Connection) -> None:
        number = 0
        while True:
            now = time.perf_counter()
            moment = began + (place / count + number) * count / rate if rate else now
            number += 1
            if max(moment, now) > began + seconds:
                return
            if moment > now:
                await asyncio.sleep(moment - now)
            if connection.transport is None:
                _, connection = await loop.create_connection(_Connection, "127.0.0.1", said["port"])
            head = await connection.ask(request)
            status = int(head[9:12]) if head else 0
            took_ms = 1e3 * (time.perf_counter() - moment)
            found.append((moment - began, status, took_ms, b"\r\nretry-after: " in head))

    async with asyncio.timeout(seconds + _PATIENCE_S):
        await asyncio.gather(*(asking(place, each) for place, each in enumerate(connections)))
    return found


if __name__ == "__main__":
    json.dump(asyncio.run(_ask(json.load(sys.stdin))), sys.stdout)
