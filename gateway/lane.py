"""The short way: a unary call from the parsed request to the bytes of its answer, past aiohttp's application.

aiohttp's application costs three times what its HTTP server does: a route looked for, seven middlewares, a response
with a dictionary of headers. Nearly all requests are unary calls, whose route, headers and concerns are known
beforehand, so here they meet the same concerns in the same order in one function. Whatever is not clearly such a call
goes the long way, and the tests ask everything both ways and compare.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from gateway.caller import CALLER, Caller, Network, read_caller
from gateway.envelope import JSON, failure, told_as
from gateway.headers import UNKEPT, Common, packed
from gateway.limits import Limits, rate_headers, refusal
from gateway.observe import Watch
from gateway.routes import Binding
from gateway.transcode import Answer, Unary
from services.kit.errors import DomainError

Pairs = Sequence[tuple[str, str]]
Way = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Entry = tuple[Binding, Unary | None]


class Ready(web.StreamResponse):
    """An answer whose bytes are made: head and body leave in one piece."""

    def __init__(self, status: int, data: bytes, *, lasting: bool) -> None:
        """Hold the bytes; the connection stays open for more when it is lasting."""
        super().__init__(status=status)
        self._data = data
        self._lasting = lasting

    @property
    def keep_alive(self) -> bool:
        """Return whether the connection stays open."""
        return self._lasting

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send everything."""
        await request.writer.write(self._data)

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: all is sent."""


class Lane:
    """Answers requests that are unary calls, and hands on all others."""

    def __init__(self, limits: Limits, common: Common, proxies: Iterable[Network]) -> None:
        """Count in the limits and add the common headers; the headers of proxies are believed."""
        self._limits = limits
        self._common = common
        self._proxies = tuple(proxies)
        self._entries: dict[tuple[str, str], list[_Entry]] = {}
        same = [("Content-Type", JSON), ("Server", SERVER_SOFTWARE), UNKEPT, *common.fixed]
        self._same = _lines(same)

    def add(self, binding: Binding, unary: Unary | None) -> None:
        """Serve the binding, or with None know that it goes the long way; they come in the order of their trial."""
        self._entries.setdefault((binding.verb, binding.template.beginning), []).append((binding, unary))

    def before(self, long_way: Way) -> Way:
        """Return the handler of all requests, which takes the long way with what is not for the lane."""

        async def handle(request: web.Request) -> web.StreamResponse:
            found = self.find(request)
            if found is None:
                return await long_way(request)
            return await self._answer(request, *found)

        return handle

    def find(self, request: web.BaseRequest) -> tuple[Unary, dict[str, str]] | None:
        """Return what answers the request, with the variables of its path, or None when that is not for the lane.

        Looks at the longest beginnings first, as aiohttp does, and leaves what is written in an unusual way to it.
        """
        path = request.rel_url.raw_path
        if request.version != HttpVersion11 or "%" in path or "Expect" in request.headers:
            return None
        beginning = path
        while beginning:
            for binding, unary in self._entries.get((request.method, beginning), ()):
                variables = binding.template.match(path)
                if variables is not None:
                    return None if unary is None else (unary, variables)
            beginning = beginning.rpartition("/")[0]
        return None

    async def _answer(self, request: web.Request, unary: Unary, variables: dict[str, str]) -> Ready:
        """Answer, observed, bounded and in the one shape: what the middlewares do, in their order."""
        caller = request[CALLER] = read_caller(request, self._proxies)
        with Watch(request, caller, unary.binding.path) as watch:
            try:
                answer = await self._bounded(request, caller, unary, variables)
            except Exception as error:  # noqa: BLE001  # whatever it is, the client gets the one shape
                answer = _told(told_as(error, request), caller)
            body, packing = await packed(request, answer.body)
            watch.answered(answer.status, len(body))
            pairs = (*answer.headers, *packing, *self._common.of(request, caller))
            head = self._head(answer.status, len(body), pairs, lasting=request.keep_alive)
            return Ready(answer.status, head + body, lasting=request.keep_alive)

    async def _bounded(self, request: web.Request, caller: Caller, unary: Unary, variables: dict[str, str]) -> Answer:
        """Answer within the limits; an error tells nothing of where the client stands with them."""
        place, route = self._limits.place(request), (request.method, unary.binding.path)
        try:
            standing = await self._limits.standing(caller, route)
            if standing is not None and not standing.allowed:
                answer = _told(refusal(standing), caller)
            else:
                answer = await unary.answer(request, variables)
                place.answered(route)
        finally:
            place.leave()
        if standing is None:
            return answer
        return Answer(answer.status, answer.body, (*answer.headers, *rate_headers(standing).items()))

    def _head(self, status: int, length: int, pairs: Pairs, *, lasting: bool) -> bytes:
        """Return the status line and all headers."""
        parts = [
            _STATUS_LINES[status],
            self._same,
            _date(int(time.time())),
            f"Content-Length: {length}\r\n",
            _lines(pairs),
        ]
        if not lasting:
            parts.append("Connection: close\r\n")
        parts.append("\r\n")
        return "".join(parts).encode()


def _told(error: DomainError, caller: Caller) -> Answer:
    """Return the answer that tells the error."""
    response = failure(error, caller)
    headers = tuple((name, value) for name, value in response.headers.items() if name not in _OURS)
    assert isinstance(response.body, bytes)
    return Answer(response.status, response.body, headers)


def _lines(pairs: Pairs) -> str:
    """Return the headers as lines; ValueError for a line end inside, which would begin a header of somebody else's."""
    text = "".join([f"{name}: {value}\r\n" for name, value in pairs])
    if text.count("\n") != len(pairs) or text.count("\r") != text.count("\n"):
        raise ValueError("a header holds the end of a line")
    return text


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n"


_OURS: Final = frozenset({"Content-Type", "Content-Length"})
_PHRASES: Final[Mapping[int, str]] = {each.value: each.phrase for each in HTTPStatus}
_STATUS_LINES: Final = {status: f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n" for status in range(200, 600)}

LANE: Final = web.AppKey("lane", Lane)
