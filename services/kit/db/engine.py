"""The door to PostgreSQL: one bounded pool per process, every wait with an end.

SQLAlchemy Core over asyncpg. Nothing connects before the first transaction, so a process
starts while the database is still down and finds it later by itself.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.kit import crash
from services.kit.db.prepared import Prepared

_CONNECT_TIMEOUT_S = 5.0
_POOL_TIMEOUT_S = 5.0
# Longer than the statement timeout: the server should be the one that ends a slow statement.
_COMMAND_TIMEOUT_S = 15.0
_PING_TIMEOUT_S = 2.0
_SERVER_SETTINGS = {
    "application_name": "cadenza",
    "timezone": "UTC",
    "statement_timeout": "10s",
    "lock_timeout": "5s",
    # A process that was stopped inside a transaction must not hold its row locks for ever.
    "idle_in_transaction_session_timeout": "30s",
    # Compiling takes longer than any statement of ours runs.
    "jit": "off",
}


def asyncpg_url(url: str) -> URL:
    """Return the address for SQLAlchemy's asyncpg dialect.

    Accepts `postgres://`, `postgresql://` and `postgresql+asyncpg://`; libpq's `sslmode`
    becomes asyncpg's `ssl`, which takes the same words.
    """
    parsed = make_url(url)
    if parsed.drivername not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        message = f"the database must be PostgreSQL, not {parsed.drivername}"
        raise ValueError(message)
    query = dict(parsed.query)
    mode = query.pop("sslmode", None)
    if mode is not None:
        query["ssl"] = mode
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _to_json(value: object) -> str:
    """Return compact JSON; NaN and infinity raise ValueError because jsonb has no word for them."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Database:
    """The pool of one process; belongs to the event loop that uses it first."""

    def __init__(self, url: str, *, pool_size: int = 5, max_overflow: int = 5, prepared_size: int = 4) -> None:
        """Prepare the pool without connecting; `prepared_size` bounds the connections of `prepared`."""
        options = {
            "timeout": _CONNECT_TIMEOUT_S,
            "command_timeout": _COMMAND_TIMEOUT_S,
            "server_settings": dict(_SERVER_SETTINGS),
        }
        self.engine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=_POOL_TIMEOUT_S,
            # One round trip per transaction buys a reconnect after every restart of the server.
            pool_pre_ping=True,
            json_serializer=_to_json,
            connect_args=options,
        )
        _, address = self.engine.dialect.create_connect_args(self.engine.url)
        self.prepared = Prepared({**address, **options}, size=prepared_size, wait_s=_POOL_TIMEOUT_S)

    @asynccontextmanager
    async def transaction(self, act: crash.AnyAct | None = None, /) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that commits at the end and rolls back on any exception.

        Raises sqlalchemy's TimeoutError when no connection is free within five seconds and
        OSError or DBAPIError when the server is out of reach. The commit is the act whose crash points it has.
        """
        async with self.engine.begin() as connection:
            yield connection
            if act is not None:
                crash.before(act)
        if act is not None:
            crash.after(act)

    async def ping(self) -> None:
        """Return when the database answers; raise within two seconds when it does not."""
        async with asyncio.timeout(_PING_TIMEOUT_S), self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every connection; the object can be used again afterwards."""
        await self.prepared.close()
        await self.engine.dispose()

    def pool_status(self) -> dict[str, Any]:
        """Return the pool's occupancy for metrics: connections held and the size it was given."""
        pool: Any = self.engine.pool
        return {"held": pool.checkedout(), "size": pool.size(), "overflow": pool.overflow()}
