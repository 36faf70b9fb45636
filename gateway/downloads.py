"""What developers take away besides the API document: a Postman collection and the descriptors of the contracts.

The collection (schema 2.1.0) is the API document in Postman's words, one request for each operation with the body it
needs. The descriptor set holds the public methods and everything they use, for `grpcurl -protoset` and for whoever
generates a client without our repository.
"""

from collections.abc import Sequence
from typing import Any, Final

import orjson
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.envelope import JSON
from gateway.routes import Binding
from gateway.shapes import shape_of

_SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

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
    folders: dict[str, list[Json]] = {}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            folders.setdefault(operation["tags"][0], []).append(_request(path, verb, operation))
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


def _request(path: str, verb: str, operation: Json) -> Json:
    parameters = operation["parameters"]
    places = [part.replace("{", ":").replace("}", "") for part in path.strip("/").split("/")]
    query = [each for each in parameters if each["in"] == "query"]
    url: Json = {
        "raw": "{{base}}/" + "/".join(places),
        "host": ["{{base}}"],
        "path": places,
        "variable": [{"key": each["name"], "value": _text(each)} for each in parameters if each["in"] == "path"],
        "query": [
            {
                "key": each["name"],
                "value": _text(each),
                "disabled": not each["required"],
                "description": each.get("description", ""),
            }
            for each in query
        ],
    }
    request: Json = {"method": verb.upper(), "header": [], "url": url, "description": operation["description"]}
    content = operation.get("requestBody", {}).get("content", {})
    if JSON in content:
        body = orjson.dumps(content[JSON]["example"], option=orjson.OPT_INDENT_2).decode()
        request["header"].append({"key": "Content-Type", "value": JSON})
        request["body"] = {"mode": "raw", "raw": body, "options": {"raw": {"language": "json"}}}
    elif content:
        request["body"] = {"mode": "formdata", "formdata": [{"key": "file", "type": "file", "src": []}]}
    if not operation["security"]:
        request["auth"] = {"type": "noauth"}
    return {"name": operation["summary"], "request": request}


def _text(parameter: Json) -> str:
    """Return the example of a parameter as it is written into an address; empty when it needs none."""
    example = parameter.get("example", "")
    return str(example).lower() if isinstance(example, bool) else str(example)
