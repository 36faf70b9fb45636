"""The API document (OpenAPI 3.1), made from the same descriptors as the routes themselves."""

from collections.abc import Sequence
from typing import Any, Final

import orjson

from cadenza.options.v1 import options_pb2
from gateway.comments import read_comments
from gateway.envelope import CODES, JSON, STATUSES
from gateway.forms import ARRAY, EVENT_STREAM, LINES
from gateway.messages import MESSAGES
from gateway.resumable import BYTES
from gateway.resumable import SERVICE as RESUMABLE
from gateway.routes import Binding
from gateway.schemas import Schema, Schemas
from gateway.shapes import message_of, shape_of
from gateway.transcode import IDEMPOTENCY_HEADER
from gateway.uploads import FIELD, FORM

VERSION: Final = "1.0.0"

_LINE: Final = {"type": "string"}
_WORDS: Final = (
    "Hum in, song out. Every answer is an envelope; `code` 0 is success. Any of the streams may also be read over the "
    'one WebSocket `/api/v1/ws`: `{"op": "auth", "token": ...}` first, and then '
    '`{"op": "subscribe", "path": ..., "after": N}`.'
)


def document(bindings: Sequence[Binding], *, server: str) -> bytes:
    """Return the document as JSON text; every binding is one operation."""
    comments = read_comments()
    schemas = Schemas(comments)
    paths: dict[str, dict[str, Any]] = {}
    for binding in bindings:
        paths.setdefault(binding.template.documented, {})[binding.verb.lower()] = _operation(binding, schemas, comments)
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
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
                "schemas": {**_envelopes(), **schemas.components},
                "responses": {
                    "Error": {
                        "description": "The request failed; `error` names the reason.",
                        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
                    }
                },
            },
        },
        option=orjson.OPT_INDENT_2,
    )


def _operation(binding: Binding, schemas: Schemas, comments: dict[str, str]) -> Schema:
    method = binding.method
    words = comments.get(f"{method.service}.{method.name}", method.name)
    operation: Schema = {
        "operationId": _operation_id(binding),
        "x-grpc-method": f"{method.service}/{method.name}",
        "tags": [_tag(method.service)],
        "summary": words.partition(". ")[0].rstrip("."),
        "description": words,
        "parameters": [*_parameters(binding, schemas)],
        "responses": {str(binding.http_status): _answer(binding, schemas), "default": _ERROR},
        "security": [] if method.access == options_pb2.ACCESS_PUBLIC else [{"token": []}],
    }
    if binding.additional:
        operation["deprecated"] = True
    if binding.body:
        operation["requestBody"] = _body(binding, schemas)
    return operation


def _parameters(binding: Binding, schemas: Schemas) -> list[Schema]:
    method = binding.method
    found = [
        {"name": variable.name, "in": "path", "required": True, "schema": schemas.parameter(variable.field)}
        for variable in binding.variables
    ]
    found += [
        {
            "name": field.name,
            "in": "query",
            "required": schemas.is_required(field),
            "schema": schemas.parameter(field),
        }
        for field in shape_of(method.request_type).fields
        if field.name not in binding.taken
    ]
    if not method.server_streaming:
        found.append(_header("fields", "Keys to leave in the answer, with commas and dots.", place="query"))
    else:
        found.append(_header("Last-Event-ID", "Sequence of the last event that arrived; the stream goes on after it."))
        found.append(_header("access_token", "The token, for clients that cannot send headers.", place="query"))
    if method.service == RESUMABLE and method.client_streaming:
        found.append(_header("Upload-Offset", "How many bytes of the file have come before."))
        found.append(_header("Upload-Checksum", "Algorithm, a space, and the digest of these bytes in base64."))
    elif method.has_request_id or method.client_streaming:
        found.append(_header(IDEMPOTENCY_HEADER, "Name of this wish; a repeat returns the first answer."))
    return found


def _header(name: str, words: str, *, place: str = "header") -> Schema:
    return {"name": name, "in": place, "required": False, "description": words, "schema": _LINE}


def _body(binding: Binding, schemas: Schemas) -> Schema:
    if binding.method.service == RESUMABLE and binding.method.client_streaming:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        return {"required": True, "content": {BYTES: {"schema": file}}}
    if binding.method.client_streaming:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        form = {"type": "object", "properties": {FIELD: file}, "required": [FIELD]}
        return {"required": True, "content": {FORM: {"schema": form}}}
    request = shape_of(binding.method.request_type)
    if binding.body == "*":
        schema = schemas.request(request, {variable.name for variable in binding.variables})
    else:
        schema = schemas.request(message_of(request.fields_by_name[binding.body]), ())
    return {"content": {JSON: {"schema": schema}}}


def _answer(binding: Binding, schemas: Schemas) -> Schema:
    answer = shape_of(binding.method.response_type)
    part = answer.fields_by_name.get(binding.response_body)
    data = schemas.response(answer) if part is None else schemas.answered(part)
    if binding.method.server_streaming:
        words = (
            "Events `snapshot`, then `change`, then `end`; `error` when it breaks off, `reset` when the client must "
            "forget what it has, `draining` when it is to connect again. The data of each is one line."
        )
        event = {
            "type": "object",
            "properties": {"event": _LINE, "id": {"type": "integer"}, "data": data},
            "required": ["event"],
        }
        kinds = {EVENT_STREAM: data, LINES: event, ARRAY: {"type": "array", "items": event}}
        return {"description": words, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}
    envelope = {
        "allOf": [{"$ref": "#/components/schemas/Success"}, {"properties": {"data": data}, "required": ["data"]}]
    }
    return {"description": "Success", "content": {JSON: {"schema": envelope}}}


def _envelopes() -> dict[str, Schema]:
    field = {"type": "object", "properties": dict.fromkeys(("field", "rule", "description"), _LINE)}
    reasons = [f"{CODES[name]} `{name}` ({STATUSES[name]}): {MESSAGES[name].told('en', {})}" for name in CODES]
    details = {
        "description": _LINE,
        "fields": {"type": "array", "items": field},
        "metadata": {"type": "object", "additionalProperties": _LINE},
    }
    return {
        "Success": {
            "type": "object",
            "properties": {"code": {"const": 0}, "message": _LINE, "data": {}, "trace_id": _LINE},
            "required": ["code", "message", "data", "trace_id"],
        },
        "Error": {
            "type": "object",
            "description": "\n".join(reasons),
            "properties": {
                "code": {"type": "integer", "enum": list(CODES.values())},
                "message": _LINE,
                "error": {"type": "string", "enum": list(CODES)},
                "details": {"type": "object", "properties": details, "required": list(details)},
                "trace_id": _LINE,
            },
            "required": ["code", "message", "error", "details", "trace_id"],
        },
    }


def _operation_id(binding: Binding) -> str:
    """Return the method's name, with the path behind it for an additional binding."""
    name = f"{_tag(binding.method.service)}_{binding.method.name}"
    return f"{name}_{binding.path.strip('/').translate(_PLAIN)}" if binding.additional else name


def _tag(service: str) -> str:
    return service.rpartition(".")[2]


_PLAIN: Final = str.maketrans({"/": "_", "-": "_", "{": "", "}": ""})
_ERROR: Final = {"$ref": "#/components/responses/Error"}
