"""A small TCP proxy between processes of ours, which can cut its connections, refuse new ones and hold bytes back."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

PIECE_BYTES = 64 * 1024


class Proxy:
    """Listens on a port of its own and passes everything on to the target port."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0
        self.target = 0
        self.refusing = False
        self.delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen; the target may come later."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> int:
        """Abort every open connection and return how many ends that were."""
        ends = list(self._open)
        for end in ends:
            end.transport.abort()
        return len(ends)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        self._open.add(writer)
        outward: asyncio.StreamWriter | None = None
        try:
            if self.refusing:
                return
            answers, outward = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(outward)
            both = ((reader, outward), (answers, writer))
            ways = [asyncio.create_task(self._pass(*ends)) for ends in both]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, outward):
                if end is not None:
                    self._open.discard(end)
                    end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes one way until that way ends."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(piece)
                await writer.drain()
            # The other way may still have something to say.
            await asyncio.sleep(0.05)
