"""Ending tasks for certain: a cancellation can be lost inside a client library that is timing out just then."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

_ASK_AGAIN_S: Final = 0.5
_MOST_TIMES: Final = 60


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, again and again until each has ended; what they raise is dropped.

    Raises TimeoutError after half a minute, for a task that will not be ended is a defect.
    """
    pending = set(tasks)
    for _ in range(_MOST_TIMES):
        for task in pending:
            task.cancel()
        if not pending:
            return
        done, pending = await asyncio.wait(pending, timeout=_ASK_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()
    if pending:
        names = ", ".join(sorted(task.get_name() for task in pending))
        message = f"these tasks do not end: {names}"
        raise TimeoutError(message)
