"""Outbound HTTP: every call to the outside has a time limit, a size limit and a way to give up.

Retries are for calls that may be repeated, with jitter so that many clients do not knock at the
same moment; a circuit breaker per host stops knocking at all. Addresses inside our own network
are refused unless the client was made for one.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import orjson
from yarl import URL

from services.kit import telemetry, tracing
from services.kit.address import AddressRefused, PublicResolver, checked_url
from services.kit.breaker import Breaker
from services.kit.errors import BodyTooLarge, Expired, Unavailable

_log = logging.getLogger(__name__)

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_AGAIN: Final = frozenset({429, 502, 503, 504})
_FAULT: Final = 500
_REFUSED: Final = 400
_CHUNK_BYTES: Final = 64 * 1024
_MOST_HOSTS: Final = 256
_MOST_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Answer:
    """A whole response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body parsed as JSON; ValueError when it is none."""
        return orjson.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long and how much a client may take."""

    total_s: float = 10.0  # one call, its retries included
    connect_s: float = 3.0
    body_bytes: int = 8 * 1024 * 1024
    tries: int = 3  # of a call that may be repeated
    pause_s: float = 0.2  # before the second try; doubles, and is drawn at random below that
    connections: int = 32


class Unsent(Unavailable):
    """The partner never saw the request: it is left alone for a while, or no connection came about."""


class _Unreached(Unavailable):
    """The connection to the partner failed after the request may have reached it."""


class _NoConnection(Unsent, _Unreached):
    """There was no connection to the partner."""


