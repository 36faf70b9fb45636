"""The API document (OpenAPI 3.1), made from the same descriptors as the routes themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from cadenza.options.v1 import options_pb2
from gateway.caller import TOKEN_PARAMETER
from gateway.comments import read_comments
from gateway.envelope import JSON
from gateway.examples import Examples
from gateway.fields import PARAMETER, choosable
from gateway.links import links_of
from gateway.openapi_answers import envelopes, failures_of, refusal_examples, success_of
from gateway.resumable import BYTES
from gateway.resumable import SERVICE as RESUMABLE
from gateway.routes import Binding
from gateway.rules import is_required, own_example
from gateway.schemas import Schema, Schemas
from gateway.shapes import message_of, shape_of
from gateway.transcode import IDEMPOTENCY_HEADER
from gateway.uploads import FIELD, FORM

VERSION: Final = "1.0.0"

_LINE: Final = {"type": "string"}
_FILE: Final = {"type": "string", "contentMediaType": "application/octet-stream"}
_WORDS: Final = (
    "Hum in, song out. Every answer is an envelope; `code` 0 is success. Any of the streams may also be read over the "
    'one WebSocket `/api/v1/ws`: `{"op": "auth", "token": ...}` first, and then '
    '`{"op": "subscribe", "path": ..., "after": N}`.'
)
_TOKENS: Final[Schema] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of a login. Routes for administrators ask for the role `admin` in it.",
    },
    "stream_token": {
        "type": "apiKey",
        "in": "query",
        "name": TOKEN_PARAMETER,
        "description": "The same token, for event streams of clients that cannot send headers.",
    },
}


@dataclass(frozen=True, slots=True)
class _Book:
    """What all operations of one document are written from."""

    bindings: Sequence[Binding]
    names: dict[Binding, str]
    comments: dict[str, str]
    schemas: Schemas
    examples: Examples


def document(bindings: Sequence[Binding], *, server: str) -> bytes:
    """Return the document as JSON text; every binding is one operation."""
    comments = read_comments()
    names = {binding: _operation_id(binding) for binding in bindings}
    examples = Examples(comments, (shape_of(binding.method.request_type) for binding in bindings))
    book = _Book(bindings, names, comments, Schemas(comments), examples)
    paths: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        paths.setdefault(binding.template.documented, {})[binding.verb.lower()] = _operation(binding, book)
    tags = sorted({binding.method.service for binding in bindings})
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Cadenza",
                "version": VERSION,
                "description": _WORDS,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": server}],
            "tags": [{"name": _tag(tag), "description": comments.get(tag, "")} for tag in tags],
            "paths": paths,
            "components": {
                "securitySchemes": _TOKENS,
                "schemas": {**envelopes(), **book.schemas.components},
                "examples": refusal_examples(),
                "responses": {
                    "Error": {
                        "description": "The request failed; `error` names the reason.",
                        "content": {
                            JSON: {
                                "schema": {"$ref": "#/components/schemas/Error"},
                                "examples": {"UNKNOWN_ERROR": {"$ref": "#/components/examples/UNKNOWN_ERROR"}},
                            }
                        },
                    }
                },
            },
        },
        option=orjson.OPT_INDENT_2,
    )


def _operation(binding: Binding, book: _Book) -> Schema:
    method = binding.method
    words = book.comments.get(f"{method.service}.{method.name}", method.name)
    success = success_of(binding, book.schemas, book.examples)
    links = links_of(binding, book.bindings, names=book.names)
    if links:
        success["links"] = links
    operation: Schema = {
        "operationId": book.names[binding],
        "x-grpc-method": f"{method.service}/{method.name}",
        "tags": [_tag(method.service)],
        "summary": words.partition(". ")[0].rstrip("."),
        "description": words,
        "parameters": [*_parameters(binding, book)],
        "responses": {str(binding.http_status): success, **failures_of(binding, book.comments)},
        "security": _security(binding),
    }
    if binding.additional:
        operation["deprecated"] = True
    if binding.body:
        operation["requestBody"] = _body(binding, book)
    return operation


def _security(binding: Binding) -> list[Schema]:
    """Return the ways to say who asks, of which one is enough; none for a route that anybody may call."""
    if binding.method.access == options_pb2.ACCESS_PUBLIC:
        return []
    roles = ["admin"] if binding.method.access == options_pb2.ACCESS_ADMIN else []
    return [{"token": roles}, *([{"stream_token": roles}] if binding.method.server_streaming else [])]


def _parameters(binding: Binding, book: _Book) -> list[Schema]:
    method = binding.method
    found: list[Schema] = [
        {
            "name": variable.name,
            "in": "path",
            "required": True,
            "schema": book.schemas.parameter(variable.field),
            "example": book.examples.value(variable.field),
        }
        for variable in binding.variables
    ]
    for field in shape_of(method.request_type).fields:
        if field.name in binding.taken:
            continue
        required, schema = is_required(field), book.schemas.parameter(field)
        parameter = {"name": field.name, "in": "query", "required": required, "schema": schema}
        if required or own_example(field) is not None:
            parameter["example"] = book.examples.value(field)
        found.append(parameter)
    return [*found, *_asides(binding)]


def _asides(binding: Binding) -> list[Schema]:
    """Return the parameters that are the gateway's own."""
    method, found = binding.method, []
    keys = [] if binding.response_body else choosable(shape_of(method.response_type))
    if method.server_streaming:
        place = {"type": "string", "pattern": "^[0-9]{0,18}$"}
        words = "Sequence of the last event that arrived; the stream goes on after it."
        found.append(_header("Last-Event-ID", words, schema=place))
    elif keys:
        list_of_keys = {"type": "array", "items": {"type": "string", "enum": keys}, "minItems": 1, "maxItems": 50}
        words = "Keys to leave in the answer, with commas and dots."
        choice = _header(PARAMETER, words, place="query", schema=list_of_keys)
        found.append({**choice, "style": "form", "explode": False})
    if method.service == RESUMABLE and method.client_streaming:
        offset = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        found.append(_header("Upload-Offset", "How many bytes of the file have come before.", schema=offset))
        found.append(_header("Upload-Checksum", "Algorithm, a space, and the digest of these bytes in base64."))
    elif method.has_request_id or method.client_streaming:
        key = {"type": "string", "pattern": "^[!#-\\[\\]-~]([ !#-\\[\\]-~]{0,126}[!#-\\[\\]-~])?$"}
        words = "Name of this wish; a repeat returns the first answer."
        found.append(_header(IDEMPOTENCY_HEADER, words, schema=key))
    return found


