"""The signed addresses of the local object store: reading with ranges, writing once.

With an S3 server these routes do not exist; clients then talk to that server. The address is
the permission: it names method, key, type and size, and the store verifies it before a byte
moves in either direction.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.caller import CALLER
from gateway.envelope import failure
from services.kit.errors import ParamInvalid, RemoteError
from services.kit.objects.local import LocalObjectStore
from services.kit.objects.signing import Grant
from services.kit.objects.store import ObjectTooLarge, disposition

PATH: Final = "/_objects/{bucket}/{key:.+}"

_LONGEST_UPLOAD_S: Final = 600.0
_MD5_BYTES: Final = 16
_PIECE_BYTES: Final = 256 * 1024
_LENGTH_REQUIRED: Final = 411
# Whatever was stored, it is never a page of ours.
_INERT: Final = "default-src 'none'; sandbox"


def add_objects(app: web.Application, store: LocalObjectStore) -> None:
    """Serve the store's addresses."""
    app.router.add_route("GET", PATH, reading(store))
    app.router.add_route("HEAD", PATH, reading(store))
    app.router.add_route("PUT", PATH, writing(store))


def reading(store: LocalObjectStore) -> Handler:
    """Return the handler that sends an object, whole or the range asked for."""

    async def handle(http: web.Request) -> web.StreamResponse:
        grant = _verified(store, http)
        path, stored = await store.located(http.match_info["key"])
        headers = {
            "Content-Type": stored.content_type,
            "Content-Security-Policy": _INERT,
            # The address ends by itself; until then the bytes under it do not change.
            "Cache-Control": "private, max-age=3600",
            "Content-Disposition": disposition(grant.filename) if grant.filename else "inline",
        }
        return web.FileResponse(path, chunk_size=_PIECE_BYTES, headers=headers)

    return handle


def writing(store: LocalObjectStore) -> Handler:
    """Return the handler that takes an upload of exactly the type and size that were signed."""

    async def handle(http: web.Request) -> web.StreamResponse:
        grant = _verified(store, http)
        if http.content_length is None:
            # As S3 answers it: an upload of unknown length would be known to be wrong only at its end.
            error = ParamInvalid.of("Content-Length", "must say how long the file is", "required")
            return failure(error, http[CALLER], status=_LENGTH_REQUIRED)
        check_announced(http, grant)
        digest = read_digest(http)
        try:
            async with asyncio.timeout(_LONGEST_UPLOAD_S):
                stored = await store.put(
                    http.match_info["key"], _arriving(http, digest), content_type=grant.content_type, size=grant.size
                )
        except ObjectTooLarge as error:
            raise _not_as_announced(grant, None) from error
        return web.Response(status=200, headers={"ETag": f'"{stored.etag}"'})

    return handle


def check_announced(http: web.Request, grant: Grant) -> None:
    """Raise UPLOAD_FORMAT_INVALID or UPLOAD_INCOMPLETE when the headers differ from what was signed."""
    given = http.headers.get("Content-Type", "")
    if _plain(given) != _plain(grant.content_type):
        raise RemoteError(
            "UPLOAD_FORMAT_INVALID",
            f"the address is for {grant.content_type}",
            field="Content-Type",
            expected=grant.content_type,
        )
    if http.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise RemoteError("UPLOAD_FORMAT_INVALID", "the file must come as it is", field="Content-Encoding")
    if http.content_length != grant.size:
        raise _not_as_announced(grant, http.content_length)


def _verified(store: LocalObjectStore, http: web.Request) -> Grant:
    return store.verify(http.method, http.match_info["bucket"], http.match_info["key"], http.query)


def read_digest(http: web.Request) -> bytes | None:
    """Return the MD5 that the body must have, as S3 takes it in Content-MD5; ParamInvalid for what is none."""
    given = http.headers.get("Content-MD5")
    if given is None:
        return None
    try:
        digest = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != _MD5_BYTES:
        raise ParamInvalid.of("Content-MD5", "must be an MD5 in base64", "header")
    return digest


async def _arriving(http: web.Request, digest: bytes | None) -> AsyncIterator[bytes]:
    """Yield the body; raises UPLOAD_CHECKSUM_WRONG at its end when it has another MD5, and then nothing is stored."""
    md5 = hashlib.md5(usedforsecurity=False)
    async for chunk in http.content.iter_any():
        if digest is not None:
            md5.update(chunk)
        yield chunk
    if digest is not None and md5.digest() != digest:
        raise RemoteError("UPLOAD_CHECKSUM_WRONG", "the body has another MD5 than was announced", field="Content-MD5")


def _plain(content_type: str) -> str:
    """Return the type as it is compared: case and spaces between parameters mean nothing."""
    return "".join(content_type.lower().split())


def _not_as_announced(grant: Grant, got: int | None) -> RemoteError:
    facts = {} if got is None else {"got_bytes": got}
    return RemoteError(
        "UPLOAD_INCOMPLETE",
        f"the address is for exactly {grant.size} bytes",
        field="Content-Length",
        expected_bytes=grant.size,
        **facts,
    )
