"""What every vendor's adapter has: a connection to its API, and one to wherever the vendor says that its files lie.

A link in a vendor's answer is an address from outside: it may lead to the public Internet, and into a private network
only when the vendor itself was configured there, and then only to that very server.
"""

from __future__ import annotations

import ipaddress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from yarl import URL

from services.composer.domain.vendor import Remedy
from services.composer.providers import VendorRefused
from services.kit import telemetry
from services.kit.address import is_public
from services.kit.errors import BodyTooLarge, DomainError, Expired, Unavailable
from services.kit.http import HttpClient, Limits, Unsent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.composer.providers import VendorSong
    from services.kit.http import Answer

LARGEST_SONG = 48 * 1024 * 1024
LARGEST_PICTURE = 8 * 1024 * 1024
_CONNECTIONS = 256
_GONE = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNAUTHORIZED})
# The server says that it did not even look at the request (RFC 9110, sections 15.5.30 and 15.6.4; RFC 6585).
_NOT_HANDLED = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_LARGEST_NUMBER = 1e9

GONE = "gone"
NO_SENSE = "no_sense"


class VendorHttp:
    """The connections to one vendor."""

    def __init__(
        self,
        name: str,
        base: str,
        *,
        headers: Mapping[str, str],
        call_s: float,
        answer_bytes: int = 4 * 1024 * 1024,
        inside: bool = False,
    ) -> None:
        """Speak to the API at *base* with these headers; one call takes *call_s* seconds at most.

        A vendor that stands *inside* of our own network gives its files from there too.
        """
        self.name = name
        self._base = base.rstrip("/")
        self._home = URL(self._base).origin() if self._base else URL()
        limits = Limits(total_s=call_s, body_bytes=answer_bytes, connections=_CONNECTIONS)
        self._api = HttpClient(name, limits=limits, private_allowed=True, headers=headers)
        self._files = HttpClient(f"{name}-files", limits=Limits(connections=_CONNECTIONS))
        self._own_files = HttpClient(f"{name}-files", limits=Limits(connections=_CONNECTIONS), private_allowed=True)
        self._at_home = inside or _is_private(self._home.host or "")

    async def order(self, path: str, **request: Any) -> Answer:
        """Return the answer to an order, which is sent once.

        Raises VendorRefused when there is none: `maybe_taken` unless the vendor cannot have seen it or says that it
        did not look at it.
        """
        answer: Answer | None = None
        try:
            answer = await self._api.request("POST", f"{self._base}{path}", idempotent=False, **request)
        except Unsent as error:
            raise VendorRefused("unreached", Remedy.LATER) from error
        except Expired as error:
            raise VendorRefused("no_answer", Remedy.LATER, maybe_taken=True) from error
        except (Unavailable, BodyTooLarge) as error:
            raise VendorRefused("broken_off", Remedy.LATER, maybe_taken=True) from error
        finally:
            telemetry.VENDOR_CALLS.labels(self.name, "order", "error" if answer is None else str(answer.status)).inc()
        return answer

    async def ask(self, method: str, path: str, **request: Any) -> Answer:
        """Return the answer to a question, which may be asked again; raises Unavailable and Expired."""
        answer = await self._api.request(method, f"{self._base}{path}", idempotent=True, **request)
        telemetry.VENDOR_CALLS.labels(self.name, "question", str(answer.status)).inc()
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unavailable(f"{self.name} cannot answer now", dependency=self.name, status=answer.status)
        return answer

    def http_refusal(self, answer: Answer, remedy: Remedy = Remedy.LATER) -> VendorRefused:
        """Return the error for an answer that is not in the vendor's own form."""
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return VendorRefused(f"http_{answer.status}", Remedy.OPERATOR)
        # A gateway before the vendor, or a vendor that broke: the order may have come through all the same.
        denied = HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        taken = not denied and answer.status not in _NOT_HANDLED
        return VendorRefused(f"http_{answer.status}", remedy, maybe_taken=taken)

    async def fetch(self, song: VendorSong) -> bytes:
        """Return the bytes of a song; raises VendorRefused with the code `gone`, Unavailable, Expired, BodyTooLarge."""
        return song.data or await self.download(song.url, LARGEST_SONG)

    async def picture(self, song: VendorSong) -> bytes:
        """Return the bytes of the song's picture, empty when they are not to be had."""
        if not song.cover_url:
            return b""
        try:
            return await self.download(song.cover_url, LARGEST_PICTURE)
        except DomainError:
            return b""

    async def download(self, url: str, most_bytes: int, headers: Mapping[str, str] | None = None) -> bytes:
        """Return what lies behind a link; raises as `fetch`."""
        client = self._files
        if self._at_home and url.startswith(f"{self._home}/"):
            client = self._own_files
        async with client.download(url, most_bytes=most_bytes, headers=headers) as (head, chunks):
            if head.status in _GONE:
                raise VendorRefused(GONE, Remedy.LATER)
            if head.status != HTTPStatus.OK:
                raise Unavailable(f"{self.name} does not give the file", dependency=self.name, status=head.status)
            return b"".join([chunk async for chunk in chunks])

    def own(self, path: str) -> str:
        """Return the address of a path of the vendor's own server."""
        return f"{self._base}{path}"

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._api, self._files, self._own_files):
            await client.close()


def plain_json(answer: Answer) -> dict[str, Any]:
    """Return the JSON object of an answer, empty when it is none."""
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def number(value: object) -> float:
    """Return a vendor's number, which may come as text or not at all; 0 when it is none."""
    try:
        found = float(str(value))
    except ValueError:
        return 0.0
    return found if 0.0 <= found < _LARGEST_NUMBER else 0.0


def words(value: object) -> str:
    """Return a vendor's text; empty when it is none."""
    return value if isinstance(value, str) else ""


def _is_private(host: str) -> bool:
    """Return whether a vendor's host is one of our own network by its very name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return not is_public(host)
