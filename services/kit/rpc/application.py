"""What a composition root hands over: one deployable, ready to be served."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from services.kit.ending import end

_log = logging.getLogger(__name__)

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True)
class Registered:
    """A servicer with the generated function that registers it."""

    add: Callable[[Any, Any], None]
    servicer: object


@dataclass
class Application:
    """One deployable: its services, the pings that tell its health, its long-running loops."""

    name: str
    services: list[Registered]
    pings: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    background: list[Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=list)


# The shape of `build` in every composition root: it takes the configuration and the peers.
Build = Callable[[Any, Any], AbstractAsyncContextManager[Application]]


@asynccontextmanager
async def background(applications: Sequence[Application]) -> AsyncIterator[None]:
    """Run the loops of the applications inside, each started again when it fails."""
    tasks = [
        asyncio.create_task(_keep_running(application.name, loop))
        for application in applications
        for loop in application.background
    ]
    try:
        yield
    finally:
        await end(tasks)


async def _keep_running(name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the loop until cancelled; a loop that dies is not allowed to take its work along."""
    pause = _FIRST_PAUSE_S
    while True:
        started = asyncio.get_running_loop().time()
        try:
            await loop()
        except Exception:  # noqa: BLE001  # whatever it is, the loop has to go on
            _log.exception("a background loop of %s failed and is started again", name)
        else:
            return
        if asyncio.get_running_loop().time() - started > _LONGEST_PAUSE_S:
            pause = _FIRST_PAUSE_S
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
