"""Which fields a PATCH gives, when its FieldMask does not say so: those whose keys are in the body.

So `{"title": "x"}` changes the title and `{"title": null}` clears it, without a mask that repeats the keys
(AIP-134; grpc-gateway does the same). Lists and maps are given as a whole.
"""

from collections.abc import Iterator
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.shapes import is_map, is_well_known, message_of, names_of


def given_paths(raw: bytes, descriptor: Descriptor) -> list[str]:
    """Return the paths, in snake_case, of what a JSON object holds that has been read as this type."""
    tree = orjson.loads(raw)
    return [] if not isinstance(tree, dict) else sorted(set(_paths(tree, descriptor, "")))


def _paths(tree: dict[str, Any], descriptor: Descriptor, before: str) -> Iterator[str]:
    fields = names_of(descriptor)
    for key, value in tree.items():
        field = fields[key]
        path = before + field.name
        if isinstance(value, dict) and value and _enterable(field):
            yield from _paths(value, message_of(field), path + ".")
        else:
            yield path


def _enterable(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE and not is_map(field) and not is_well_known(message_of(field))
