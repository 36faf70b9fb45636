"""Tell a database that is out of reach from a statement that is wrong.

Whoever waits for the database to come back needs the difference: the first is repeated,
the second never gets better.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_SERVER_GOING_OR_COMING = (
    asyncpg.exceptions.PostgresConnectionError,
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.TooManyConnectionsError,
    asyncpg.exceptions.InterfaceError,
    # What the driver says when a connection is lost between two steps of one operation.
    asyncpg.InternalClientError,
)


def is_outage(error: BaseException) -> bool:
    """Return whether the error says that the database cannot be reached just now."""
    # OSError covers refused connections and the TimeoutError of a connect that hung.
    if isinstance(error, (OSError, PoolTimeout, *_SERVER_GOING_OR_COMING)):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    # The dialect wraps asyncpg's exception once more; the original is its cause.
    cause = error.orig.__cause__ if error.orig is not None else None
    return isinstance(cause, (OSError, *_SERVER_GOING_OR_COMING))


async def through_outage(attempt: Callable[[], Awaitable[T]], *, limit_s: float) -> T:
    """Return what the attempt returns, repeating it while the database is out of reach.

    The attempt must be safe to repeat. After `limit_s` seconds the last error is raised; every
    other error is raised at once.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + limit_s
    pause = _FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except Exception as error:
            if not is_outage(error) or loop.time() + pause > until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
