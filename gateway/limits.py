"""How much one client and all clients together may ask of this process.

Counts per minute live in Redis, shared by all gateways. A process takes several of them at a
time, so most requests are counted without a round trip; what it has not spent at the end of
the minute makes the limit at most a twentieth stricter for each process. Without Redis nothing
is refused: a limit that guards the service must not be what takes it down.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.caller import CALLER
from gateway.config import Config
from gateway.envelope import failure
from gateway.routes import Binding
from services.kit.errors import RateLimited, Unavailable

_log = logging.getLogger(__name__)

_WINDOW_S: Final = 60
_SHARE: Final = 20  # a process takes this part of a limit at once
_ANSWER_S: Final = 0.25
_PAUSE_S: Final = 5.0
_MOST_KEYS: Final = 50_000
# Paths of the API, and those of its methods for clients that speak gRPC-Web or Connect.
_COUNTED: Final = ("/api/", "/cadenza.")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a client stands within its minute."""

    limit: int
    remaining: int
    reset_s: int
    allowed: bool


@dataclass(slots=True)
class _Lease:
    left: int
    total: int  # as Redis counted it when the lease was taken


class RateWindows:
    """Counts of the present minute."""

    def __init__(self, client: Redis | None) -> None:
        """Count in Redis, or not at all without a client."""
        self._redis = client
        self._leases: dict[str, _Lease] = {}
        self._window = 0
        self._silent_until = 0.0

    async def take(self, scope: str, key: str, limit: int) -> Standing:
        """Return whether one more request fits into the client's minute, having counted it."""
        seconds = time.time()
        window = int(seconds) // _WINDOW_S
        if window != self._window or len(self._leases) > _MOST_KEYS:
            self._leases, self._window = {}, window
        name = f"rl:{scope}:{key}:{window}"
        lease = self._leases.setdefault(name, _Lease(0, 0))
        reset_s = (window + 1) * _WINDOW_S - int(seconds)
        if lease.left <= 0 and lease.total < limit:
            await self._renew(name, lease, limit)
        allowed = lease.left > 0
        lease.left -= allowed
        remaining = max(limit - lease.total, 0) + max(lease.left, 0)
        return Standing(limit, remaining, reset_s, allowed)

    async def _renew(self, name: str, lease: _Lease, limit: int) -> None:
        """Take the next counts for this process; all of them when Redis does not answer."""
        share = max(limit // _SHARE, 1)
        total = await self._count(name, share)
        if total is None:
            lease.left += share
            return
        lease.total = max(lease.total, total)
        lease.left += max(min(share, limit - (total - share)), 0)

    async def _count(self, name: str, share: int) -> int | None:
        if self._redis is None or time.monotonic() < self._silent_until:
            return None
        try:
            async with asyncio.timeout(_ANSWER_S):
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.incrby(name, share)
                    pipe.expire(name, 2 * _WINDOW_S)
                    total, _ = await pipe.execute()
        except (RedisError, TimeoutError, OSError) as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            _log.warning("requests are not counted for %g s: %s", _PAUSE_S, type(error).__name__)
            return None
        return int(total)


@dataclass(frozen=True, slots=True)
class NarrowLimit:
    """What one person may ask of one method within a minute, by whichever of its routes."""

    method: str
    per_minute: int


Narrow = Mapping[tuple[str, str], NarrowLimit]


def narrow_limits(bindings: Iterable[Binding]) -> Narrow:
    """Return the limits that methods have of their own, by verb and path of their routes."""
    limits: dict[tuple[str, str], NarrowLimit] = {}
    for each in bindings:
        if each.user_per_minute:
            limit = NarrowLimit(each.method.path, each.user_per_minute)
            limits |= dict.fromkeys(
                ((each.verb, each.path), ("POST", each.method.path), ("GET", each.method.path)), limit
            )
    return limits


class Place:
    """A request's place among those in work; an event stream leaves it once it is open and counted as a stream."""

    def __init__(self, work: "set[Place]") -> None:
        """Take a place."""
        self._work = work
        work.add(self)

    def leave(self) -> None:
        """Give the place to others; a second time does nothing."""
        self._work.discard(self)


PLACE: Final = web.RequestKey("place", Place)


def limiting(config: Config, windows: RateWindows, narrow: Narrow) -> Middleware:
    """Return the middleware that bounds the requests in work and the requests per minute."""
    work: set[Place] = set()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(_COUNTED):
            return await handler(request)
        if len(work) >= config.requests_most:
            raise Unavailable("the gateway has all the work it can take", retry_after_s=1)
        place = request[PLACE] = Place(work)
        try:
            standing = await _standing(request, config, windows, narrow)
            if standing is not None and not standing.allowed:
                error = RateLimited("too many requests within a minute", retry_after_s=standing.reset_s)
                response: web.StreamResponse = failure(error, request[CALLER])
            else:
                response = await handler(request)
        finally:
            place.leave()
        if standing is not None and not response.prepared:
            response.headers.update(rate_headers(standing))
        return response

    return middleware


async def _standing(request: web.Request, config: Config, windows: RateWindows, narrow: Narrow) -> Standing | None:
    """Return the tightest of the client's standings, or None when it has none."""
    caller, standings = request[CALLER], []
    if config.rate_user_per_minute and caller.token_key:
        standings.append(await windows.take("user", caller.token_key, config.rate_user_per_minute))
        resource = request.match_info.route.resource
        own = narrow.get((request.method, resource.canonical)) if resource is not None else None
        if own is not None:
            standings.append(await windows.take(own.method, caller.token_key, own.per_minute))
    if config.rate_address_per_minute and not is_loopback(caller.address):
        standings.append(await windows.take("ip", caller.address, config.rate_address_per_minute))
    return min(standings, key=lambda each: (each.allowed, each.remaining), default=None)


def rate_headers(standing: Standing) -> dict[str, str]:
    """Return the headers that tell a client where it stands, in counts and seconds."""
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset_s),
        "RateLimit-Policy": f'"minute";q={standing.limit};w={_WINDOW_S}',
    }


def is_loopback(address: str) -> bool:
    """Return whether the address is this machine; whoever works here is not limited by address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True  # a Unix socket has no address, and is this machine too
