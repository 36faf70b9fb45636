"""The Connect protocol over HTTP/1.1: methods answered once, also by GET where they change nothing, and server streams.

Facts: connectrpc.com, "Connect Protocol Reference". JSON is the canonical mapping of protobuf here, unlike that of the
API, because clients of this protocol bring their own codecs. Unknown fields are ignored, as the protocol asks.
"""

import base64
import binascii
import json as json_lines
from typing import Any, Final

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from gateway.rpc_web import framed, only_frame
from services.kit.errors import DomainError, ParamInvalid
from services.kit.rpc.errors import to_status

# Names and HTTP statuses of gRPC's codes, by number.
_CODES: Final[tuple[tuple[str, int], ...]] = (
    ("ok", 200),
    ("canceled", 499),
    ("unknown", 500),
    ("invalid_argument", 400),
    ("deadline_exceeded", 504),
    ("not_found", 404),
    ("already_exists", 409),
    ("permission_denied", 403),
    ("resource_exhausted", 429),
    ("failed_precondition", 400),
    ("aborted", 409),
    ("out_of_range", 400),
    ("unimplemented", 501),
    ("internal", 500),
    ("unavailable", 503),
    ("data_loss", 500),
    ("unauthenticated", 401),
)
_END: Final = 0x02
_MOST_DIGITS: Final = 10
_TRACE: Final = "x-trace-id"


class _Connect:
    """What both shapes share: the codec and the deadline."""

    def __init__(self, *, json: bool) -> None:
        """Write messages as JSON or in bytes."""
        self._json = json

    def timeout_s(self, http: web.Request) -> float | None:
        """Return the seconds of Connect-Timeout-Ms; ParamInvalid for a text that is no number."""
        given = http.headers.get("Connect-Timeout-Ms")
        if given is None:
            return None
        if not given.isascii() or not given.isdigit() or len(given) > _MOST_DIGITS or not int(given):
            raise ParamInvalid.of("Connect-Timeout-Ms", "must be a number of milliseconds above 0", "header")
        return int(given) / 1000

    def _decoded(self, raw: bytes, kind: type[Message]) -> Message:
        if not self._json:
            return kind.FromString(raw)
        try:
            return json_format.Parse(raw or b"{}", kind(), ignore_unknown_fields=True)
        except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(str(error)) from error

    def _encoded(self, message: Message) -> bytes:
        if not self._json:
            return message.SerializeToString()
        return json_format.MessageToJson(message, indent=None).encode()


class ConnectUnary(_Connect):
    """A method that is answered once."""

    def __init__(self, *, json: bool) -> None:
        """Write messages as JSON or in bytes."""
        super().__init__(json=json)
        self.content_type = "application/json" if json else "application/proto"

    def read(self, raw: bytes, kind: type[Message]) -> Message:
        """Return the body as a message; raises DecodeError."""
        return self._decoded(raw, kind)

    def whole(self, message: Message, trace_id: str) -> web.Response:
        """Return the message."""
        return web.Response(body=self._encoded(message), content_type=self.content_type, headers={_TRACE: trace_id})

    def piece(self, message: Message) -> bytes:
        """Return the message, which nothing streams in this shape."""
        return self._encoded(message)

    def ending(self, error: DomainError | None, trace_id: str) -> bytes:  # noqa: ARG002  # the shape of every protocol
        """Return the error as JSON."""
        return json_lines.dumps(_told(error)).encode() if error is not None else b""

    def refusal(self, error: DomainError, trace_id: str) -> web.Response:
        """Return the error with its status, always as JSON."""
        status = _CODES[to_status(error).code][1]
        return web.Response(body=self.ending(error, trace_id), status=status, content_type="application/json")


class ConnectStream(_Connect):
    """A method that streams; the HTTP status is always 200, and the last envelope tells how it ended."""

    def __init__(self, *, json: bool) -> None:
        """Write messages as JSON or in bytes."""
        super().__init__(json=json)
        self.content_type = "application/connect+json" if json else "application/connect+proto"

    def read(self, raw: bytes, kind: type[Message]) -> Message:
        """Return the one message in its envelope; raises ParamInvalid and DecodeError."""
        return self._decoded(only_frame(raw), kind)

    def whole(self, message: Message, trace_id: str) -> web.Response:
        """Return the message and the end."""
        return self._answer(self.piece(message) + self.ending(None, trace_id))

    def piece(self, message: Message) -> bytes:
        """Return the message in its envelope."""
        return framed(self._encoded(message))

    def ending(self, error: DomainError | None, trace_id: str) -> bytes:
        """Return the last envelope."""
        end: dict[str, Any] = {"metadata": {_TRACE: [trace_id]}}
        if error is not None:
            end["error"] = _told(error)
        return framed(json_lines.dumps(end).encode(), _END)

    def refusal(self, error: DomainError, trace_id: str) -> web.Response:
        """Return the end alone."""
        return self._answer(self.ending(error, trace_id))

    def _answer(self, body: bytes) -> web.Response:
        return web.Response(body=body, content_type=self.content_type)


def query_of(http: web.Request) -> tuple[ConnectUnary, bytes]:
    """Return the protocol and the message of a GET; raises ParamInvalid for what is no request of it."""
    query = http.query
    encoding = query.get("encoding", "")
    if query.get("connect") != "v1" or encoding not in {"json", "proto"} or "message" not in query:
        raise ParamInvalid.of("message", "a GET needs connect=v1, encoding and message", "query")
    if query.get("compression", "identity") not in {"", "identity"}:
        raise ParamInvalid.of("compression", "a compressed message is not read here", "query")
    raw = query["message"].encode()
    if query.get("base64") == "1":
        try:
            raw = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        except binascii.Error as error:
            raise ParamInvalid.of("message", "is not base64", "query") from error
    return ConnectUnary(json=encoding == "json"), raw


def _told(error: DomainError) -> dict[str, Any]:
    """Return the error as the protocol writes it, with its details."""
    status = to_status(error)
    details = [
        {"type": each.type_url.rpartition("/")[2], "value": base64.b64encode(each.value).decode().rstrip("=")}
        for each in status.details
    ]
    return {"code": _CODES[status.code][0], "message": status.message, "details": details}
