"""``python -m tests.bench.edge_load closed``: the load generator, in a process of its own.

Requests are bytes made beforehand, one for each connection, and answers are read no further than to their end, so that
one core asks for more than any of the servers answers. `closed` asks again as soon as an answer is there; with `rate`
the moments are fixed beforehand, and how late an answer is counts from its moment, whatever came before it.
"""

import asyncio
import time
from typing import Any

from tests.bench.ends import answer, commands

PATIENCE_S = 120.0
_END_OF_CHUNKS = b"0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """One keep-alive connection that has one request on its way at most."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[bytes]
        self._got = bytearray()
        self._length = -1  # of the whole answer in bytes, -1 until its head is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "_waiting") and not self._waiting.done():
            self._waiting.set_exception(error or EOFError("closed before the answer"))

    def close(self) -> None:
        self._transport.close()

    async def ask(self, request: bytes) -> bytes:
        """Return the whole answer."""
        self._got.clear()
        self._length = -1
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._length < 0:
            head = self._got.find(b"\r\n\r\n")
            if head < 0:
                return
            fields = bytes(self._got[:head]).lower()
            place = fields.find(b"\r\ncontent-length:")
            # An answer in chunks has no length; the last chunk tells its end.
            self._length = head + 4 + int(fields[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        whole = len(self._got) >= self._length if self._length else self._got.endswith(_END_OF_CHUNKS)
        if whole and not self._waiting.done():
            self._waiting.set_result(bytes(self._got))


async def _run(said: dict[str, Any]) -> dict[str, Any]:
    """Ask `count` times over `connections` connections; the seconds that took, the milliseconds of each, a refusal."""
    loop, connections, late = asyncio.get_running_loop(), [], []
    requests = [text.encode() for text in said["requests"]]
    for _ in range(said["connections"]):
        _, protocol = await loop.create_connection(_Connection, "127.0.0.1", said["port"])
        connections.append(protocol)
    wanted, rate = f"HTTP/1.1 {said['status']} ".encode(), said.get("rate", 0)
    began, refused = time.perf_counter() + 0.01, ""

    async def asking(place: int, connection: _Connection) -> None:
        nonlocal refused
        for number in range(place, said["count"], len(connections)):
            if rate:
                moment = began + number / rate
                await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            else:
                moment = time.perf_counter()
            got = await connection.ask(requests[place % len(requests)])
            late.append(1e3 * (time.perf_counter() - moment))
            if not got.startswith(wanted):
                refused = got[:600].decode(errors="replace")

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(asking(place, each) for place, each in enumerate(connections)))
    took = time.perf_counter() - began
    for each in connections:
        each.close()
    return {"s": took, "late_ms": late, "refused": refused}


async def main() -> None:
    """Answer every command with what became of its requests."""
    async for said in commands():
        answer(await _run(said))


if __name__ == "__main__":
    asyncio.run(main())
