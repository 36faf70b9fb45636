"""Who asks: what the headers of a request say, checked, and handed on to the services.

The gateway verifies no token. It forwards `authorization` and the services decide; what it does
decide is which headers may travel at all, so that nothing a client sends can pose as metadata
of the mesh.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import web

from services.kit.errors import ParamInvalid, Unauthenticated
from services.kit.rpc.call import DEFAULT_PLATFORM, locale_of, trace_id_of

PLATFORMS: Final = frozenset({"web", "h5", "wxmp", "ios", "android", "desktop"})
TOKEN_PARAMETER: Final = "access_token"  # noqa: S105  # the name of a parameter

_DEVICE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_VERSION = re.compile(r"[A-Za-z0-9._+-]{1,32}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_VISIBLE = re.compile(r"[\x21-\x7e]+(?: [\x21-\x7e]+)*")
_LONGEST_TOKEN: Final = 4096
_LONGEST_AGENT: Final = 256
_MOST_HOPS: Final = 16

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Caller(NamedTuple):
    """What is known of a request before anything of it is believed."""

    trace_id: str
    locale: str  # "zh-CN" or "en"
    address: str  # of the client, behind trusted proxies only
    secure: bool  # whether the client spoke https
    request_id: str  # the client's own name for the request, echoed; empty when there is none
    authorization: str

    @property
    def token_key(self) -> str:
        """Return a short name of the token for counting, or nothing without one; it cannot be turned back."""
        if not self.authorization:
            return ""
        return hashlib.sha256(self.authorization.encode("utf-8", "replace")).hexdigest()[:24]


CALLER: Final = web.RequestKey("caller", Caller)


def read_caller(request: web.BaseRequest, proxies: Iterable[Network]) -> Caller:
    """Return who asks; never raises, because errors need a caller to be told in the right language."""
    headers = request.headers
    trusted = proxies if isinstance(proxies, tuple) else tuple(proxies)
    peer = request.remote or ""
    behind = _inside(peer, trusted)
    forwarded = ",".join(headers.getall("X-Forwarded-For", ())) if behind else ""
    scheme = headers.get("X-Forwarded-Proto", "").strip().lower() if behind else request.scheme
    given = headers.get("X-Request-Id", "")
    return Caller(
        trace_id=trace_id_of(
            {"x-trace-id": headers.get("X-Trace-Id", ""), "traceparent": headers.get("traceparent", "")}
        ),
        locale=locale_of(headers.get("Accept-Language", "")),
        address=_client(peer, forwarded, trusted),
        secure=scheme == "https",
        request_id=given if _REQUEST_ID.fullmatch(given) else "",
        authorization=headers.get("Authorization", ""),
    )


def metadata_of(request: web.Request, *, token: str = "") -> tuple[tuple[str, str], ...]:
    """Return the metadata for a call on behalf of the request; `token` stands in for a missing header.

    Raises ParamInvalid for an unknown platform or a malformed device id, Unauthenticated for an
    Authorization header that no service could read.
    """
    caller, headers = request[CALLER], request.headers
    entries = [
        ("x-trace-id", caller.trace_id),
        ("x-platform", platform_of(request)),
        ("accept-language", caller.locale),
        ("x-client-ip", caller.address),
    ]
    agent = agent_of(request)
    if agent:
        entries.append(("x-client-agent", agent))
    authorization = caller.authorization or (f"Bearer {token}" if token else "")
    if authorization:
        if len(authorization) > _LONGEST_TOKEN or not _VISIBLE.fullmatch(authorization):
            raise Unauthenticated("the authorization header is not readable")
        entries.append(("authorization", authorization))
    for name, pattern in (("X-Device-Id", _DEVICE), ("X-App-Version", _VERSION)):
        value = headers.get(name)
        if value is not None:
            if not pattern.fullmatch(value):
                raise ParamInvalid.of(name, f"must match {pattern.pattern}", "header")
            entries.append((name.lower(), value))
    return tuple(entries)


def agent_of(request: web.Request) -> str:
    """Return what the client calls itself, in what a header of gRPC may carry; empty when it does not say."""
    return _printable(request.headers.get("User-Agent", "")[:_LONGEST_AGENT])


@lru_cache(maxsize=1024)
def _printable(text: str) -> str:
    return "".join(each for each in text if " " <= each <= "~")


def platform_of(request: web.Request) -> str:
    """Return the client's platform, `web` when it names none; ParamInvalid for one that does not exist."""
    platform = request.headers.get("X-Platform", DEFAULT_PLATFORM)
    if platform not in PLATFORMS:
        raise ParamInvalid.of("X-Platform", f"must be one of {', '.join(sorted(PLATFORMS))}", "header")
    return platform


def _inside(address: str, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return False
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _client(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Return the nearest address that is not one of our proxies, reading the hops from our side."""
    client = peer
    for hop in reversed(forwarded.split(",")[-_MOST_HOPS:] if forwarded else []):
        text = hop.strip()
        try:
            ipaddress.ip_address(text)
        except ValueError:
            break
        client = text
        if not _inside(text, trusted):
            break
    return client
