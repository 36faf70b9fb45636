"""What every answer carries: security headers, trace id, cross-origin permission, compression.

The headers are added when an answer is prepared and not by a middleware, because event streams
and files are prepared inside of their handlers.
"""

import asyncio
import zlib
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.caller import CALLER, Caller
from gateway.config import Config
from services.kit.errors import PermissionDenied
from services.kit.objects.dialect import DIALECTS

EXPOSED: Final = (
    "X-Trace-Id, X-Request-Id, Location, Retry-After, Allow, WWW-Authenticate, ETag, Content-Range, Accept-Ranges, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy, RateLimit, Tus-Resumable, Tus-Version, "
    "Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Expires, Upload-Metadata"
)
ALLOWED: Final = (
    "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Range, X-Platform, X-App-Version, X-Device-Id, "
    "Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-User-Agent, "
    "X-Request-Id, X-Trace-Id, X-Timeout-Ms, X-No-Compression, traceparent, Tus-Resumable, Upload-Length, "
    "Upload-Offset, Upload-Metadata, Upload-Checksum, Upload-Defer-Length, X-HTTP-Method-Override, Content-MD5"
)
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_PREFLIGHT_S: Final = "7200"
_COMPRESS_FROM: Final = 1024
_COMPRESS_LEVEL: Final = 6
_VARIES: Final = ("Vary", "Accept-Encoding")
_THREAD_FROM: Final = 256 * 1024
_GZIP_WINDOW: Final = 31  # zlib's spelling of gzip with the largest window
_TEXTUAL: Final = frozenset(
    {
        "application/json",
        "application/javascript",
        "text/javascript",
        "text/css",
        "text/html",
        "text/plain",
        "image/svg+xml",
        "application/xml",
        "application/manifest+json",
    }
)

UNKEPT: Final = ("Cache-Control", "no-store")  # of every JSON answer that says nothing else


def security_headers(config: Config) -> dict[str, str]:
    """Return the fixed headers; objects of an S3 server may be played and written from our pages."""
    origin = DIALECTS[config.s3_dialect].origin_of(config.s3_endpoint_url, config.s3_bucket)
    elsewhere = f" {origin}" if origin else ""
    policy = (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob: https:; "
        f"media-src 'self' blob: https:{elsewhere}; connect-src 'self'{elsewhere}; font-src 'self'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


class Common:
    """The headers that every answer carries."""

    def __init__(self, config: Config) -> None:
        """Make those that are always the same."""
        self.fixed = tuple(security_headers(config).items())
        self._origins = frozenset(config.allowed_origins)

    async def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Add them, as a handler of `on_response_prepare`; a fixed one that is already set stays."""
        headers = response.headers
        for name, value in self.fixed:
            headers.setdefault(name, value)
        if response.content_type == "application/json":
            headers.setdefault(*UNKEPT)
        for name, value in self.of(request, request.get(CALLER)):
            if name == "Vary":
                headers.add(name, value)
            else:
                headers[name] = value

    def of(self, request: web.BaseRequest, caller: Caller | None) -> list[tuple[str, str]]:
        """Return those that this request has."""
        found = []
        if caller is not None:
            found.append(("X-Trace-Id", caller.trace_id))
            if caller.request_id:
                found.append(("X-Request-Id", caller.request_id))
            if caller.secure:
                found.append(("Strict-Transport-Security", "max-age=31536000; includeSubDomains"))
        if self._origins:
            found.append(("Vary", "Origin"))
            origin = request.headers.get("Origin")
            if origin is not None and ("*" in self._origins or origin in self._origins):
                found += (("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", EXPOSED))
        return found


def answering_preflights(config: Config) -> Middleware:
    """Return the middleware that answers a browser's question before a cross-origin request."""
    origins = frozenset(config.allowed_origins)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if request.method != "OPTIONS" or origin is None or "Access-Control-Request-Method" not in request.headers:
            return await handler(request)
        if "*" not in origins and origin not in origins:
            raise PermissionDenied("this origin may not call the gateway", origin=origin[:200])
        answer = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": ALLOWED,
            "Access-Control-Max-Age": _PREFLIGHT_S,
        }
        return web.Response(status=204, headers=answer)

    return middleware


def compressing() -> Middleware:
    """Return the middleware that sends text above 1 KB as gzip to whoever takes it."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        if response.content_type not in _TEXTUAL or "Content-Encoding" in response.headers:
            return response
        body, headers = await packed(request, response.body)
        if headers:
            response.body = body
            response.headers.extend(headers)
        return response

    return middleware


async def packed(request: web.BaseRequest, body: bytes) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return the text as the client takes it, as gzip when that is worth it, and the headers that say so."""
    if len(body) <= _COMPRESS_FROM:
        return body, ()
    if "X-No-Compression" in request.headers or not _takes_gzip(request.headers.get("Accept-Encoding", "")):
        return body, (_VARIES,)
    small = len(body) < _THREAD_FROM
    return _gzip(body) if small else await asyncio.to_thread(_gzip, body), (_VARIES, ("Content-Encoding", "gzip"))


def _takes_gzip(accepted: str) -> bool:
    """Return whether the list names gzip with a weight above nothing; RFC 9110 section 12.5.3."""
    for part in accepted.lower().split(",")[:16]:
        coding, _, weight = part.strip().partition(";")
        if coding.strip() in {"gzip", "*"}:
            return weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return False


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(_COMPRESS_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(data) + packer.flush()
