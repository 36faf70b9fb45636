"""Sends webhooks over HTTP to addresses that users gave us, which is why nothing about them is trusted.

The guard of the kit sits in the resolver, so what was checked is what is connected to. Names are resolved in threads of
their own: a name server that does not answer holds up other webhooks at most. The answer's body is never read, no
redirect is followed, and no line of the log holds more of an address than its host, since paths are where people put
keys.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from services.composer.domain.errors import WebhookUrlRefused
from services.composer.domain.webhook import Outcome
from services.kit import telemetry
from services.kit.address import AddressRefused, PublicResolver, checked_url, is_loopback

_log = logging.getLogger(__name__)

TOTAL_S: Final = 10.0
_CONNECT_S: Final = 4.0
_RESOLVE_S: Final = 3.0
_RESOLVING_MOST: Final = 32
_NAME: Final = "webhook"
_LOCAL_NAME: Final = "localhost"


class HttpReceivers:
    """The receivers on the public Internet, and with *loopback_allowed* also those on this machine over plain http."""

    def __init__(self, *, loopback_allowed: bool = False, total_s: float = TOTAL_S) -> None:
        """Give every receiver *total_s* seconds from the name to the status; nothing connects yet."""
        self._loopback_allowed = loopback_allowed
        self._total_s = total_s
        self._threads = ThreadPoolExecutor(_RESOLVING_MOST, thread_name_prefix="webhook-names")
        self._resolver = PublicResolver(_Names(self._threads), loopback_allowed=loopback_allowed)
        self._session: aiohttp.ClientSession | None = None

    async def check(self, url: str) -> None:
        """Return when the address is well formed and its name leads to public addresses only.

        Raises WebhookUrlRefused.
        """
        try:
            target = self._checked(url)
            async with asyncio.timeout(_RESOLVE_S):
                await self._resolver.resolve(target.host or "", target.port or 0, socket.AF_UNSPEC)
        except AddressRefused as error:
            raise WebhookUrlRefused(error.message) from error
        except (OSError, UnicodeError) as error:  # also TimeoutError
            raise WebhookUrlRefused("the name of the host cannot be resolved") from error

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Return how it went, within the time for it; raises nothing."""
        started = time.monotonic()
        status, error, host = 0, "", ""
        try:
            target = self._checked(url)
            host = target.host or ""
            async with asyncio.timeout(self._total_s):
                request = self._open().post(target, data=body, headers=headers, allow_redirects=False)
                async with request as response:
                    status = response.status
                    # What else it says nobody needs, and it may be endless.
                    response.close()
        except AddressRefused as refused:
            error = refused.message
        except TimeoutError:
            error = f"no answer within {self._total_s:g} s"
        except (aiohttp.ClientError, OSError, UnicodeError, ValueError) as fault:
            error = _told(fault)
        latency_ms = round((time.monotonic() - started) * 1000)
        outcome = Outcome.answered(status, latency_ms) if status else Outcome.unanswered(error, latency_ms)
        telemetry.OUTBOUND_SECONDS.labels(_NAME, str(status) if status else "error").observe(latency_ms / 1000)
        _log.info("webhook", extra={"host": host, "status": status, "error": outcome.error, "ms": latency_ms})
        return outcome

    async def close(self) -> None:
        """Close what is open; threads that still wait for a name server end by themselves."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _checked(self, text: str) -> URL:
        """Return the parsed address; raises AddressRefused."""
        url = checked_url(text, private_allowed=True)
        host = url.host or ""
        local = self._loopback_allowed and (is_loopback(host) or host == _LOCAL_NAME)
        if not local:
            checked_url(text, private_allowed=False)
            if url.scheme != "https":
                raise AddressRefused("the address is not https")
        return url

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # No connection is kept: after an answer that was not read to its end it is of no use.
                connector=aiohttp.TCPConnector(
                    limit=0, force_close=True, use_dns_cache=False, resolver=self._resolver, family=socket.AF_UNSPEC
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


class _Names(AbstractResolver):
    """The system's resolver in threads of our own."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return every address of the name; OSError when it has none."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        )
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(place[0]), port=port, family=kind, proto=proto, flags=flags)
            for kind, _, proto, _, place in found
        ]

    async def close(self) -> None:
        """Do nothing: the threads belong to whoever made them."""


def _told(fault: BaseException) -> str:
    """Return in a few words what went wrong, without the address."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return cause.message
        if isinstance(cause, ssl.SSLError):
            return "the certificate or the TLS handshake is not valid"
        if isinstance(cause, socket.gaierror):
            return "the name of the host cannot be resolved"
        if isinstance(cause, ConnectionRefusedError):
            return "the connection was refused"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke before an answer came"
