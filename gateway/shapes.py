"""Facts about messages, fields and enums that every translator of the gateway asks for.

An enum is spelled in JSON as a short lower-case word, a pure function of the enum: Buf's lint
demands the enum's name as prefix of every value, so `STATE_COMPLETED` of `State` is `completed`
and `JOB_STATE_QUEUED` of `JobState` is `queued`. No table is kept by hand.
"""

import re
from functools import cache
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

# The well-known types that hold one plain value, which JSON writes without them.
WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def shape_of(message: Message | type[Message]) -> Descriptor:
    """Return the descriptor of a message or its class."""
    return cast("Descriptor", message.DESCRIPTOR)


def message_of(field: FieldDescriptor) -> Descriptor:
    """Return the type of a message field."""
    return cast("Descriptor", field.message_type)


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """Return the type of an enum field."""
    return cast("EnumDescriptor", field.enum_type)


def is_map(field: FieldDescriptor) -> bool:
    """Return whether the field is a map."""
    return field.message_type is not None and bool(cast("Any", field.message_type.GetOptions()).map_entry)


def map_parts(field: FieldDescriptor) -> tuple[FieldDescriptor, FieldDescriptor]:
    """Return the key and the value of a map field."""
    fields = message_of(field).fields_by_name
    return fields["key"], fields["value"]


def is_well_known(descriptor: Descriptor) -> bool:
    """Return whether the type has a JSON form of its own in the proto3 JSON mapping."""
    return bool(descriptor.file.package == "google.protobuf")


@cache
def names_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    """Return the fields of a type under both of their spellings, snake_case and camelCase."""
    return {name: field for field in descriptor.fields for name in (field.name, field.json_name)}


@cache
def words_of(enum: EnumDescriptor) -> dict[int, str]:
    """Return the word of each number; the first of two names for one number wins.

    Raises ValueError when two values would share a word.
    """
    prefix = _WORD_START.sub("_", enum.name).upper() + "_"
    words: dict[int, str] = {}
    for value in enum.values:
        words.setdefault(value.number, value.name.removeprefix(prefix).lower())
    if len(set(words.values())) != len(words):
        msg = f"two values of {enum.full_name} are spelled alike in JSON"
        raise ValueError(msg)
    return words


@cache
def numbers_of(enum: EnumDescriptor) -> dict[str, int]:
    """Return the number of each word, the other way round."""
    return {word: number for number, word in words_of(enum).items()}
