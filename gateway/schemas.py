"""JSON Schema of the messages as the codec prints and reads them, for the API document."""

from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.shapes import enum_of, is_map, map_parts, message_of, words_of

Schema = dict[str, Any]

_Field = FieldDescriptor
_UUID_LENGTH: Final = 36

_SCALARS: Final[Mapping[int, Schema]] = {
    _Field.CPPTYPE_STRING: {"type": "string"},
    _Field.CPPTYPE_BOOL: {"type": "boolean"},
    _Field.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    _Field.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    _Field.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    _Field.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    _Field.CPPTYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0},
    _Field.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
}
_OCTETS: Final[Schema] = {"type": "string", "contentEncoding": "base64"}
_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"},
}


class Schemas:
    """Collects the schema of every type that is asked for, and of the types inside."""

    def __init__(self, comments: Mapping[str, str]) -> None:
        """Describe types and fields with the comments of the contracts."""
        self._comments = comments
        self.components: dict[str, Schema] = {}

    def response(self, descriptor: Descriptor) -> Schema:
        """Return a reference to the type as it is answered: every key is there."""
        return self._reference(descriptor)

    def request(self, descriptor: Descriptor, without: Collection[str]) -> Schema:
        """Return a reference to the type as it is sent: without what the path brings, required where rules say so."""
        name = _name(descriptor)
        if name not in self.components:
            schema = self.components[name] = self._described({"type": "object"}, descriptor.full_name)
            fields = [field for field in descriptor.fields if field.name not in without]
            schema["properties"] = {field.name: self._given(field) for field in fields}
            schema["additionalProperties"] = False
            required = [field.name for field in fields if self.is_required(field)]
            if required:
                schema["required"] = required
        return {"$ref": f"#/components/schemas/{name}"}

    def parameter(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field as path or query parameter."""
        return self._given(field)

    def is_required(self, field: FieldDescriptor) -> bool:
        """Return whether the field's rules refuse the value it has when it is left out."""
        rules = _rules(field)
        if rules.required:
            return True
        if field.has_presence or rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
            return False
        text = rules.string
        return bool(rules.HasField("string") and (text.min_len or text.uuid or getattr(text, "in")))

    def _given(self, field: FieldDescriptor) -> Schema:
        schema = self._plural(field)
        target = schema["items"] if schema.get("type") == "array" and "items" in schema else schema
        if "$ref" not in target:
            target.update(_constraints(field))
        return self._described(schema, field.full_name)

    def _reference(self, descriptor: Descriptor) -> Schema:
        name = _name(descriptor)
        if name not in self.components:
            schema = self.components[name] = self._described({"type": "object"}, descriptor.full_name)
            schema["properties"] = {field.name: self.answered(field) for field in descriptor.fields}
            schema["required"] = [field.name for field in descriptor.fields]
        return {"$ref": f"#/components/schemas/{name}"}

    def answered(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field as it is answered."""
        schema = self._plural(field)
        if field.has_presence:
            if "$ref" in schema or "enum" in schema:
                schema = {"anyOf": [schema, {"type": "null"}]}
            else:
                schema["type"] = [schema["type"], "null"]
        return self._described(schema, field.full_name)

    def _plural(self, field: FieldDescriptor) -> Schema:
        if is_map(field):
            return {"type": "object", "additionalProperties": self._value(map_parts(field)[1])}
        return {"type": "array", "items": self._value(field)} if field.is_repeated else self._value(field)

    def _value(self, field: FieldDescriptor) -> Schema:
        if field.type == _Field.TYPE_ENUM:
            return self._words(enum_of(field))
        if field.type != _Field.TYPE_MESSAGE:
            return dict(_OCTETS if field.type == _Field.TYPE_BYTES else _SCALARS[field.cpp_type])
        known = _WELL_KNOWN.get(message_of(field).full_name)
        return dict(known) if known else self._reference(message_of(field))

    def _words(self, enum: EnumDescriptor) -> Schema:
        told = [
            f"`{words_of(enum)[value.number]}`: {self._comments[f'{enum.full_name}.{value.name}']}"
            for value in enum.values
            if f"{enum.full_name}.{value.name}" in self._comments
        ]
        schema: Schema = {"type": "string", "enum": list(words_of(enum).values())}
        return {**schema, "description": " ".join(told)} if told else schema

    def _described(self, schema: Schema, full_name: str) -> Schema:
        text = self._comments.get(full_name)
        if text:
            more = schema.get("description")
            schema["description"] = f"{text} {more}" if more else text
        return schema


def _rules(field: FieldDescriptor) -> Any:
    return cast("Any", field.GetOptions()).Extensions[validate_pb2.field]


def _constraints(field: FieldDescriptor) -> Schema:
    """Return what the field's validation rules mean in JSON Schema; those it cannot say are left out."""
    rules, found = _rules(field), {}
    if rules.HasField("string"):
        text = rules.string
        found["minLength"] = text.min_len or None
        found["maxLength"] = text.max_len or (_UUID_LENGTH if text.uuid else None)
        found["pattern"] = text.pattern or None
        found["format"] = "uuid" if text.uuid else None
        found["enum"] = list(getattr(text, "in")) or None
    for kind in ("int32", "int64"):
        if rules.HasField(kind):
            number = getattr(rules, kind)
            found["minimum"] = number.gte if number.HasField("gte") else None
            found["maximum"] = number.lte if number.HasField("lte") else None
    return {name: value for name, value in found.items() if value is not None}


def _name(descriptor: Descriptor) -> str:
    """Return the name of a component: `composer.Track`, `composer.Track.State`."""
    _, service, _, *rest = descriptor.full_name.split(".")
    return ".".join((service, *rest))
