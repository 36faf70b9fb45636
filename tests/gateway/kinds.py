"""A message type with a field of every kind that proto3 has, and random messages of any type.

The project's own contracts use few kinds; the codec must be right for all of them.
"""

import itertools
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.routes import public_bindings
from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of

_F = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _F.TYPE_DOUBLE,
    "float": _F.TYPE_FLOAT,
    "int32": _F.TYPE_INT32,
    "int64": _F.TYPE_INT64,
    "uint32": _F.TYPE_UINT32,
    "uint64": _F.TYPE_UINT64,
    "sint32": _F.TYPE_SINT32,
    "sint64": _F.TYPE_SINT64,
    "fixed32": _F.TYPE_FIXED32,
    "fixed64": _F.TYPE_FIXED64,
    "sfixed32": _F.TYPE_SFIXED32,
    "sfixed64": _F.TYPE_SFIXED64,
    "bool": _F.TYPE_BOOL,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}
_WELL_KNOWN = (
    "Timestamp",
    "Duration",
    "FieldMask",
    "Struct",
    "Value",
    "ListValue",
    "Int64Value",
    "StringValue",
    "BoolValue",
)


def _describe() -> descriptor_pb2.FileDescriptorProto:
    """Return the file that holds the type `Kinds`."""
    file = descriptor_pb2.FileDescriptorProto(name="tests/kinds.proto", package="tests.v1", syntax="proto3")
    for each in ("timestamp", "duration", "field_mask", "struct", "wrappers"):
        file.dependency.append(f"google/protobuf/{each}.proto")
    kinds = file.message_type.add(name="Kinds")
    numbers = itertools.count(1)

    def add(name: str, kind: int, *, repeated: bool = False, type_name: str = "") -> _F:
        label = _F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL
        field = kinds.field.add(name=name, number=next(numbers), label=label)
        field.type = kind  # type: ignore[assignment]  # the enum's own type is private to the stubs
        if type_name:
            field.type_name = type_name
        return field

    mood = kinds.enum_type.add(name="MoodOfDay")
    for number, name in ((0, "UNSPECIFIED"), (1, "CALM"), (7, "WILD_ONE"), (-3, "DARK")):
        mood.value.add(name=f"MOOD_OF_DAY_{name}", number=number)
    plural = [("one", False), ("many", True)]
    for prefix, repeated in plural:
        for name, kind in _SCALARS.items():
            add(f"{prefix}_{name}", kind, repeated=repeated)
        add(f"{prefix}_enum", _F.TYPE_ENUM, repeated=repeated, type_name=".tests.v1.Kinds.MoodOfDay")
        add(f"{prefix}_message", _F.TYPE_MESSAGE, repeated=repeated, type_name=".tests.v1.Kinds")
        for name in _WELL_KNOWN:
            type_name = f".google.protobuf.{name}"
            add(f"{prefix}_{name.lower()}", _F.TYPE_MESSAGE, repeated=repeated, type_name=type_name)
    kinds.oneof_decl.add(name="choice")
    for name, kind, type_name in (
        ("choice_text", _F.TYPE_STRING, ""),
        ("choice_whole", _F.TYPE_INT32, ""),
        ("choice_message", _F.TYPE_MESSAGE, ".tests.v1.Kinds"),
    ):
        add(name, kind, type_name=type_name).oneof_index = 0
    for index, name in enumerate(("int64", "string", "bool"), start=1):
        kinds.oneof_decl.add(name=f"_maybe_{name}")
        field = add(f"maybe_{name}", _SCALARS[name])
        field.oneof_index, field.proto3_optional = index, True
    for key, value in itertools.product(("string", "int64", "bool"), ("string", "int64", "double", "enum", "message")):
        entry = kinds.nested_type.add(name=f"Map{key.title()}{value.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_SCALARS[key], label=_F.LABEL_OPTIONAL)
        held = entry.field.add(name="value", number=2, label=_F.LABEL_OPTIONAL)
        held.type = {"enum": _F.TYPE_ENUM, "message": _F.TYPE_MESSAGE}.get(value) or _SCALARS[value]
        if value not in _SCALARS:
            held.type_name = {"enum": ".tests.v1.Kinds.MoodOfDay", "message": ".tests.v1.Kinds"}[value]
        add(f"map_{key}_{value}", _F.TYPE_MESSAGE, repeated=True, type_name=f".tests.v1.Kinds.{entry.name}")
    add("class", _F.TYPE_STRING)  # a name that Python keeps for itself
    return file


_POOL = descriptor_pool.Default()
# The file of Any is named so that every file `Kinds` depends on is loaded before it.
_LOADED = (any_pb2, duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
_POOL.AddSerializedFile(_describe().SerializeToString())
Kinds: Any = GetMessageClass(_POOL.FindMessageTypeByName("tests.v1.Kinds"))

WIRE_TYPES: list[type[Message]] = sorted(
    {cls for binding in public_bindings() for cls in (binding.method.request_type, binding.method.response_type)},
    key=lambda cls: str(cls.DESCRIPTOR.full_name),
)

_TEXTS = (
    "",
    "a",
    "词曲：夜",
    'quote " and \\ slash',
    "line\nbreak",
    "::",
    "\U0001f3b5",
    "null",
    "12",
    "2026-01-01T00:00:00Z",
)
_INT_EDGES = (0, 1, -1, 7)


def random_message(cls: type[Message], chance: random.Random, depth: int = 2) -> Message:
    """Return a message of the type with about half of its fields set to values at and off the edges."""
    message = cls()
    for field in _fields_of(message.DESCRIPTOR):
        if chance.random() < 0.5:
            _fill(message, field, chance, depth)
    return message


def _fields_of(descriptor: Any) -> Iterator[FieldDescriptor]:
    yield from descriptor.fields


def _fill(message: Any, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    if is_map(field):
        _fill_map(message, field, chance, depth)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        kind = message_of(field)
        if not depth and not is_well_known(kind):
            return
        for _ in range(chance.randint(0, 3) if field.is_repeated else 1):
            target = getattr(message, field.name)
            place = target.add() if field.is_repeated else target
            place.SetInParent()
            place.CopyFrom(_message_value(kind, chance, depth))
    elif field.is_repeated:
        getattr(message, field.name).extend(_scalar(field, chance) for _ in range(chance.randint(0, 4)))
    else:
        setattr(message, field.name, _scalar(field, chance))


def _fill_map(message: Any, field: FieldDescriptor, chance: random.Random, depth: int) -> None:
    key, value = map_parts(field)
    target = getattr(message, field.name)
    for _ in range(chance.randint(0, 3)):
        name = _scalar(key, chance)
        if value.type != FieldDescriptor.TYPE_MESSAGE:
            target[name] = _scalar(value, chance)
        elif depth:
            target[name].CopyFrom(_message_value(message_of(value), chance, depth))


def _message_value(kind: Descriptor, chance: random.Random, depth: int) -> Message:
    make = _WELL_KNOWN_VALUES.get(kind.full_name)
    if make:
        value: Message = GetMessageClass(kind)()
        make(value, chance)
        return value
    return random_message(GetMessageClass(kind), chance, depth - 1)


def _scalar(field: FieldDescriptor, chance: random.Random) -> Any:  # one answer for each kind
    kind = field.type
    if kind == FieldDescriptor.TYPE_STRING:
        return chance.choice(_TEXTS)
    if kind == FieldDescriptor.TYPE_BYTES:
        return chance.randbytes(chance.randint(0, 7))
    if kind == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    if kind == FieldDescriptor.TYPE_ENUM:
        return chance.choice([value.number for value in enum_of(field).values])
    if kind == FieldDescriptor.TYPE_DOUBLE:
        return chance.choice((0.0, -0.5, 1e300, 5e-324, float("inf"), float("-inf"), chance.uniform(-1e6, 1e6)))
    if kind == FieldDescriptor.TYPE_FLOAT:
        single: float = struct.unpack("<f", struct.pack("<f", chance.uniform(-1e6, 1e6)))[0]
        return chance.choice((0.0, 0.1, 1.0000000331813535e38, 1.401298464324817e-45, float("inf"), single))
    low, high = _RANGES[field.cpp_type]
    edge = chance.choice((*_INT_EDGES, low, high, chance.randint(low, high)))
    return min(max(edge, low), high)


def _fill_time(value: Any, chance: random.Random) -> None:
    value.seconds = chance.choice((0, -1, 1_700_000_000, 253402300799, -62135596800, chance.randint(0, 2**31)))
    value.nanos = chance.choice((0, 1, 1_000, 1_000_000, 999_999_999, 120_000_000))


def _fill_duration(value: Any, chance: random.Random) -> None:
    value.FromNanoseconds(chance.randint(-(10**15), 10**15))


def _fill_mask(value: Any, chance: random.Random) -> None:
    value.paths.extend(chance.sample(["one", "two_words", "three.deep_path"], chance.randint(0, 3)))


def _fill_struct(value: Any, chance: random.Random) -> None:
    value.update({chance.choice(_TEXTS): chance.choice([None, 1.5, "x", True, [1.0], {"k": "v"}])})


def _fill_value(value: Any, chance: random.Random) -> None:
    chance.choice(
        (
            lambda: setattr(value, "number_value", 1.25),
            lambda: setattr(value, "string_value", "v"),
            lambda: setattr(value, "null_value", 0),
            lambda: value.list_value.append(True),  # a JSON value, not a switch
        )
    )()


def _fill_list(value: Any, chance: random.Random) -> None:
    value.extend([1.0, "two", None][: chance.randint(0, 3)])


def _fill_wrapper(value: Any, chance: random.Random) -> None:
    setattr(value, "value", _scalar(value.DESCRIPTOR.fields_by_name["value"], chance))  # noqa: B010  # of any wrapper


_WELL_KNOWN_VALUES: dict[str, Callable[[Any, random.Random], None]] = {
    "google.protobuf.Timestamp": _fill_time,
    "google.protobuf.Duration": _fill_duration,
    "google.protobuf.FieldMask": _fill_mask,
    "google.protobuf.Struct": _fill_struct,
    "google.protobuf.Value": _fill_value,
    "google.protobuf.ListValue": _fill_list,
    "google.protobuf.Int64Value": _fill_wrapper,
    "google.protobuf.StringValue": _fill_wrapper,
    "google.protobuf.BoolValue": _fill_wrapper,
}
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
