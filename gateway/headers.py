"""What every answer carries: security headers, trace id, cross-origin permission, compression.

The headers are added when an answer is prepared and not by a middleware, because event streams
and files are prepared inside of their handlers.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.caller import CALLER
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

Signal = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


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


def adding_headers(config: Config) -> Signal:
    """Return the handler of `on_response_prepare`; a header that is already set stays."""
    fixed = tuple(security_headers(config).items())
    origins = frozenset(config.allowed_origins)

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        caller, headers = request.get(CALLER), response.headers
        for name, value in fixed:
            headers.setdefault(name, value)
        if response.content_type == "application/json":
            headers.setdefault("Cache-Control", "no-store")
        if caller is not None:
            headers["X-Trace-Id"] = caller.trace_id
            if caller.request_id:
                headers["X-Request-Id"] = caller.request_id
            if caller.secure:
                headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
        origin = request.headers.get("Origin")
        if origins:
            headers.add("Vary", "Origin")
            if origin is not None and ("*" in origins or origin in origins):
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = EXPOSED

    return prepare


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
        if len(response.body) <= _COMPRESS_FROM or response.content_type not in _TEXTUAL:
            return response
        if "Content-Encoding" in response.headers:
            return response
        response.headers.add("Vary", "Accept-Encoding")
        if "X-No-Compression" in request.headers or not _takes_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        body = response.body
        small = len(body) < _THREAD_FROM
        response.body = _gzip(body) if small else await asyncio.to_thread(_gzip, body)
        response.headers["Content-Encoding"] = "gzip"
        return response

    return middleware


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
