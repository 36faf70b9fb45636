"""Health that follows the dependencies: a service serves while its pings answer.

The status of a gRPC service is that of its application; the empty name stands for all of them
together. A server that cannot reach its database must not be sent work.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.kit import telemetry
from services.kit.rpc.application import Application
from services.kit.rpc.method import routes_of

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 2.0
PING_S: Final = 1.5

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Ping = Callable[[], Awaitable[None]]


class Health:
    """Keeps the standard health service of a server true."""

    def __init__(self, applications: Sequence[Application]) -> None:
        """Watch the applications; everything is NOT_SERVING until the first pings have answered."""
        self.servicer = health_aio.HealthServicer()
        self._applications = applications
        self._services = {
            application.name: sorted(
                {route.method.service for each in application.services for route in routes_of(each)}
            )
            for application in applications
        }
        self._failing: dict[tuple[str, str], str] = {}
        self._checked = float("-inf")
        self._checking = asyncio.Lock()

    async def refresh(self, *, max_age_s: float = 0.0) -> None:
        """Ping everything at the same time and set the statuses; skip it when that was just done."""
        async with self._checking:
            loop = asyncio.get_running_loop()
            if loop.time() - self._checked < max_age_s:
                return
            healthy = await asyncio.gather(*(self._check(each) for each in self._applications))
            for application, serving in zip(self._applications, healthy, strict=True):
                for service in self._services[application.name]:
                    await self.servicer.set(service, _SERVING if serving else _NOT_SERVING)
            # Also what the services stand on, by the name of the ping, so that whoever asks learns what is lost.
            lost = {dependency for _, dependency in self._failing}
            for dependency in {name for application in self._applications for name in application.pings}:
                await self.servicer.set(dependency, _NOT_SERVING if dependency in lost else _SERVING)
            await self.servicer.set("", _SERVING if all(healthy) else _NOT_SERVING)
            self._checked = loop.time()

    async def run(self) -> None:
        """Refresh every two seconds until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(INTERVAL_S)

    async def drain(self) -> None:
        """Say NOT_SERVING for good."""
        await self.servicer.enter_graceful_shutdown()

    def failing(self) -> dict[str, str]:
        """Return what does not answer, as `application/dependency` with the error's name."""
        return {f"{name}/{dependency}": text for (name, dependency), text in self._failing.items()}

    async def _check(self, application: Application) -> bool:
        results = await asyncio.gather(
            *(self._ping(application.name, name, ping) for name, ping in application.pings.items())
        )
        return all(results)

    async def _ping(self, application: str, dependency: str, ping: Ping) -> bool:
        problem = ""
        try:
            async with asyncio.timeout(PING_S):
                await ping()
        except Exception as error:  # noqa: BLE001  # whatever it is, the dependency does not answer
            problem = type(error).__name__
        entry = (application, dependency)
        if problem and entry not in self._failing:
            _log.warning("%s lost its %s: %s", application, dependency, problem)
        elif not problem and entry in self._failing:
            _log.info("%s has its %s back", application, dependency)
        if problem:
            self._failing[entry] = problem
        else:
            self._failing.pop(entry, None)
        telemetry.HEALTHY.labels(application, dependency).set(0 if problem else 1)
        return not problem


class FreshHealthServicer(health_aio.HealthServicer):
    """A health service that pings when it is asked, for a mesh inside one process."""

    def __init__(self, health: Health, *, max_age_s: float = 1.0) -> None:
        """Answer from `health`, whose pings may be `max_age_s` old."""
        super().__init__()
        self._health = health
        self._max_age_s = max_age_s

    async def Check(self, request: Any, context: Any) -> Any:  # named by the contract
        """Return the status as of now."""
        await self._health.refresh(max_age_s=self._max_age_s)
        return await self._health.servicer.Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:  # named by the contract
        """Stream the statuses that a running `Health` sets."""
        await self._health.servicer.Watch(request, context)
