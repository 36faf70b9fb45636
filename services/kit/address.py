"""Which network addresses an outbound call may reach.

An address that a user or a vendor gives us must not lead back into our own network (server-side
request forgery). The check sits in the resolver, so the address that was checked is the address
that is connected to: a name that answers differently the second time gains nothing.
"""

import ipaddress
import socket
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from services.kit.errors import DomainError

# The one block that public IPv6 addresses are given from (RFC 4291, section 2.4). Outside it lie all the spellings
# of IPv4 addresses that `is_global` lets through (::a.b.c.d, NAT64, SIIT) and the old site-local addresses.
_PUBLIC_IPV6: Final = ipaddress.ip_network("2000::/3")
# For documents, RFC 9637; younger than the tables of the Python that we support.
_DOCUMENTS: Final = ipaddress.ip_network("3fff::/20")
_LONGEST_URL: Final = 4096


class AddressRefused(DomainError):
    """The address is not one that outbound calls may go to."""

    reason = "PARAM_INVALID"


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public Internet."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return is_public(str(parsed.ipv4_mapped))
        if parsed not in _PUBLIC_IPV6 or parsed in _DOCUMENTS or parsed.sixtofour or parsed.teredo:
            return False
    return parsed.is_global and not parsed.is_multicast


def checked_url(text: str, *, private_allowed: bool) -> URL:
    """Return the parsed address.

    Raises AddressRefused for anything but http and https, for credentials inside the address,
    and for a literal private address where those are not allowed.
    """
    if len(text) > _LONGEST_URL:
        raise AddressRefused("the address is too long")
    try:
        url = URL(text)
    except ValueError as error:
        raise AddressRefused("the address is malformed") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise AddressRefused("the address is not a web address")
    if url.user or url.password:
        raise AddressRefused("the address carries credentials")
    if not private_allowed and _is_literal(url.host) and not is_public(url.host):
        raise AddressRefused("the address is private", host=url.host)
    return url


def is_loopback(address: str) -> bool:
    """Return whether an IP address is this machine's own."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to anything but public addresses."""

    def __init__(self, inner: AbstractResolver | None = None, *, loopback_allowed: bool = False) -> None:
        """Ask `inner`, by default the system's resolver; a developer may let this machine's own addresses through."""
        self._inner = inner or ThreadedResolver()
        self._loopback_allowed = loopback_allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of the name; AddressRefused when any of them is private."""
        results = await self._inner.resolve(host, port, family)
        if not all(self._allowed(result["host"]) for result in results):
            raise AddressRefused("the address leads into a private network", host=host)
        return results

    def _allowed(self, address: str) -> bool:
        return is_public(address) or (self._loopback_allowed and is_loopback(address))

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
