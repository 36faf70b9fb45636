"""Reading a JSON body: what may come at all, how much of it, and for how long."""

import asyncio
from typing import Final

from aiohttp import web

from gateway.envelope import JSON
from services.kit.errors import BodyTooLarge, Expired, ParamInvalid, RemoteError

_ENCODINGS: Final = frozenset({"", "identity"})
_CHARSETS: Final = frozenset({"", "utf-8", "utf8"})


async def read_json_body(request: web.Request, *, limit: int, deadline_s: float) -> bytes:
    """Return the bytes of a JSON body, nothing when there is none.

    Raises BODY_TOO_LARGE before more than `limit` bytes are held, MEDIA_TYPE_UNSUPPORTED for
    anything but JSON in UTF-8 without compression, and TIMEOUT for a client that dawdles.
    """
    raw = await read_body(request, limit=limit, deadline_s=deadline_s)
    if raw:
        # Only now: a chunked body of no bytes needs no type.
        _check_type(request)
    return raw


async def read_body(request: web.Request, *, limit: int, deadline_s: float) -> bytes:
    """Return the bytes of a body, nothing when there is none.

    Raises BODY_TOO_LARGE before more than `limit` bytes are held, MEDIA_TYPE_UNSUPPORTED for a compressed one, and
    TIMEOUT for a client that dawdles.
    """
    if not request.body_exists or request.content_length == 0:
        return b""
    check_size(request, limit)
    check_encoding(request)
    if request.content.is_eof():  # small bodies come with their heads, and then there is nothing to wait for
        whole = await request.content.read()
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    raw = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            async for chunk in request.content.iter_any():
                raw += chunk
                if len(raw) > limit:
                    raise _too_large(limit)
    except TimeoutError as error:
        raise Expired(f"the body did not arrive within {deadline_s:g} seconds") from error
    return bytes(raw)


def check_size(request: web.Request, limit: int) -> None:
    """Raise BODY_TOO_LARGE when the announced length is over the limit."""
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)


def check_encoding(request: web.Request) -> None:
    """Raise MEDIA_TYPE_UNSUPPORTED for a compressed body: small ones can hold gigabytes."""
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise unsupported("a compressed body is not read here", accepts=JSON)


def refuse_body(request: web.Request) -> None:
    """Raise ParamInvalid when a request that takes no body brings one."""
    if request.body_exists and request.content_length != 0:
        raise ParamInvalid.of("body", "is not expected with this method", "absent")


def unsupported(message: str, *, accepts: str) -> RemoteError:
    """Return the error for a content type that is not read here."""
    return RemoteError("MEDIA_TYPE_UNSUPPORTED", message, accepts=accepts)


def _check_type(request: web.Request) -> None:
    kind, charset = request.content_type.lower(), (request.charset or "").lower()
    if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        raise unsupported(f"the body is {kind}, JSON is expected", accepts=JSON)
    if charset not in _CHARSETS:
        raise unsupported(f"the body is in {charset}, UTF-8 is expected", accepts=JSON)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit} bytes", limit_bytes=limit)
