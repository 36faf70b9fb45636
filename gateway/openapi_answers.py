"""What the API document says of answers: success in every form it comes in, and each refusal, all with examples."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from gateway.envelope import CODES, JSON, STATUSES
from gateway.examples import Examples
from gateway.forms import ARRAY, END, EVENT_STREAM, FORMS, LINES, Line
from gateway.messages import MESSAGES
from gateway.refusals import refusal, refusals_of
from gateway.routes import Binding
from gateway.schemas import Schema, Schemas
from gateway.shapes import shape_of

_LINE: Final = {"type": "string"}
_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_SECONDS: Final = {"description": "Seconds to wait before asking again.", "schema": {"type": "integer", "minimum": 0}}
_HEADERS: Final[Mapping[int, Schema]] = {
    401: {"WWW-Authenticate": {"description": "The challenge of RFC 6750.", "required": True, "schema": _LINE}},
    423: {"Retry-After": {**_SECONDS, "required": True}},
    429: {"Retry-After": {**_SECONDS, "required": True}},
    503: {"Retry-After": {**_SECONDS, "required": True}},
}
_STREAM: Final = (
    "Events `snapshot`, then `change`, then `end`; `error` when it breaks off, `reset` when the client must forget "
    "what it has, `draining` when it is to connect again. The data of each is one line."
)


def success_of(binding: Binding, schemas: Schemas, examples: Examples) -> Schema:
    """Return the answer of a call that succeeds, with an example in every form that it has."""
    answer = shape_of(binding.method.response_type)
    part = answer.fields_by_name.get(binding.response_body)
    data = schemas.response(answer) if part is None else schemas.answered(part)
    example = examples.answer(answer) if part is None else examples.answered(part)
    if binding.method.server_streaming:
        return {"description": _STREAM, "content": _events(data, example)}
    schema = {"allOf": [{"$ref": "#/components/schemas/Success"}, {"properties": {"data": data}, "required": ["data"]}]}
    told = {"code": 0, "message": "success", "data": example, "trace_id": _TRACE}
    return {"description": "Success", "content": {JSON: {"schema": schema, "example": told}}}


def _events(data: Schema, example: Any) -> Schema:
    """Return the three forms of a stream; the first one is text, whose lines `data` hold what `contentSchema` says."""
    event = {
        "type": "object",
        "properties": {"event": _LINE, "id": {"type": "integer"}, "data": {"anyOf": [data, {"type": "object"}]}},
        "required": ["event"],
    }
    line = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    text = {"type": "object", "properties": {"event": _LINE, "id": _LINE, "retry": {"type": "integer"}, "data": line}}
    kinds: dict[str, Schema] = {EVENT_STREAM: text, LINES: event, ARRAY: {"type": "array", "items": event}}
    first = Line("snapshot", int(example.get("sequence") or 1), orjson.dumps(example))
    told: dict[str, Any] = {}
    for kind in kinds:
        form = FORMS[kind]
        written = (form.opening([first, END]) + form.after).decode()
        told[kind] = orjson.loads(written) if kind == ARRAY else written
    # A line of NDJSON is one event; the example shows the first.
    told[LINES] = orjson.loads(told[LINES].partition("\n")[0])
    return {kind: {"schema": schema, "example": told[kind]} for kind, schema in kinds.items()}


def failures_of(binding: Binding, comments: Mapping[str, str]) -> dict[str, Schema]:
    """Return the refusals of the route by their status, and under `default` whatever nobody could foresee."""
    found: dict[str, Schema] = {}
    for status, reasons in refusals_of(binding, comments).items():
        examples = {reason: {"$ref": f"#/components/examples/{reason}"} for reason in reasons}
        answer: Schema = {
            "description": ", ".join(f"`{reason}`" for reason in reasons),
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}, "examples": examples}},
        }
        if status in _HEADERS:
            answer["headers"] = _HEADERS[status]
        found[str(status)] = answer
    return {**found, "default": {"$ref": "#/components/responses/Error"}}


def refusal_examples() -> dict[str, Schema]:
    """Return an envelope of every reason, which the routes refer to."""
    return {reason: {"summary": MESSAGES[reason].told("en", {}), "value": refusal(reason)} for reason in CODES}


def envelopes() -> dict[str, Schema]:
    """Return the schemas of the two envelopes, that of success and that of every refusal."""
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
