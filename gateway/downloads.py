"""What developers take away besides the API document: a Postman collection and the descriptors of the contracts.

The collection (schema 2.1.0) is the API document in Postman's words, one request for each operation with the body it
needs. The descriptor set holds the public methods and everything they use, for `grpcurl -protoset` and for whoever
generates a client without our repository.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.envelope import JSON
from gateway.routes import Binding
from gateway.shapes import shape_of

_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_ID: Final = "018f0000-0000-7000-8000-000000000001"
_DEEPEST: Final = 6
_TEXTS: Final = ("audio/wav", "web", "0", "a@example.com")  # for fields whose rule is a pattern

Json = dict[str, Any]


def descriptor_set(bindings: Sequence[Binding]) -> bytes:
    """Return a FileDescriptorSet, imports before the files that need them; internal methods are left out."""
    public = {(each.method.service, each.method.name) for each in bindings}
    found: dict[str, FileDescriptorProto] = {}
    for binding in bindings:
        file = shape_of(binding.method.request_type).file
        if file.name not in found:
            _collect(file, public, found)
    return FileDescriptorSet(file=found.values()).SerializeToString(deterministic=True)


def _collect(file: FileDescriptor, public: set[tuple[str, str]], found: dict[str, FileDescriptorProto]) -> None:
    for other in file.dependencies:
        if other.name not in found:
            _collect(other, public, found)
    made = found[file.name] = FileDescriptorProto()
    file.CopyToProto(made)
    for service in made.service:
        kept = [method for method in service.method if (f"{made.package}.{service.name}", method.name) in public]
        del service.method[:]
        service.method.extend(kept)
    services = [service for service in made.service if service.method]
    del made.service[:]
    made.service.extend(services)


def postman(openapi: bytes) -> bytes:
    """Return the collection; `base` and `token` are its variables, and who needs no token sends none."""
    document = orjson.loads(openapi)
    schemas = document["components"]["schemas"]
    folders: dict[str, list[Json]] = {}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            folders.setdefault(operation["tags"][0], []).append(_request(path, verb, operation, schemas))
    words = {tag["name"]: tag["description"] for tag in document["tags"]}
    return orjson.dumps(
        {
            "info": {"name": document["info"]["title"], "schema": _SCHEMA, "version": document["info"]["version"]},
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
            "variable": [{"key": "base", "value": document["servers"][0]["url"]}, {"key": "token", "value": ""}],
            "item": [
                {"name": name, "description": words.get(name, ""), "item": items} for name, items in folders.items()
            ],
        },
        option=orjson.OPT_INDENT_2,
    )


def _request(path: str, verb: str, operation: Json, schemas: Json) -> Json:
    parameters = operation["parameters"]
    places = [part.replace("{", ":").replace("}", "") for part in path.strip("/").split("/")]
    query = [each for each in parameters if each["in"] == "query"]
    url: Json = {
        "raw": "{{base}}/" + "/".join(places),
        "host": ["{{base}}"],
        "path": places,
        "variable": [
            {"key": each["name"], "value": str(_sample(each["schema"], schemas))}
            for each in parameters
            if each["in"] == "path"
        ],
        "query": [
            {
                "key": each["name"],
                "value": str(_sample(each["schema"], schemas)),
                "disabled": not each["required"],
                "description": each.get("description", ""),
            }
            for each in query
        ],
    }
    request: Json = {"method": verb.upper(), "header": [], "url": url, "description": operation["description"]}
    content = operation.get("requestBody", {}).get("content", {})
    if JSON in content:
        body = orjson.dumps(_sample(content[JSON]["schema"], schemas), option=orjson.OPT_INDENT_2).decode()
        request["header"].append({"key": "Content-Type", "value": JSON})
        request["body"] = {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}
    elif content:
        request["body"] = {"mode": "formdata", "formdata": [{"key": "file", "type": "file", "src": []}]}
    if not operation["security"]:
        request["auth"] = {"type": "noauth"}
    return {"name": operation["summary"], "request": request}


def _sample(schema: Json, schemas: Json, depth: int = 0) -> Any:
    """Return a value that the schema allows: of an object only what it requires."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    if "enum" in schema:
        # The first word of an enum is the one that says nothing.
        return schema["enum"][min(1, len(schema["enum"]) - 1)]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        wanted = dict(_required(schema)) if depth < _DEEPEST else {}
        return {name: _sample(inner, schemas, depth + 1) for name, inner in wanted.items()}
    if kind == "array":
        return [_sample(schema["items"], schemas, depth + 1)] * schema.get("minItems", 0)
    if kind in {"integer", "number"}:
        return max(schema.get("minimum", 1), 1)
    return False if kind == "boolean" else _text(schema)


def _required(schema: Json) -> Iterator[tuple[str, Json]]:
    for name in schema.get("required", ()):
        yield name, schema["properties"][name]


def _text(schema: Json) -> str:
    if schema.get("format") == "uuid":
        return _ID
    if schema.get("format") == "date-time":
        return "2026-01-31T12:00:00Z"
    pattern = schema.get("pattern")
    plain = "text".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 100)]
    return next((each for each in (plain, *_TEXTS) if not pattern or re.search(pattern, each)), plain)
