"""How the mesh is: the state of every part, whether this process lives, whether it takes work."""

import asyncio
import shutil
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import orjson
import psutil
from aiohttp import web
from grpc_health.v1 import health_pb2
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.config import MEBIBYTE, Config
from gateway.envelope import JSON
from services.kit.clock import now
from services.kit.rpc.channel import Peers

_CHECK: Final = "/grpc.health.v1.Health/Check"
_ANSWER_S: Final = 2.0
_DISK_FREE_MIB: Final = 100
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
# What the services say of what they stand on, under these names of the standard health service.
_DEPENDENCIES: Final = ("database", "redis", "objects")

State = dict[str, Any]


class HealthPages:
    """The three health routes."""

    def __init__(self, services: tuple[str, ...], peers: Peers, redis: Redis, config: Config) -> None:
        """Ask each of the services through its channel."""
        self._services = services
        self._checks = {
            name: peers.channel(name).unary_unary(
                _CHECK,
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            for name in services
        }
        self._redis = redis
        self._config = config
        self.draining = False

    async def whole(self, _http: web.Request) -> web.Response:
        """Answer 200 when every part is well and 503 when one is not, with the state of each."""
        states = await self.states()
        healthy = all(state["status"] == "ok" for state in states.values())
        return _page("ok" if healthy else "error", healthy=healthy, services=states)

    async def live(self, _http: web.Request) -> web.Response:
        """Answer 200: the process runs and its loop turns."""
        return _page("ok", healthy=True)

    async def ready(self, _http: web.Request) -> web.Response:
        """Answer 200 while this process takes requests, 503 once it drains.

        A service that is down does not count: only its own routes fail (G-26), and taking the
        gateway out of the balancer would take the others along.
        """
        return _page("draining" if self.draining else "ok", healthy=not self.draining)

    async def states(self) -> dict[str, State]:
        """Return the state of each service, of what they stand on, and of this machine."""
        services, redis, dependencies = await asyncio.gather(
            asyncio.gather(*(self._service(name) for name in self._services)),
            self._ping_redis(),
            asyncio.gather(*(self._dependency(name) for name in _DEPENDENCIES)),
        )
        states = dict(zip(self._services, services, strict=True))
        states |= {name: state for name, state in zip(_DEPENDENCIES, dependencies, strict=True) if state is not None}
        if redis["status"] != "ok" or "redis" not in states:
            states["redis"] = redis
        states["memory"] = {"status": "ok", "resident_mib": psutil.Process().memory_info().rss // MEBIBYTE}
        states["disk"] = await asyncio.to_thread(_disk, self._config.object_store_directory)
        return states

    async def _service(self, name: str) -> State:
        return await self._ask(name, "") or {"status": "error", "detail": "does not say"}

    async def _dependency(self, dependency: str) -> State | None:
        """Return the worst that any service says of the dependency, None when none stands on it."""
        answers = await asyncio.gather(*(self._ask(name, dependency) for name in self._services))
        known = [state for state in answers if state is not None and state.get("detail") != "UNAVAILABLE"]
        return next((state for state in known if state["status"] != "ok"), known[0] if known else None)

    async def _ask(self, name: str, service: str) -> State | None:
        """Return what the service says of itself or of a dependency, None when it knows no such name."""
        try:
            answer = await self._checks[name](health_pb2.HealthCheckRequest(service=service), timeout=_ANSWER_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            return {"status": "error", "detail": error.code().name}
        if answer.status == _SERVING:
            return {"status": "ok"}
        return {"status": "error", "detail": health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}

    async def _ping_redis(self) -> State:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._redis.ping()
        except (RedisError, TimeoutError, OSError) as error:
            return {"status": "error", "detail": type(error).__name__}
        return {"status": "ok"}


def _disk(folder: Path) -> State:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free // MEBIBYTE
    return {"status": "ok" if free >= _DISK_FREE_MIB else "error", "free_mib": free}


def _page(status: str, *, healthy: bool, **more: Any) -> web.Response:
    stamp = now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = orjson.dumps({"status": status, "timestamp": stamp, **more})
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, status=200 if healthy else 503, content_type=JSON, headers=headers)
