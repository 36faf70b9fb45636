"""JSON Schema of the messages as the codec prints and reads them, for the API document."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from buf.validate.validate_pb2 import IGNORE_IF_ZERO_VALUE
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.rules import allowed_numbers, is_required, numeric_rules, own_example, rules_of
from gateway.shapes import enum_of, is_map, map_parts, message_of, words_of

Schema = dict[str, Any]

_Field = FieldDescriptor
_UUID_LENGTH: Final = 36
_ASKED: Final = "Request"
_ONCE: Final = "request_id"

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
        """Return a reference to the type as it is sent: without what the path brings, required where rules say so.

        Whatever is not required may also be null, which means the same as leaving it out. A `request_id` is never
        required of the body, for a header may bring it.
        """
        name = _name(descriptor)
        name = name if name.endswith(_ASKED) else f"{name}.{_ASKED}"
        if name not in self.components:
            schema = self.components[name] = self._described({"type": "object"}, descriptor.full_name)
            fields = [field for field in descriptor.fields if field.name not in without]
            required = [field.name for field in fields if is_required(field) and field.name != _ONCE]
            schema["properties"] = {
                field.name: self._given(field) if field.name in required else _or_null(self._given(field))
                for field in fields
            }
            schema["additionalProperties"] = False
            if required:
                schema["required"] = required
        return {"$ref": f"#/components/schemas/{name}"}

    def parameter(self, field: FieldDescriptor) -> Schema:
        """Return the schema of a field as path or query parameter."""
        return self._given(field)

    def _given(self, field: FieldDescriptor) -> Schema:
        schema = self._plural(field, asked=True)
        target = schema["items"] if schema.get("type") == "array" and "items" in schema else schema
        if "$ref" not in target:
            target.update(_constraints(field))
        if field.is_repeated:
            schema.update(_counts(field))
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
            schema = _or_null(schema)
        return self._described(schema, field.full_name)

    def _plural(self, field: FieldDescriptor, *, asked: bool = False) -> Schema:
        if is_map(field):
            return {"type": "object", "additionalProperties": self._value(map_parts(field)[1], asked=asked)}
        value = self._value(field, asked=asked)
        return {"type": "array", "items": value} if field.is_repeated else value

    def _value(self, field: FieldDescriptor, *, asked: bool) -> Schema:
        if field.type == _Field.TYPE_ENUM:
            return self._words(enum_of(field))
        if field.type != _Field.TYPE_MESSAGE:
            return dict(_OCTETS if field.type == _Field.TYPE_BYTES else _SCALARS[field.cpp_type])
        inner = message_of(field)
        known = _WELL_KNOWN.get(inner.full_name)
        if known:
            return dict(known)
        return self.request(inner, ()) if asked else self._reference(inner)

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


def _constraints(field: FieldDescriptor) -> Schema:
    """Return what the rules for one value mean in JSON Schema; those it cannot say are left out."""
    rules, found = rules_of(field), dict[str, Any]()
    if field.is_repeated:
        rules = rules.repeated.items
    if field.type == _Field.TYPE_ENUM:
        found["enum"] = [words_of(enum_of(field))[number] for number in allowed_numbers(field)]
    elif rules.HasField("string"):
        text = rules.string
        found["minLength"] = (text.min_len if field.name != _ONCE else 0) or None
        found["maxLength"] = text.max_len or text.max_bytes or (_UUID_LENGTH if text.uuid else None)
        found["pattern"] = _pattern(text.pattern, empty=rules.ignore == IGNORE_IF_ZERO_VALUE)
        found["format"] = "uuid" if text.uuid else None
        found["enum"] = list(getattr(text, "in")) or None
    elif (number := numeric_rules(field)) is not None:
        found["minimum"] = number.gte if number.HasField("gte") else None
        found["maximum"] = number.lte if number.HasField("lte") else None
        found["enum"] = list(getattr(number, "in")) or None
    example = own_example(field)
    found["examples"] = None if example is None else [example]
    return {name: value for name, value in found.items() if value is not None}


def _pattern(pattern: str, *, empty: bool) -> str | None:
    """Return the pattern, one that allows nothing at all where the rule looks at what is given only."""
    return f"^$|{pattern}" if pattern and empty else pattern or None


def _or_null(schema: Schema) -> Schema:
    """Return the schema with null besides."""
    if "$ref" in schema or "enum" in schema:
        words = schema.pop("description", None)
        found: Schema = {"anyOf": [schema, {"type": "null"}]}
        return {**found, "description": words} if words else found
    return {**schema, "type": [schema["type"], "null"]}


def _counts(field: FieldDescriptor) -> Schema:
    """Return what the rules for a list mean for how long it may be."""
    repeated = rules_of(field).repeated
    found = {"minItems": repeated.min_items, "maxItems": repeated.max_items}
    return {name: value for name, value in found.items() if value}


def _name(descriptor: Descriptor) -> str:
    """Return the name of a component: `composer.Track`, `composer.Track.State`."""
    _, service, _, *rest = descriptor.full_name.split(".")
    return ".".join((service, *rest))
