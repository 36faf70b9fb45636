"""JSON values to message: one reader per message type, made from its descriptor.

The readers take only the plainest spelling of each value and refuse everything else by raising,
whereupon `codec_strict` asks `json_format`, which decides (decision 27). So a reader may refuse
too much; it must never accept what `json_format` would not, nor read it differently.
"""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of, numbers_of
from gateway.spelling import FLOAT_MAX, TIME

Convert = Callable[[Any], Any]

_Field = FieldDescriptor
_INFINITE: Final = float("inf")


class Refused(Exception):
    """The value is not in the plainest spelling; it may still be right."""


# What a reader raises on anything unusual: unknown keys, wrong types, numbers out of range.
UNUSUAL: Final = (Refused, KeyError, TypeError, ValueError, OverflowError)


class Decoders:
    """Compiles the reader of a message type at its first use and keeps it."""

    def __init__(self) -> None:
        """Start empty."""
        self._compiled: dict[str, Convert] = {}

    def of(self, descriptor: Descriptor) -> Callable[[Any], Message]:
        """Return the function that makes a message of this type, raising one of UNUSUAL otherwise."""
        done = self._compiled.get(descriptor.full_name)
        if done is None:
            table: dict[str, tuple[str, Convert]] = {}
            choices = [[field.name for field in oneof.fields] for oneof in descriptor.oneofs if len(oneof.fields) > 1]
            done = _reader(GetMessageClass(descriptor), table, choices)
            self._compiled[descriptor.full_name] = done  # before its fields, which may hold the type itself
            for field in descriptor.fields:
                convert = self._field(field)
                if convert is not None:
                    table[field.name] = table[field.json_name] = (field.name, convert)
        return done

    def _field(self, field: FieldDescriptor) -> Convert | None:
        """Return how a field's value is read, or None when only `json_format` knows."""
        if is_map(field):
            key, value = map_parts(field)
            inner = self._value(value)
            return _map_of(inner) if inner is not None and key.type == _Field.TYPE_STRING else None
        inner = self._value(field)
        return _list_of(inner) if inner is not None and field.is_repeated else inner

    def _value(self, field: FieldDescriptor) -> Convert | None:
        if field.type == _Field.TYPE_ENUM:
            return _word_of(enum_of(field))
        if field.type != _Field.TYPE_MESSAGE:
            return _SCALARS.get(field.type)
        if message_of(field).full_name == "google.protobuf.Timestamp":
            return _time
        if is_well_known(message_of(field)):
            return None
        return self.of(message_of(field))


def _reader(cls: type[Message], table: Mapping[str, tuple[str, Convert]], choices: list[list[str]]) -> Convert:
    def read(values: Any) -> Message:
        if type(values) is not dict:
            raise Refused
        fields: dict[str, Any] = {}
        for key, value in values.items():
            name, convert = table[key]
            if name in fields:  # both spellings of one field
                raise Refused
            fields[name] = None if value is None else convert(value)
        for names in choices:
            if sum(fields.get(name) is not None for name in names) > 1:
                raise Refused
        return cls(**fields)

    return read


def _list_of(convert: Convert) -> Convert:
    def read(values: Any) -> list[Any]:
        if type(values) is not list:
            raise Refused
        return [convert(value) for value in values]

    return read


def _map_of(convert: Convert) -> Convert:
    def read(values: Any) -> dict[str, Any]:
        if type(values) is not dict:
            raise Refused
        return {key: convert(value) for key, value in values.items()}

    return read


def _word_of(enum: EnumDescriptor) -> Convert:
    numbers = numbers_of(enum)

    def read(value: Any) -> int:
        return numbers[value]

    return read


def _text(value: Any) -> str:
    if type(value) is not str:
        raise Refused
    return value


def _whole(value: Any) -> int:
    # Exactly int: True is an int too, and 1.0 is for json_format to judge. The message checks the range.
    if type(value) is not int:
        raise Refused
    return value


def _wide(value: Any) -> int:
    # Clients that keep to protobuf's own JSON send 64-bit numbers as text; the message checks the range.
    if type(value) is str and _DECIMAL.fullmatch(value):
        return int(value)
    return _whole(value)


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise Refused
    return value


def _double(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise Refused
    number = float(value)
    if not -_INFINITE < number < _INFINITE:
        raise Refused
    return number


def _single(value: Any) -> float:
    number = _double(value)
    if not -FLOAT_MAX <= number <= FLOAT_MAX:
        raise Refused
    return number


def _octets(value: Any) -> bytes:
    # The decoder would take any number of signs of padding.
    if type(value) is not str or len(value) % 4 or value.endswith("==="):
        raise Refused
    return base64.b64decode(value, validate=True)


def _time(value: Any) -> Timestamp:
    if type(value) is not str or not TIME.fullmatch(value):
        raise Refused
    time = Timestamp()
    time.FromJsonString(value)
    return time


_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)

_SCALARS: Final[Mapping[int, Convert]] = {
    _Field.TYPE_STRING: _text,
    _Field.TYPE_BYTES: _octets,
    _Field.TYPE_BOOL: _truth,
    _Field.TYPE_DOUBLE: _double,
    _Field.TYPE_FLOAT: _single,
    **dict.fromkeys(
        (
            _Field.TYPE_INT32,
            _Field.TYPE_UINT32,
            _Field.TYPE_SINT32,
            _Field.TYPE_FIXED32,
            _Field.TYPE_SFIXED32,
        ),
        _whole,
    ),
    **dict.fromkeys(
        (
            _Field.TYPE_INT64,
            _Field.TYPE_UINT64,
            _Field.TYPE_SINT64,
            _Field.TYPE_FIXED64,
            _Field.TYPE_SFIXED64,
        ),
        _wide,
    ),
}
