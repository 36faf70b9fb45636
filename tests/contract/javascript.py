"""The JavaScript client: one function for each public method, from the HTTP rules of the contract.

A function takes the fields of its request and returns the call as plain data, so that any page or mini-program can
send it in its own way. It is a module of its own without any import, small enough for every page.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERBS = ("get", "post", "put", "patch", "delete")

_HEAD = """\
// Made from the contract by `make gen`, never edited: one function for each method of the public API.
//
// getTrack({ track_id }) takes the fields of the request by their names in JSON and returns { method, path, body }:
// what is named in the path stands in it, the rest is the query, or the JSON body where the method has one. Sending it,
// with a token and an idempotency key where one is wanted, is the caller's; a stream of events is a GET like others.

const call = (method, path, posts) => (request = {}) => {
  const rest = { ...request };
  const place = path.replace(/{(\\w+)}/g, (_, name) => {
    const value = rest[name];
    delete rest[name];
    if (value === undefined || value === "") throw new TypeError(`${name} is missing`);
    return encodeURIComponent(value);
  });
  if (posts) return { method, path: place, body: rest };
  const given = Object.entries(rest).filter(([, value]) => value !== undefined);
  const query = String(new URLSearchParams(given.flatMap(([name, value]) => [value].flat().map((one) => [name, one]))));
  return { method, path: query ? `${place}?${query}` : place };
};
"""


def javascript_client(descriptors: Path) -> str:
    """Return the module; `descriptors` is the file of all descriptors that protoc has written.

    Raises `ValueError` for a rule that the module cannot express, and for two methods of one name.
    """
    found = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    calls: dict[str, str] = {}
    lines = [_HEAD]
    for file in found.file:
        for service in file.service:
            public = list(_public(service))
            if public:
                lines.append(f"// {file.package}.{service.name}")
            for method, rule in public:
                name = method.name[0].lower() + method.name[1:]
                if name in calls:
                    raise ValueError(f"{service.name} and {calls[name]} both have a public method {method.name}")
                calls[name] = service.name
                lines.append(f"export const {name} = call({_arguments(method.name, rule)});")
    return "\n".join(lines) + "\n"


def _public(
    service: descriptor_pb2.ServiceDescriptorProto,
) -> Iterator[tuple[descriptor_pb2.MethodDescriptorProto, Any]]:
    """Yield the methods that have an HTTP rule, with it: the others are internal."""
    for method in service.method:
        if method.options.HasExtension(annotations_pb2.http):
            yield method, method.options.Extensions[annotations_pb2.http]


def _arguments(name: str, rule: Any) -> str:
    verb = rule.WhichOneof("pattern") or ""
    if verb not in _VERBS or rule.body not in {"", "*"}:
        raise ValueError(f"{name} has an HTTP rule that the JavaScript client does not know")
    said = [json.dumps(verb.upper()), json.dumps(getattr(rule, verb))]
    return ", ".join([*said, "true"] if rule.body else said)
