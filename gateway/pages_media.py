"""The sound and the cover of a shared song: sent for as long as the share is open.

A signed address of the object store goes on until its own end, so visitors get one of ours instead, and each request,
for a range of the sound too, asks Share anew: what was called back is gone within a second.
"""

import time
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web
from yarl import URL

from cadenza.share.v1.share_service_pb2 import OpenSoundRequest
from cadenza.share.v1.share_service_pb2_grpc import ShareServiceStub
from gateway.caller import CALLER
from gateway.upstream import asking
from services.kit.errors import NotFound, Unavailable
from services.kit.http import HttpClient, Limits
from services.kit.objects.local import LocalObjectStore
from services.kit.rpc.channel import Peers

SOUND: Final = "/s/{share_code}/audio"
COVER: Final = "/s/{share_code}/cover"

_OBJECTS: Final = "/_objects/"
_ANSWER_S: Final = 5.0
_FRESH_S: Final = 1.0
_MOST_KNOWN: Final = 4096
_LARGEST: Final = 256 * 1024 * 1024
_PIECE_BYTES: Final = 256 * 1024
_LONGEST_S: Final = 900.0
_PASSED_ON: Final = ("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")
_USABLE: Final = frozenset({200, 206, 304, 416})
_ASKED: Final = ("Range", "If-Range")
_HEADERS: Final = {
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Content-Disposition": "inline",
}


class SharedMedia:
    """Sends the sounds and covers of shares."""

    def __init__(self, peers: Peers, store: LocalObjectStore | None) -> None:
        """Read from the local store, or from the S3 server behind signed addresses where there is none."""
        self._shares: Any = ShareServiceStub(peers.channel("share"))
        self._store = store
        self._http = HttpClient("shared_media", limits=Limits(connections=256), private_allowed=True)
        self._known: dict[tuple[str, str, bool], tuple[float, str]] = {}

    async def sound(self, http: web.Request) -> web.StreamResponse:
        """Answer with the sound, whole or the range that is asked for; raises as ResolveShare fails."""
        return await self._sent(http, cover=False)

    async def cover(self, http: web.Request) -> web.StreamResponse:
        """Answer with the cover picture; raises as ResolveShare fails, and NotFound for a song without one."""
        return await self._sent(http, cover=True)

    async def _sent(self, http: web.Request, *, cover: bool) -> web.StreamResponse:
        url = await self._where(http, cover=cover)
        if not url:
            raise NotFound("this song has no cover", field="share_code")
        parts = urlsplit(url)
        if self._store is not None and parts.path.startswith(_OBJECTS):
            bucket, _, key = unquote(parts.path.removeprefix(_OBJECTS)).partition("/")
            self._store.verify("GET", bucket, key, dict(parse_qsl(parts.query)))
            path, stored = await self._store.located(key)
            headers = {**_HEADERS, "Content-Type": stored.content_type}
            return web.FileResponse(path, chunk_size=_PIECE_BYTES, headers=headers)
        return await self._passed_on(http, url)

    async def close(self) -> None:
        """Close the connections to the store."""
        await self._http.close()

    async def _where(self, http: web.Request, *, cover: bool) -> str:
        """Return where it lies, as Share has said within the last second."""
        code, ticket = http.match_info["share_code"][:64], http.query.get("ticket", "")[:129]
        now = time.monotonic()
        known = self._known.get((code, ticket, cover))
        if known is not None and known[0] > now:
            return known[1]
        caller = http[CALLER]
        metadata = (("x-trace-id", caller.trace_id), ("x-client-ip", caller.address))
        with asking("share"):
            answer = await self._shares.OpenSound(
                OpenSoundRequest(share_code=code, ticket=ticket, cover=cover), timeout=_ANSWER_S, metadata=metadata
            )
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[code, ticket, cover] = (now + _FRESH_S, answer.url)
        return str(answer.url)

    async def _passed_on(self, http: web.Request, url: str) -> web.StreamResponse:
        """Send what the S3 server sends."""
        asked = {name: http.headers[name] for name in _ASKED if name in http.headers}
        async with self._http.download(
            str(URL(url, encoded=True)), most_bytes=_LARGEST, headers=asked, timeout_s=_LONGEST_S
        ) as (head, chunks):
            if head.status not in _USABLE:
                raise Unavailable("it cannot be read now", dependency="objects", status=head.status)
            # Some servers send a range and call it the whole.
            ranged = "Content-Range" in head.headers and head.status == HTTPStatus.OK
            response = web.StreamResponse(
                status=HTTPStatus.PARTIAL_CONTENT if ranged else head.status, headers=_HEADERS
            )
            for name in _PASSED_ON:
                if name in head.headers:
                    response.headers[name] = head.headers[name]
            await response.prepare(http)
            if http.method != "HEAD":
                async for chunk in chunks:
                    await response.write(chunk)
            await response.write_eof()
            return response