class HttpClient:
    """A client for one outside partner."""

    def __init__(
        self,
        name: str,
        *,
        limits: Limits | None = None,
        private_allowed: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Name the partner for logs and metrics; `private_allowed` is for partners inside."""
        self._name = name
        self._limits = limits or Limits()
        self._private_allowed = private_allowed
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None
        self._breakers: dict[str, Breaker] = {}

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """Return the response; a status of 400 or more is returned and not raised.

        Raises Expired when time is up, Unsent when the partner cannot be reached or the breaker is
        open, Unavailable when the connection broke, BodyTooLarge, and AddressRefused. A call whose method may not be
        repeated is tried once unless `idempotent` says otherwise.
        """
        body = orjson.dumps(json) if json is not None else data
        sent = {
            **self._headers,
            **({"content-type": "application/json"} if json is not None else {}),
            **(headers or {}),
        }
        target = checked_url(url, private_allowed=self._private_allowed)
        if params:
            target = target.update_query(params)
        again = method.upper() in _IDEMPOTENT if idempotent is None else idempotent
        tries = self._limits.tries if again else 1
        try:
            async with asyncio.timeout(timeout_s or self._limits.total_s):
                return await self._try(method, target, tries=tries, data=body, headers=sent)
        except TimeoutError as error:
            self._breaker(target).fail()
            raise Expired(f"{self._name} did not answer in time", dependency=self._name) from error

    @asynccontextmanager
    async def download(
        self, url: str, *, most_bytes: int, headers: Mapping[str, str] | None = None, timeout_s: float = 120.0
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Open a GET and yield its head (with an empty body) and its chunks as they come.

        Follows up to three redirects, each checked like the first address. The chunks raise
        BodyTooLarge once more than `most_bytes` have come.
        """
        target = checked_url(url, private_allowed=self._private_allowed)
        sent = {**self._headers, **(headers or {})}
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(_MOST_REDIRECTS + 1):
                    async with self._attempt("GET", target, data=None, headers=sent) as response:
                        location = response.headers.get("location", "")
                        if response.status not in _REDIRECTS or not location:
                            yield Answer(response.status, dict(response.headers), b""), _limited(response, most_bytes)
                            return
                        following = str(target.join(URL(location)))
                    target = checked_url(following, private_allowed=self._private_allowed)
                    # What was meant for the first host is not for the next one.
                    sent = {}
                raise Unavailable(f"{self._name} redirects too often", dependency=self._name)
        except TimeoutError as error:
            raise Expired(f"{self._name} did not answer in time", dependency=self._name) from error

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        json: object,
        headers: Mapping[str, str] | None = None,
        most_bytes: int,
        silence_s: float,
        timeout_s: float = 300.0,
    ) -> AsyncIterator[tuple[Answer, AsyncIterator[bytes]]]:
        """Send the values once and yield the head (with an empty body) and the chunks of an answer that grows.

        Raises Expired when nothing comes for `silence_s` seconds or the whole takes longer than `timeout_s`,
        BodyTooLarge once more than `most_bytes` have come, Unavailable and AddressRefused as `request` does.
        """
        target = checked_url(url, private_allowed=self._private_allowed)
        sent = {**self._headers, "content-type": "application/json", **(headers or {})}
        data = orjson.dumps(json)
        try:
            async with asyncio.timeout(timeout_s), AsyncExitStack() as stack:
                async with asyncio.timeout(silence_s):
                    response = await stack.enter_async_context(self._attempt(method, target, data=data, headers=sent))
                head = Answer(response.status, dict(response.headers), b"")
                yield head, _lively(_limited(response, most_bytes), silence_s)
        except TimeoutError as error:
            self._breaker(target).fail()
            raise Expired(f"{self._name} did not answer in time", dependency=self._name) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _try(self, method: str, url: URL, *, tries: int, data: Any, headers: Mapping[str, str]) -> Answer:
        for number in range(1, tries + 1):
            last = number == tries
            wait_s = random.uniform(0, self._limits.pause_s * 2 ** (number - 1))
            try:
                async with self._attempt(method, url, data=data, headers=headers) as response:
                    body = b"".join([chunk async for chunk in _limited(response, self._limits.body_bytes)])
                    if last or response.status not in _AGAIN:
                        return Answer(response.status, dict(response.headers), body)
                    wait_s = max(wait_s, _retry_after_s(response))
            except Unavailable:
                if last:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the last try returns or raises")

    @asynccontextmanager
    async def _attempt(
        self, method: str, url: URL, *, data: Any, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Make one try, tell the breaker and the log how it went, and yield the response."""
        breaker = self._breaker(url)
        if not breaker.admit():
            raise Unsent(f"{self._name} is left alone for a while", dependency=self._name, breaker="open")
        started, outcome = time.perf_counter(), "cancelled"
        span = tracing.span(f"{method} {self._name}", kind="client", attributes=_about(method, url))
        span.__enter__()
        try:
            try:
                response = await self._open().request(method, url, data=data, headers=headers, allow_redirects=False)
            except (aiohttp.ClientError, OSError) as error:
                refused = _refusal(error)
                outcome = "error" if refused is None else "refused"
                broken = _NoConnection if isinstance(error, aiohttp.ClientConnectorError) else _Unreached
                raise refused or broken(f"{self._name} cannot be reached", dependency=self._name) from error
            async with response:
                outcome = str(response.status)
                yield response
        except _Unreached:
            outcome = "error"
            raise
        finally:
            if outcome == "error" or (outcome.isdigit() and int(outcome) >= _FAULT):
                breaker.fail()
            elif outcome == "cancelled":
                # The caller went away, or its time ran out, which `request` notes by itself.
                breaker.give_back()
            else:
                breaker.succeed()
            _end(span, outcome)
            self._note(method, url, outcome, time.perf_counter() - started)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._limits.connections,
                    resolver=None if self._private_allowed else PublicResolver(),
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s),
                # A cookie of one user's call must never go out with another's.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _breaker(self, url: URL) -> Breaker:
        host = f"{url.host}:{url.port}"
        if host not in self._breakers and len(self._breakers) >= _MOST_HOSTS:
            self._breakers.pop(next(iter(self._breakers)))
        return self._breakers.setdefault(host, Breaker())

    def _note(self, method: str, url: URL, outcome: str, seconds: float) -> None:
        telemetry.OUTBOUND_SECONDS.labels(self._name, outcome).observe(seconds)
        # Neither query nor headers nor body: each of the three is where partners keep keys.
        fields = {
            "client": self._name,
            "method": method,
            "url": str(url.with_query(None).with_fragment(None)),
            "outcome": outcome,
            "ms": round(seconds * 1000, 1),
        }
        _log.info("outbound", extra=fields)


def _about(method: str, url: URL) -> dict[str, tracing.Value | None]:
    """Return what a span says of a call: no path, no query, no header, for in each of them some partner keeps a key."""
    return {"http.request.method": method, "server.address": url.host, "server.port": url.port}


def _end(span: tracing.Span, outcome: str) -> None:
    if outcome.isdigit():
        span.set("http.response.status_code", int(outcome))
    if not outcome.isdigit() or int(outcome) >= _REFUSED:
        span.fail(outcome)
    span.__exit__(None, None, None)


async def _limited(response: aiohttp.ClientResponse, most_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body, decompressed, and stop with BodyTooLarge past the limit."""
    if (response.content_length or 0) > most_bytes:
        raise BodyTooLarge("the answer is too large", limit_bytes=most_bytes)
    size = 0
    chunks = response.content.iter_chunked(_CHUNK_BYTES)
    while True:
        try:
            chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except (aiohttp.ClientError, OSError) as error:
            raise _Unreached("the connection broke while the answer came") from error
        size += len(chunk)
        if size > most_bytes:
            raise BodyTooLarge("the answer is too large", limit_bytes=most_bytes)
        yield chunk


async def _lively(chunks: AsyncIterator[bytes], silence_s: float) -> AsyncIterator[bytes]:
    """Yield the chunks; raises TimeoutError when the next one is too long in coming."""
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        yield chunk


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    """Return what a Retry-After header in seconds asks for; the call's own limit caps it."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdigit() else 0.0


def _refusal(error: BaseException) -> AddressRefused | None:
    """Return the refusal of the address, wrapped by aiohttp or its own, if that is what the error was."""
    if isinstance(error, aiohttp.InvalidURL):
        return AddressRefused("the address is malformed")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
