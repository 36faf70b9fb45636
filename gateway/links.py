"""Links of the API document: what was made is read, changed and taken away under the id that its making answered.

Nothing of it is written down: an answer that has `track_id`, in itself or in its first message, leads to every route
whose path asks for `{track_id}`.
"""

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.routes import Binding
from gateway.shapes import message_of, shape_of

Json = dict[str, Any]


def links_of(binding: Binding, bindings: Sequence[Binding], *, names: dict[Binding, str]) -> Json:
    """Return the links of a route that makes something; `names` are the operations' ids. Empty for all others."""
    method = binding.method
    if method.no_side_effects or binding.verb == "DELETE" or binding.response_body:
        return {}
    places = _ids(shape_of(method.response_type))
    bound = {variable.name for variable in binding.variables}
    found: Json = {}
    for other in bindings:
        wanted = [variable.name for variable in other.variables]
        known = all(name in places or name in bound for name in wanted)
        if (
            other is binding
            or other.additional
            or not wanted
            or not known
            or not any(name in places for name in wanted)
        ):
            continue
        found[names[other]] = {
            "operationId": names[other],
            "description": f"What was answered, in {other.verb} {other.path}",
            "parameters": {
                name: f"$response.body#/data/{places[name]}" if name in places else f"$request.path.{name}"
                for name in wanted
            },
        }
    return found


def _ids(answer: Descriptor) -> dict[str, str]:
    """Return the places of ids in an answer, each as the end of a JSON pointer."""
    places: dict[str, str] = {}
    for field in answer.fields:
        if _is_id(field):
            places.setdefault(field.name, field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            for inner in message_of(field).fields:
                if _is_id(inner):
                    places.setdefault(inner.name, f"{field.name}/{inner.name}")
    return places


def _is_id(field: FieldDescriptor) -> bool:
    plain = field.cpp_type == FieldDescriptor.CPPTYPE_STRING and not field.is_repeated
    return plain and field.name.endswith(("_id", "_code"))
