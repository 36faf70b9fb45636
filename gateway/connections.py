"""Bounds on connections, before anything on them is a request: how many, how long a head may take and be.

A client that opens connections without end, or sends its request line a letter a minute (slow loris), would hold
memory and sockets that others need. It is told so in our one error shape and cut.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import Counter as Metric

from gateway.caller import Caller, Network
from gateway.envelope import failure
from gateway.limits import is_loopback
from services.kit.errors import DomainError, Expired, ParamInvalid, RateLimited
from services.kit.rpc.call import locale_of, trace_id_of
from services.kit.telemetry import REGISTRY

REFUSED: Final = Metric(
    "http_connections_refused", "Connections cut before they brought a request", ("why",), registry=REGISTRY
)

_RETRY_S: Final = 5


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one connection, and all those of one address, may take."""

    most_per_address: int = 0  # 0 for no limit
    head_s: float = 10.0  # from the first byte of a request to the end of its headers
    head_bytes: int = 32 * 1024
    exempt: tuple[Network, ...] = ()  # proxies of ours, who bring many clients


BOUNDS: Final = web.AppKey("bounds", Bounds)


@dataclass(slots=True)
class Crowd:
    """The open connections of each address."""

    bounds: Bounds
    _open: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> bool:
        """Return whether the address may have one more connection, having counted it in."""
        most = self.bounds.most_per_address
        if most and self._open[address] >= most and not _exempt(address, self.bounds.exempt):
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection out."""
        self._open[address] -= 1
        if self._open[address] <= 0:
            del self._open[address]


def refusal(why: str, bounds: Bounds) -> bytes:
    """Return a whole answer that ends the connection; `why` is `crowd`, `slow` or `long`."""
    REFUSED.labels(why).inc()
    caller = Caller(trace_id_of({}), locale_of(""), "", secure=False, request_id="", authorization="")
    error: DomainError
    if why == "crowd":
        error, status = RateLimited("this address holds too many connections", retry_after_s=_RETRY_S), 429
    elif why == "slow":
        error, status = Expired(f"the headers did not arrive within {bounds.head_s:g} seconds"), 408
    else:
        error, status = ParamInvalid.of("headers", f"are longer than {bounds.head_bytes} bytes", "too_long"), 431
    answer = failure(error, caller, status=status)
    body = answer.body if isinstance(answer.body, bytes) else b""
    headers = {
        **answer.headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Connection": "close",
        "X-Content-Type-Options": "nosniff",
        "X-Trace-Id": caller.trace_id,
    }
    lines = [f"HTTP/1.1 {status} {answer.reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _exempt(address: str, networks: Iterable[Network]) -> bool:
    if is_loopback(address):
        return True
    return any(ipaddress.ip_address(address) in network for network in networks)
