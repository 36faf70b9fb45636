"""gRPC-Web over HTTP/1.1, binary and as base64 text; the protocol page of gRPC, PROTOCOL-WEB.

A message is a byte of flags, four bytes of length and the bytes; the status comes last, as a frame whose flag says
trailers, also where there was no message. Compressed messages are not read: small ones can hold gigabytes.
"""

import base64
import binascii
import re
import struct
from typing import Final
from urllib.parse import quote

from aiohttp import web
from google.protobuf.message import Message

from services.kit.errors import DomainError, ParamInvalid, RemoteError
from services.kit.rpc.errors import DETAILS_KEY, TRACE_KEY, to_status

HEAD: Final = struct.Struct(">BI")
COMPRESSED: Final = 0x01

_TRAILERS: Final = 0x80
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# What a message may hold as it is; the rest is percent-encoded, PROTOCOL-HTTP2 "Status-Message".
_PLAIN: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class GrpcWeb:
    """How gRPC-Web is read and written."""

    def __init__(self, *, text: bool) -> None:
        """Speak it in bytes, or as base64 for clients that cannot read those."""
        self._text = text
        self.content_type = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"

    def read(self, raw: bytes, kind: type[Message]) -> Message:
        """Return the one message of the body; ParamInvalid unless it is one whole frame, DecodeError for its bytes."""
        if self._text:
            try:
                raw = base64.b64decode(raw, validate=True)
            except binascii.Error as error:
                raise ParamInvalid.of("body", "is not base64", "encoding") from error
        return kind.FromString(only_frame(raw))

    def timeout_s(self, http: web.Request) -> float | None:
        """Return the seconds of grpc-timeout; ParamInvalid for a text that is no time."""
        given = http.headers.get("grpc-timeout")
        if given is None:
            return None
        found = _TIMEOUT.fullmatch(given)
        if found is None or not int(found[1]):
            raise ParamInvalid.of("grpc-timeout", "must be a number above 0 with one of H M S m u n", "header")
        return int(found[1]) * _UNITS_S[found[2]]

    def whole(self, message: Message, trace_id: str) -> web.Response:
        """Return the message and the status that all is well."""
        return self._answer(self.piece(message) + self.ending(None, trace_id))

    def piece(self, message: Message) -> bytes:
        """Return the message as a frame."""
        return self._said(framed(message.SerializeToString()))

    def ending(self, error: DomainError | None, trace_id: str) -> bytes:
        """Return the frame of trailers."""
        lines = ["grpc-status: 0"]
        if error is not None:
            status = to_status(error)
            details = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
            lines = [
                f"grpc-status: {status.code}",
                f"grpc-message: {quote(status.message, safe=_PLAIN)}",
                f"{DETAILS_KEY}: {details}",
            ]
        lines.append(f"{TRACE_KEY}: {trace_id}")
        return self._said(framed("".join(f"{line}\r\n" for line in lines).encode(), _TRAILERS))

    def refusal(self, error: DomainError, trace_id: str) -> web.Response:
        """Return the status alone."""
        return self._answer(self.ending(error, trace_id))

    def _answer(self, body: bytes) -> web.Response:
        headers = {"Content-Type": self.content_type, "Cache-Control": "no-store"}
        return web.Response(body=body, headers=headers)

    def _said(self, frame: bytes) -> bytes:
        return base64.b64encode(frame) if self._text else frame


def framed(data: bytes, flags: int = 0) -> bytes:
    """Return the bytes with their head."""
    return HEAD.pack(flags, len(data)) + data


def only_frame(raw: bytes) -> bytes:
    """Return what the one frame of a body holds.

    Raises ParamInvalid when it is not exactly one, MEDIA_TYPE_UNSUPPORTED for a compressed one.
    """
    if len(raw) < HEAD.size:
        raise ParamInvalid.of("body", "holds no message", "frame")
    flags, length = HEAD.unpack_from(raw)
    if flags & COMPRESSED:
        raise RemoteError("MEDIA_TYPE_UNSUPPORTED", "a compressed message is not read here")
    if flags or len(raw) != HEAD.size + length:
        raise ParamInvalid.of("body", "must be exactly one message", "frame")
    return raw[HEAD.size :]
