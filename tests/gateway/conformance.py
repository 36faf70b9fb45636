"""The JSON cases of protobuf's own conformance suite, by their names there, on messages of ours.

The suite is a C++ program that no wheel carries; names, inputs and verdicts are facts of
github.com/protocolbuffers/protobuf, conformance/binary_json_conformance_suite.cc, one a line in conformance.jsonl,
with fields spelled as `Kinds` and `Official` spell theirs. `DIFFERENT` names every case that this gateway answers
otherwise, with the reason.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from tests.gateway.kinds import Kinds

_F = descriptor_pb2.FieldDescriptorProto
_NAMES = (
    "fieldname1 field_name2 _field_name3 field__name4_ field0name5 field_0_name6 fieldName7 FieldName8 field_Name9 "
    "Field_Name10 FIELD_NAME11 FIELD_name12 __field_name13 __Field_name14 field__name15 field__Name16 field_name17__ "
    "Field_name18__"
)
_PLAIN = {
    "bool": _F.TYPE_BOOL,
    "int32": _F.TYPE_INT32,
    "uint32": _F.TYPE_UINT32,
    "int64": _F.TYPE_INT64,
    "uint64": _F.TYPE_UINT64,
    "float": _F.TYPE_FLOAT,
    "double": _F.TYPE_DOUBLE,
    "string": _F.TYPE_STRING,
    "bytes": _F.TYPE_BYTES,
}

_CASES = Path(__file__).with_name("conformance.jsonl")


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tests/official.proto", package="tests.v1", syntax="proto3")
    file.dependency.extend(["tests/kinds.proto", "google/protobuf/any.proto", "google/protobuf/wrappers.proto"])
    official, numbers = file.message_type.add(name="Official"), itertools.count(1)

    def add(name: str, kind: int, *, many: bool = False, type_name: str = "") -> _F:
        field = official.field.add(
            name=name, number=next(numbers), label=_F.LABEL_REPEATED if many else _F.LABEL_OPTIONAL
        )
        field.type = kind  # type: ignore[assignment]  # the enum's own type is private to the stubs
        if type_name:
            field.type_name = type_name
        return field

    for name in _NAMES.split():
        add(name, _F.TYPE_INT32)
    aliased = file.enum_type.add(name="Aliased")
    aliased.options.allow_alias = True
    for name, number in (("ALIAS_FOO", 0), ("ALIAS_BAR", 1), ("ALIAS_BAZ", 2), ("QUX", 2), ("qux", 2), ("bAz", 2)):
        aliased.value.add(name=name, number=number)
    add("aliased", _F.TYPE_ENUM, type_name=".tests.v1.Aliased")
    add("any", _F.TYPE_MESSAGE, type_name=".google.protobuf.Any")
    official.oneof_decl.add(name="pick")
    for name, kind in _PLAIN.items():
        add(f"pick_{name}", kind).oneof_index = 0
        for many in (False, True):
            type_name = f".google.protobuf.{name.title().replace('Uint', 'UInt')}Value"
            add(f"{'wraps' if many else 'wrap'}_{name}", _F.TYPE_MESSAGE, many=many, type_name=type_name)
    add("pick_message", _F.TYPE_MESSAGE, type_name=".tests.v1.Kinds").oneof_index = 0
    add("pick_enum", _F.TYPE_ENUM, type_name=".tests.v1.Aliased").oneof_index = 0
    for name in ("int32", "uint32", "int64", "uint64", "bool"):
        entry = official.nested_type.add(name=f"Map{name.title()}Entry")
        entry.options.map_entry = True
        for place, part in enumerate(("key", "value"), start=1):
            entry.field.add(name=part, number=place, type=_PLAIN[name], label=_F.LABEL_OPTIONAL)
        add(f"map_{name}", _F.TYPE_MESSAGE, many=True, type_name=f".tests.v1.Official.{entry.name}")
    return file


_POOL = descriptor_pool.Default()
assert any_pb2  # its file is loaded before the one that depends on it
_POOL.AddSerializedFile(_describe().SerializeToString())
Official: Any = GetMessageClass(_POOL.FindMessageTypeByName("tests.v1.Official"))


@dataclass(frozen=True)
class Case:
    """One case: JSON that is read as a message (in text format), or refused; or what of it is printed."""

    name: str
    type: Any
    json: str = ""
    text: str | None = None  # what it is read as; None when it must be refused
    printed: dict[str, Any] | None = None  # keys and values of the message written again
    unwritable: str | None = None  # a message in text format that has no JSON and must not be given one


DIFFERENT = {
    "FieldNameInLowerCamelCase.Validator": "decision 6: snake_case out",
    "FieldNameWithNumbers.Validator": "decision 6: snake_case out",
    "FieldNameWithMixedCases.Validator": "decision 6: snake_case out",
    "FieldNameWithDoubleUnderscores.Validator": "decision 6: snake_case out",
    "Int64FieldBeString.Validator": "decision 6: wide numbers are numbers",
    "Uint64FieldBeString.Validator": "decision 6: wide numbers are numbers",
    **{
        f"IgnoreUnknownJson{kind}": "an unknown key is a misspelt one, and is refused by its name"
        for kind in ("Number", "String", "True", "False", "Null", "Object")
    },
}


def cases() -> list[Case]:
    """Return every case."""
    rows = [orjson.loads(line) for line in _CASES.read_text().splitlines()]
    types = {"Kinds": Kinds, "Official": Official}
    return [Case(**{**row, "type": types[row["type"]]}) for row in rows]
