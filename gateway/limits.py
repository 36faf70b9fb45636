"""How much one client and all clients together may ask of this process.

The rules are layered and the strictest one that matches wins (catalogue, K-18): by address for all, stricter for who
has no token, by token, by the older paths, by single methods that name a limit of their own, and by classes of methods
that are counted together. Which methods these are the contract says, how often the settings.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from cadenza.options.v1.options_pb2 import RATE_CLASS_AI, RATE_CLASS_MEETING
from cadenza.wallet.v1.credit_service_pb2 import PLAN_FREE
from gateway.admission import PLACE, REFUSED, Admission, Place, overloaded
from gateway.caller import CALLER, Caller
from gateway.config import Config
from gateway.envelope import failure
from gateway.plans import Plans
from gateway.routes import Binding
from gateway.webhooks import WECHAT
from gateway.windows import RateWindows, Rule, Standing
from services.kit.errors import RateLimited
from services.kit.rpc.channel import Peers

Route = tuple[str, str]  # verb and template

_QUARTER_S: Final = 15 * 60
# Paths of the API, and those of its methods for clients that speak gRPC-Web or Connect.
_COUNTED: Final = ("/api/", "/cadenza.")


@dataclass(frozen=True, slots=True)
class Narrow:
    """What stands besides the rules for everything: the routes of older paths, and methods with limits of their own."""

    older: frozenset[tuple[str, str]]  # verb and path
    methods: Mapping[tuple[str, str], Rule]
    classes: Mapping[tuple[str, str], int]  # of those that are counted with others


def narrow_limits(bindings: Iterable[Binding], rates: Mapping[str, int]) -> Narrow:
    """Return the limits of single routes; a method's own, or that of `rates`, holds for all of its routes together."""
    older: set[tuple[str, str]] = set()
    methods: dict[tuple[str, str], Rule] = {}
    classes: dict[tuple[str, str], int] = {}
    for each in bindings:
        if each.additional:
            older.add((each.verb, each.path))
        routes = ((each.verb, each.path), ("POST", each.method.path), ("GET", each.method.path))
        most = rates.get(each.method.name, each.user_per_minute)
        if most:
            methods |= dict.fromkeys(routes, Rule(each.method.path, most))
        if each.rate_class:
            classes |= dict.fromkeys(routes, each.rate_class)
    return Narrow(frozenset(older), methods, classes)


class Limits:
    """The bounds of one process on the requests in work, and of all of them together on requests per minute."""

    def __init__(self, config: Config, windows: RateWindows, *, bindings: Iterable[Binding], peers: Peers) -> None:
        """Bound as settings and contracts say and the plans allow that Wallet knows, and count in the windows."""
        self._windows = windows
        self._plans = Plans(peers, config)
        self._meeting = Rule("meeting", config.rate_meeting_per_minute)
        self._narrow = narrow_limits(bindings, config.method_rates)
        self.admission = Admission(config.requests_most, config.requests_least)
        self._user = Rule("user", config.rate_user_per_minute)
        self._older = Rule("older", config.rate_older_per_minute)
        self._address = Rule("address", config.rate_address_per_minute)
        self._anonymous = Rule("anonymous", config.rate_anonymous_per_quarter, _QUARTER_S)

    def place(self, request: web.BaseRequest) -> Place:
        """Return a place among the requests in work; Unavailable when there is none.

        The connection has taken it already if it saw where the request goes.
        """
        place = getattr(request.protocol, "place", None) or self.admission.enter(urgent=request.path == WECHAT)
        if place is None:
            REFUSED.labels("read").inc()
            raise overloaded()
        return place

    async def standing(self, caller: Caller, route: Route) -> Standing | None:
        """Return the tightest of the client's standings, having counted the request, or None when it has none."""
        tightest: Standing | None = None
        for rule, key in self._rules(caller, route):
            standing = await self._windows.take(rule, key)
            if tightest is None or standing.tightness < tightest.tightness:
                tightest = standing
        if self._user.limit and self._narrow.classes.get(route) == RATE_CLASS_AI and caller.token_key:
            standing = await self._by_plan(caller, caller.token_key)
            if tightest is None or standing.tightness < tightest.tightness:
                tightest = standing
        return tightest

    async def _by_plan(self, caller: Caller, key: str) -> Standing:
        """Return where the client stands with what its plan allows; only past the free plan's limit is that asked."""
        rates, plan = self._plans.ai_per_minute, self._plans.known(key)
        standing = await self._windows.take(Rule("ai", rates.get(plan or PLAN_FREE, rates[PLAN_FREE])), key)
        if standing.allowed or plan is not None:
            return standing
        most = rates.get(await self._plans.ask(key, caller), standing.rule.limit)
        return standing if most <= standing.rule.limit else await self._windows.take(Rule("ai", most), key)

    def _rules(self, caller: Caller, route: Route) -> list[tuple[Rule, str]]:
        """Return the rules that match, each with the name that the client has for it."""
        found = []
        token_key = caller.token_key  # each look at it is a hash
        outside = not is_loopback(caller.address)
        if self._user.limit and token_key:
            found.append((self._user, token_key))
            if route in self._narrow.methods:
                found.append((self._narrow.methods[route], token_key))
        if not outside:
            return found
        if self._meeting.limit and self._narrow.classes.get(route) == RATE_CLASS_MEETING:
            found.append((self._meeting, caller.address))
        if self._older.limit and route in self._narrow.older:
            found.append((self._older, token_key or caller.address))
        if self._address.limit:
            found.append((self._address, caller.address))
        if self._anonymous.limit and not token_key:
            found.append((self._anonymous, caller.address))
        return found


def limiting(limits: Limits) -> Middleware:
    """Return the middleware that bounds the requests in work and the requests per minute."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(_COUNTED):
            return await handler(request)
        place = request[PLACE] = limits.place(request)
        resource = request.match_info.route.resource
        route = (request.method, resource.canonical) if resource is not None else ("", "")
        try:
            standing = await limits.standing(request[CALLER], route)
            if standing is not None and not standing.allowed:
                response: web.StreamResponse = failure(refusal(standing), request[CALLER])
            else:
                response = await handler(request)
                if not response.prepared:
                    place.answered(route)
        finally:
            place.leave()
        if standing is not None and not response.prepared:
            response.headers.update(rate_headers(standing))
        return response

    return middleware


def refusal(standing: Standing) -> RateLimited:
    """Return the error for a client that has asked too much."""
    return RateLimited("too many requests in too short a time", retry_after_s=standing.reset_s)


def rate_headers(standing: Standing) -> dict[str, str]:
    """Return the headers that tell a client where it stands, in counts and seconds.

    `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-11, the other three those of
    the drafts before it, which most clients know.
    """
    name = standing.rule.name.rpartition("/")[2]
    return {
        "RateLimit-Limit": str(standing.rule.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset_s),
        "RateLimit-Policy": f'"{name}";q={standing.rule.limit};w={standing.rule.window_s}',
        "RateLimit": f'"{name}";r={standing.remaining};t={standing.reset_s}',
    }


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Return whether the address is this machine; whoever works here is not limited by address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return True  # a Unix socket has no address, and is this machine too
