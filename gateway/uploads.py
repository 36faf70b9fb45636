"""Files sent as a multipart form, streamed into client-streaming methods as they arrive.

Nothing touches the disk and never more than a few pieces are held: a client that sends faster
than Media stores is slowed down by its own socket. The request messages have the shape that the
contracts give to uploads, a `header` first and then `chunk`s; any other shape stops the start.
"""

import asyncio
from typing import Any, Final

import grpc.aio
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.typedefs import Handler
from google.protobuf.descriptor import FieldDescriptor

from gateway.accept import check_acceptable
from gateway.bodies import check_encoding, unsupported
from gateway.caller import CALLER, metadata_of, platform_of
from gateway.config import MEBIBYTE, Config
from gateway.envelope import JSON, success
from gateway.fields import keep
from gateway.query import fill_from_query
from gateway.routes import Binding
from gateway.shapes import message_of, shape_of
from gateway.transcode import Transcoder, read_deadline, read_idempotency_key, read_wanted
from gateway.upstream import asking
from services.kit.errors import DomainError, ParamInvalid, RemoteError
from services.kit.rpc.method import ContractError

FORM: Final = "multipart/form-data"
FIELD: Final = "file"

_PIECE_BYTES: Final = 256 * 1024
_MINI_PROGRAM: Final = "wxmp"
_FORM_BYTES: Final = 64 * 1024  # what boundaries, part headers and small fields may add
_MOST_PARTS: Final = 16
_HEADER_FIELDS: Final = ("filename", "content_type", "request_id")
_LONGEST_UPLOAD_S: Final = 300.0


class Uploads:
    """The handlers of upload methods."""

    def __init__(self, transcoder: Transcoder, config: Config) -> None:
        """Call upstream through the transcoder."""
        self._transcoder = transcoder
        self._config = config

    def handler(self, binding: Binding) -> Handler:
        """Return the aiohttp handler of a client-streaming method; ContractError for one that is no upload."""
        check_upload(binding)
        stub, method = self._transcoder.stub(binding), binding.method
        longest_s = method.deadline_s or _LONGEST_UPLOAD_S
        self._transcoder.codec.prepare(method.response_type)

        async def handle(http: web.Request) -> web.Response:
            check_acceptable(http, JSON)
            wanted = read_wanted(http, shape_of(method.response_type))
            metadata = metadata_of(http)
            limit = self._limit(http, binding)
            if http.content_length is not None and http.content_length > limit + _FORM_BYTES:
                raise too_large(limit)
            seconds = read_deadline(http, longest_s)
            async with asyncio.timeout(seconds):
                part = await find_file(http)
                first = _opening(method.request_type, http, part)
                call = stub(timeout=seconds, metadata=metadata)
                try:
                    await _send(call, first, part, limit)
                    with asking(binding.service):
                        response = await call
                finally:
                    call.cancel()
            data = keep(self._transcoder.codec.encode(response), wanted)
            return success(data, http[CALLER], status=binding.http_status)

        return handle

    def _limit(self, http: web.Request, binding: Binding) -> int:
        """Return the largest file in bytes; mini-programs have a smaller one."""
        limit = min(binding.max_body_bytes or self._config.body_limit_bytes, self._config.upload_limit_mb * MEBIBYTE)
        if platform_of(http) == _MINI_PROGRAM:
            limit = min(limit, self._config.upload_limit_wxmp_mb * MEBIBYTE)
        return limit


def check_upload(binding: Binding) -> None:
    """Raise ContractError when the method's request is not a header followed by chunks."""
    fields = shape_of(binding.method.request_type).fields_by_name
    header, chunk = fields.get("header"), fields.get("chunk")
    if header is None or chunk is None or chunk.type != FieldDescriptor.TYPE_BYTES or header.message_type is None:
        raise ContractError(f"{binding.method.path} is no upload: it needs a header and chunks")
    missing = [name for name in _HEADER_FIELDS if name not in message_of(header).fields_by_name]
    if missing:
        raise ContractError(f"{binding.method.path}: the header of an upload needs {', '.join(missing)}")


def too_large(limit: int) -> RemoteError:
    """Return the error for a file over the limit, with the way that takes larger ones."""
    return RemoteError(
        "UPLOAD_TOO_LARGE",
        f"the file is larger than {limit} bytes; larger files go through a presigned upload",
        limit_bytes=limit,
        limit_mb=limit // MEBIBYTE,
        field=FIELD,
    )


async def find_file(http: web.Request) -> BodyPartReader:
    """Return the part of the form that holds the file; smaller fields before it are read over.

    Raises MEDIA_TYPE_UNSUPPORTED for anything but a form, ParamInvalid for one without the file.
    """
    check_encoding(http)
    if http.content_type.lower() != FORM:
        raise unsupported(f"the body is {http.content_type}, a form with the field {FIELD} is expected", accepts=FORM)
    try:
        form = await http.multipart()
        for _ in range(_MOST_PARTS):
            part = await form.next()
            if part is None:
                break
            if isinstance(part, BodyPartReader) and part.name == FIELD:
                return part
            await _skip(part)
    except (ValueError, AssertionError) as error:
        raise ParamInvalid.of("body", "is not a multipart form", "form") from error
    raise ParamInvalid.of(FIELD, "is missing from the form", "required")


async def _skip(part: BodyPartReader | MultipartReader) -> None:
    if isinstance(part, MultipartReader):
        raise ParamInvalid.of("body", "holds a form within the form", "form")
    size = 0
    while chunk := await part.read_chunk():
        size += len(chunk)
        if size > _FORM_BYTES:
            raise ParamInvalid.of(str(part.name)[:64], "is too large for a field of the form", "too_large")


def _opening(cls: Any, http: web.Request, part: BodyPartReader) -> Any:
    """Return the first message: the header, made of what the form says of the file."""
    first = cls()
    header = first.header
    header.SetInParent()
    header.filename = (part.filename or "upload").replace("\0", "")
    header.content_type = part.headers.get("Content-Type", "application/octet-stream")
    header.request_id = read_idempotency_key(http)
    # A mini-program cannot say in the form what its file is, nor what is to be done with it; the query can.
    known = header.DESCRIPTOR.fields_by_name
    if "content_md5" in known:
        header.content_md5 = part.headers.get("Content-MD5", "").strip()
    fill_from_query(header, [pair for pair in http.query.items() if pair[0] in known], taken=())
    return first


async def _send(call: Any, first: Any, part: BodyPartReader, limit: int) -> None:
    """Write the header and the file; stops quietly when the service has answered already."""
    cls, size = type(first), 0
    try:
        await call.write(first)
        async for chunk in _pieces(part):
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            await call.write(cls(chunk=chunk))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the reason is in the answer


async def _pieces(part: BodyPartReader) -> Any:
    """Yield the file in pieces; a form that breaks off is an incomplete upload."""
    try:
        while chunk := await part.read_chunk(_PIECE_BYTES):
            yield chunk
    except (ValueError, AssertionError, web.RequestPayloadError) as error:
        raise broken_off() from error
    if not part.at_eof():
        raise broken_off()


def broken_off() -> DomainError:
    """Return the error for a form that ends before its closing boundary."""
    return RemoteError("UPLOAD_INCOMPLETE", "the form ended before the file did", field=FIELD)
