"""JSON values to message: one reader per message type, made from its descriptor.

The readers take only the plainest spelling of each value and refuse everything else by raising,
whereupon `codec_strict` asks `json_format`, which decides (decision 27). So a reader may refuse
too much; it must never accept what `json_format` would not, nor read it differently.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of, numbers_of
from gateway.spelling import FLOAT_MAX

Convert = Callable[[Any], Any]
# The field's name, the type whose values are taken as they are (or None), and what reads any other value.
Reading = tuple[str, type[Any] | None, Convert]

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
        self._fields: dict[str, Convert] = {}

    def of(self, descriptor: Descriptor) -> Callable[[Any], Message]:
        """Return the function that makes a message of this type, raising one of UNUSUAL otherwise."""
        done = self._compiled.get(descriptor.full_name)
        if done is None:
            done = self._compiled[descriptor.full_name] = _making(GetMessageClass(descriptor), self._inside(descriptor))
        return done

    def _inside(self, descriptor: Descriptor) -> Convert:
        """Return the function that makes the fields of a message of this type.

        The fields of a message inside another one stay a dictionary, of which the outermost class makes everything at
        once: a message made by itself would be copied into the one around it.
        """
        done = self._fields.get(descriptor.full_name)
        if done is None:
            table: dict[str, Reading] = {}
            choices = [[field.name for field in oneof.fields] for oneof in descriptor.oneofs if len(oneof.fields) > 1]
            done = _reader(table, choices)
            self._fields[descriptor.full_name] = done  # before its fields, which may hold the type itself
            for field in descriptor.fields:
                convert = self._field(field)
                if convert is not None:
                    as_it_is = None if field.is_repeated else _PLAIN.get(convert)
                    table[field.name] = table[field.json_name] = (field.name, as_it_is, convert)
        return done

    def _field(self, field: FieldDescriptor) -> Convert | None:
        """Return how a field's value is read, or None when only `json_format` knows."""
        if is_map(field):
            key, value = map_parts(field)
            inner = self._value(value)
            if value.type == _Field.TYPE_MESSAGE and inner is not None and inner is not _time:
                inner = self.of(message_of(value))  # a map takes messages only
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
        return self._inside(message_of(field))


def _making(cls: type[Message], read: Convert) -> Convert:
    def make(values: Any) -> Message:
        return cls(**read(values))

    return make


def _reader(table: Mapping[str, Reading], choices: list[list[str]]) -> Convert:
    def read(values: Any) -> dict[str, Any]:
        if type(values) is not dict:
            raise Refused
        fields: dict[str, Any] = {}
        for key, value in values.items():
            name, as_it_is, convert = table[key]
            if type(value) is as_it_is:
                fields[name] = value
            else:
                fields[name] = None if value is None else convert(value)
        if len(fields) != len(values):  # both spellings of one field
            raise Refused
        for names in choices:
            if sum(fields.get(name) is not None for name in names) > 1:
                raise Refused
        return fields

    return read


def _list_of(convert: Convert) -> Convert:
    as_it_is = {_PLAIN[convert]} if convert in _PLAIN else None

    def read(values: Any) -> list[Any]:
        if type(values) is not list:
            raise Refused
        if as_it_is is not None and {*map(type, values)} <= as_it_is:
            return values
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
    if type(value) is not str:
        raise Refused
    found = _INSTANT.fullmatch(value)
    if found is None:
        raise Refused
    seconds = int((datetime.fromisoformat(found[1]) - _EPOCH).total_seconds())
    return Timestamp(seconds=seconds, nanos=int((found[2] or "").ljust(9, "0")))


_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # both it and what is subtracted from it are UTC
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z", re.ASCII
)
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

# What each of these gives back as it is. The message itself checks the range of numbers.
_PLAIN: Final[Mapping[Convert, type[Any]]] = {_text: str, _whole: int, _wide: int, _truth: bool}