def _header(name: str, words: str, *, place: str = "header", schema: Schema = _LINE) -> Schema:
    return {"name": name, "in": place, "required": False, "description": words, "schema": schema}


def _body(binding: Binding, book: _Book) -> Schema:
    if binding.method.service == RESUMABLE and binding.method.client_streaming:
        return {"required": True, "content": {BYTES: {"schema": _FILE, "example": "RIFF"}}}
    if binding.method.client_streaming:
        form = {"type": "object", "properties": {FIELD: _FILE}, "required": [FIELD]}
        return {"required": True, "content": {FORM: {"schema": form, "example": {FIELD: "RIFF"}}}}
    request, bound = shape_of(binding.method.request_type), {variable.name for variable in binding.variables}
    if binding.body != "*":
        request, bound = message_of(request.fields_by_name[binding.body]), set()
    schema, example = book.schemas.request(request, bound), book.examples.request(request, bound)
    needed = any(is_required(field) for field in request.fields if field.name not in bound)
    return {"required": needed, "content": {JSON: {"schema": schema, "example": example}}}


def _operation_id(binding: Binding) -> str:
    """Return the method's name, with the path behind it for an additional binding."""
    name = f"{_tag(binding.method.service)}_{binding.method.name}"
    return f"{name}_{binding.path.strip('/').translate(_PLAIN)}" if binding.additional else name


def _tag(service: str) -> str:
    return service.rpartition(".")[2]


_PLAIN: Final = str.maketrans({"/": "_", "-": "_", "{": "", "}": ""})
