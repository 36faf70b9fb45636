"""Uploads that can be resumed: tus 1.0 over Media's RPCs, and the same appends for clients that do not speak it.

A request with `Tus-Resumable` is answered by the protocol (https://tus.io/protocols/resumable-upload, version 1.0.0,
with creation, creation-with-upload, termination, checksum and expiration), any other one by the JSON API at the same
paths. Bytes pass as they arrive, a piece at a time. When a client breaks off, Media is told that no more comes and not
that the call is off: so everything that reached us counts.
"""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC
from email.utils import format_datetime
from typing import Any, Final

import aiohttp
import grpc.aio
from aiohttp import BodyPartReader, web
from aiohttp.typedefs import Handler

from gateway.accept import check_acceptable
from gateway.bodies import check_encoding, unsupported
from gateway.caller import CALLER, metadata_of
from gateway.config import MEBIBYTE, Config
from gateway.envelope import JSON, failure, success, told_as
from gateway.fields import keep
from gateway.routes import Binding
from gateway.shapes import shape_of
from gateway.transcode import Transcoder, read_deadline, read_idempotency_key, read_wanted
from gateway.uploads import FORM, broken_off, find_file
from gateway.upstream import asking
from services.kit.errors import DomainError, ParamInvalid

SERVICE: Final = "cadenza.media.v1.ResumableUploadService"
PATH: Final = "/api/v1/uploads"
BYTES: Final = "application/offset+octet-stream"
VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,termination,checksum,expiration"
ALGORITHMS: Final = "sha256,sha1,md5,crc32"

_HEADER: Final = "Tus-Resumable"
_OVERRIDE: Final = "X-HTTP-Method-Override"
_PIECE_BYTES: Final = 256 * 1024
# Less than Media's patience, so that it is us who end a silent upload.
_STALL_S: Final = 10.0
_LONGEST_S: Final = 1800.0
_MOST_DIGITS: Final = 15
_LONGEST_METADATA: Final = 4096
_RAW: Final = frozenset({BYTES, "application/octet-stream"})

Answer = Callable[[web.Request], Awaitable[web.Response]]


class Resumables:
    """The handlers of Media's resumable uploads."""

    def __init__(self, transcoder: Transcoder, config: Config, bindings: list[Binding]) -> None:
        """Call upstream through the transcoder."""
        self._transcoder = transcoder
        self._most_bytes = config.upload_limit_resumable_mb * MEBIBYTE
        ours = {each.method.name: each for each in bindings if each.method.service == SERVICE and not each.additional}
        self._bindings = ours
        self._stubs = {name: transcoder.stub(each) for name, each in ours.items()}

    def handler(self, binding: Binding) -> Handler:
        """Return the handler of one of the service's routes, in both manners of speaking."""
        name = binding.method.name
        plain = self._append_plainly(binding) if name == "AppendUpload" else self._transcoder.unary(binding).handle
        manners: dict[str, Answer] = {
            "CreateUpload": self._create,
            "GetUpload": self._look,
            "AppendUpload": self._append_by_tus,
            "DeleteUpload": self._terminate,
        }
        by_tus = manners[name]

        async def handle(http: web.Request) -> web.StreamResponse:
            spoken = http.headers.get(_HEADER)
            if spoken is None or http.method == "GET":
                return await plain(http)
            if spoken != VERSION:
                answer = failure(ParamInvalid.of(_HEADER, f"must be {VERSION}", "header"), http[CALLER])
                answer.set_status(412)
                answer.headers["Tus-Version"] = VERSION
            else:
                try:
                    answer = await by_tus(http)
                except Exception as error:  # noqa: BLE001  # told in the one shape, with the protocol's header
                    answer = failure(told_as(error, http), http[CALLER])
            answer.headers[_HEADER] = VERSION
            return answer

        return handle

    async def describe(self, _http: web.Request) -> web.Response:
        """Answer OPTIONS: what of the protocol is spoken here."""
        headers = {
            _HEADER: VERSION,
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(self._most_bytes),
            "Tus-Checksum-Algorithm": ALGORITHMS,
        }
        return web.Response(status=204, headers=headers)

    async def _create(self, http: web.Request) -> web.Response:
        """Announce a file, and take what comes of it with the same request."""
        if "Upload-Defer-Length" in http.headers:
            raise ParamInvalid.of("Upload-Defer-Length", "is not supported: the size must be known", "header")
        names = _read_metadata(http.headers.get("Upload-Metadata", ""))
        request = self._bindings["CreateUpload"].method.request_type(
            filename=names.get("filename", names.get("name", ""))[:255],
            content_type=names.get("filetype", names.get("type", ""))[:127],
            sha256=names.get("sha256", ""),
            size_bytes=_read_number(http, "Upload-Length"),
            request_id=read_idempotency_key(http),
        )
        upload = (await self._call("CreateUpload", request, http)).upload
        headers = {"Location": f"{PATH}/{upload.asset_id}", "Upload-Expires": _instant(upload.expire_time)}
        if http.content_type.lower() == BYTES and http.body_exists:
            upload = await self._append(http, upload.asset_id, 0, _raw_pieces(http))
            headers["Upload-Offset"] = str(upload.offset_bytes)
        return web.Response(status=201, headers=headers)

    async def _look(self, http: web.Request) -> web.Response:
        """Answer HEAD: how far an upload is."""
        request = self._bindings["GetUpload"].method.request_type(asset_id=http.match_info["asset_id"])
        upload = (await self._call("GetUpload", request, http)).upload
        told = {"filename": upload.asset.filename, "filetype": upload.asset.content_type}
        headers = {
            "Upload-Offset": str(upload.offset_bytes),
            "Upload-Length": str(upload.size_bytes),
            "Upload-Metadata": ",".join(f"{name} {_base64(text)}" for name, text in told.items() if text),
            "Cache-Control": "no-store",
            **_expiry(upload),
        }
        return web.Response(headers=headers)

    async def _append_by_tus(self, http: web.Request) -> web.Response:
        """Take the next bytes; a POST may stand for what a client cannot send."""
        if http.method == "POST" and http.headers.get(_OVERRIDE, "PATCH").upper() == "DELETE":
            return await self._terminate(http)
        if http.content_type.lower() != BYTES:
            raise unsupported(f"the body is {http.content_type}, {BYTES} is expected", accepts=BYTES)
        offset = _read_number(http, "Upload-Offset")
        upload = await self._append(http, http.match_info["asset_id"], offset, _raw_pieces(http))
        return web.Response(status=204, headers={"Upload-Offset": str(upload.offset_bytes), **_expiry(upload)})

    async def _terminate(self, http: web.Request) -> web.Response:
        """Give an upload up."""
        request = self._bindings["DeleteUpload"].method.request_type(asset_id=http.match_info["asset_id"])
        await self._call("DeleteUpload", request, http)
        return web.Response(status=204)

    def _append_plainly(self, binding: Binding) -> Answer:
        """Return the handler that takes bytes or a form and answers in JSON."""
        codec, response_type = self._transcoder.codec, binding.method.response_type
        codec.prepare(response_type)

        async def handle(http: web.Request) -> web.Response:
            check_acceptable(http, JSON)
            wanted = read_wanted(http, shape_of(response_type))
            offset = _read_number(http, "Upload-Offset", otherwise=http.query.get("offset_bytes", "0"))
            if http.content_type.lower() == FORM:
                pieces = _form_pieces(await find_file(http))
            elif http.content_type.lower() in _RAW:
                pieces = _raw_pieces(http)
            else:
                raise unsupported(f"the body is {http.content_type}, {BYTES} or a form is expected", accepts=BYTES)
            upload = await self._append(http, http.match_info["asset_id"], offset, pieces)
            return success(keep(codec.encode(response_type(upload=upload)), wanted), http[CALLER])

        return handle

    async def _append(self, http: web.Request, asset_id: str, offset: int, pieces: AsyncIterator[bytes]) -> Any:
        """Return the upload after the pieces; raises UPLOAD_INCOMPLETE for a body that broke off, which is kept."""
        check_encoding(http)
        binding = self._bindings["AppendUpload"]
        metadata, seconds = metadata_of(http), read_deadline(http, binding.method.deadline_s or _LONGEST_S)
        checksum = http.headers.get("Upload-Checksum", http.query.get("checksum", ""))
        first = binding.method.request_type(asset_id=asset_id, offset_bytes=offset, checksum=checksum)
        async with asyncio.timeout(seconds):
            call = self._stubs["AppendUpload"](timeout=seconds, metadata=metadata)
            try:
                whole = await _send(call, first, pieces)
                with asking(binding.service):
                    response = await call
            finally:
                call.cancel()
        if not whole:
            raise broken_off()
        return response.upload

    async def _call(self, name: str, request: Any, http: web.Request) -> Any:
        """Return the answer of one of the unary methods."""
        binding = self._bindings[name]
        seconds = read_deadline(http, binding.method.deadline_s or self._transcoder.longest_s)
        with asking(binding.service):
            return await self._stubs[name](request, timeout=seconds, metadata=metadata_of(http))


