"""Statements that run often enough to be prepared: asyncpg itself, a few connections, no layer between.

Each statement is a transaction of its own. It is parsed and planned once per connection, costs one round trip, and
neither a ping before it nor a reset after it; in exchange nothing here may set anything that outlives a statement.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Prepared:
    """A few connections of one process; belongs to the event loop that uses it first."""

    def __init__(self, options: dict[str, Any], *, size: int, wait_s: float) -> None:
        """Keep asyncpg's options without connecting; `wait_s` is how long a statement waits for a free connection."""
        self._options = options
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(size)
        # The last one used first: under little load the others stay closed.
        self._idle: list[asyncpg.Connection] = []
        self._all: set[asyncpg.Connection] = set()

    async def fetch(self, statement: str, *arguments: object) -> Sequence[Any]:
        """Return the rows of a statement that commits by itself.

        Raises sqlalchemy's TimeoutError when no connection gets free in time, and what asyncpg raises. A statement that
        lost its connection may have been committed: repeat only what can be repeated.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise PoolTimeout("no connection for a prepared statement is free") from error
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            if connection.is_closed():
                # The server went away while the connection rested.
                self._all.discard(connection)
                connection = await self._connect()
            return await self._run(connection, statement, arguments)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Close every connection; the object can be used again afterwards."""
        every, self._all = self._all, set()
        self._idle.clear()
        for connection in every:
            connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(**self._options)
        self._all.add(connection)
        return connection

    async def _run(self, connection: asyncpg.Connection, statement: str, arguments: Sequence[object]) -> Sequence[Any]:
        """Run on one connection and lay it back, unless nobody knows what state it is in."""
        try:
            rows: Sequence[Any] = await connection.fetch(statement, *arguments)
        except asyncpg.PostgresError:
            # The server said no; whether it also hung up, the connection knows.
            self._rest(connection)
            raise
        except BaseException:
            self._all.discard(connection)
            connection.terminate()
            raise
        self._rest(connection)
        return rows

    def _rest(self, connection: asyncpg.Connection) -> None:
        if connection in self._all and not connection.is_closed():
            self._idle.append(connection)
        else:
            self._all.discard(connection)
            connection.terminate()