async def _send(call: Any, first: Any, pieces: AsyncIterator[bytes]) -> bool:
    """Write everything that comes and return whether all of it did; stops when the service has answered already."""
    cls, whole = type(first), True
    try:
        await call.write(first)
        while True:
            try:
                async with asyncio.timeout(_STALL_S):
                    piece = await anext(pieces, None)
            except (TimeoutError, DomainError, web.RequestPayloadError, aiohttp.ClientError, ConnectionError):
                whole = False
                break
            if piece is None:
                break
            await call.write(cls(chunk=piece))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return True  # the reason is in the answer
    return whole


async def _raw_pieces(http: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives."""
    while piece := await http.content.read(_PIECE_BYTES):
        yield piece


async def _form_pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    """Yield the file of a form; raises UPLOAD_INCOMPLETE when the form ends before it."""
    try:
        while chunk := await part.read_chunk(_PIECE_BYTES):
            yield bytes(chunk)
    except (ValueError, AssertionError) as error:
        raise broken_off() from error
    if not part.at_eof():
        raise broken_off()


def _read_number(http: web.Request, header: str, *, otherwise: str = "") -> int:
    """Return the number in a header; raises ParamInvalid for none."""
    text = http.headers.get(header, otherwise).strip()
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise ParamInvalid.of(header, "must be a number of bytes", "header")
    return int(text)


def _read_metadata(text: str) -> dict[str, str]:
    """Return keys and values of Upload-Metadata; raises ParamInvalid for what is none."""
    if len(text) > _LONGEST_METADATA:
        raise ParamInvalid.of("Upload-Metadata", f"must have at most {_LONGEST_METADATA} characters", "header")
    found = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode().replace("\0", "")
        except (binascii.Error, ValueError):
            raise ParamInvalid.of("Upload-Metadata", "must hold keys and values in base64", "header") from None
    return found


def _expiry(upload: Any) -> dict[str, str]:
    """Return when an upload ends that is not whole."""
    if upload.offset_bytes == upload.size_bytes:
        return {}
    return {"Upload-Expires": _instant(upload.expire_time)}


def _instant(stamp: Any) -> str:
    """Return a time as HTTP spells it; RFC 9110 section 5.6.7."""
    return format_datetime(stamp.ToDatetime(tzinfo=UTC), usegmt=True)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
