"""Message to JSON values: one Python function per message type, made from its descriptor.

The function is generated source, a single dictionary display, because attribute access on a
message costs some 60 ns and generic reflection some 3 microseconds a message
(decision 27). Names and types in the source come from our own
compiled contracts and never from input.
"""

import base64
import keyword
import struct
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.shapes import enum_of, is_map, is_well_known, map_parts, message_of, words_of

Encode = Callable[[Message], Any]

_INFINITE: Final = float("inf")
_PER_MILLISECOND: Final = 1_000_000
_PER_MICROSECOND: Final = 1_000
_DAY_S: Final = 86_400
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_TWO: Final = tuple(f"{number:02d}" for number in range(60))
_FLOAT_DIGITS: Final = range(6, 10)
_Field = FieldDescriptor


class _Words(dict[int, str]):
    """The words of an enum; a number that is newer than this process stays a number."""

    def __missing__(self, number: int) -> int:
        return number


class Encoders:
    """Compiles the function of a message type at its first use and keeps it."""

    def __init__(self) -> None:
        """Start with the helpers that generated source may name."""
        self._space: dict[str, Any] = {
            "base64_text": _base64_text,
            "instant": instant,
            "canonical": canonical,
            "number": _number,
            "single": _single,
            "INFINITE": _INFINITE,
            "KEY": {True: "true", False: "false"},
        }
        self._compiled: dict[str, Encode] = {}

    def of(self, descriptor: Descriptor) -> Encode:
        """Return the function that turns a message of this type into JSON values."""
        done = self._compiled.get(descriptor.full_name)
        if done is None:
            done = self._compiled[descriptor.full_name] = self._space[self._message(descriptor)]
        return done

    def _define(self, descriptor: Descriptor) -> None:
        """Add the function to the shared name space, and those of the messages inside."""
        name = _name_of(descriptor)
        if name in self._space:
            return
        self._space[name] = None  # holds the place, so that a recursive type ends here
        entries = [f"        {self._item(field)}," for field in descriptor.fields]
        source = "\n".join([f"def {name}(m):", "    return {", *entries, "    }"])
        exec(compile(source, f"<encoder of {descriptor.full_name}>", "exec"), self._space)  # noqa: S102  # made from descriptors

    def _item(self, field: FieldDescriptor) -> str:
        """Return the source of one item of the dictionary display."""
        item = f"{field.name!r}: {self._entry(field)}"
        if field.has_presence and field.message_type and field.message_type.full_name == "google.protobuf.Value":
            # Here null is a value like any other, so only leaving the key out says that nothing is set.
            return f"**({{{item}}} if m.HasField({field.name!r}) else {{}})"
        return item

    def _entry(self, field: FieldDescriptor) -> str:
        """Return the source of one field's value."""
        access = f"m.{field.name}"
        if keyword.iskeyword(field.name):
            access = f"getattr(m, {field.name!r})"
        if is_map(field):
            key, value = map_parts(field)
            rendered = self._value(value, "v")
            key_text = {_Field.CPPTYPE_STRING: "k", _Field.CPPTYPE_BOOL: "KEY[k]"}.get(key.cpp_type, "str(k)")
            plain = rendered == "v" and key_text == "k"
            return f"dict({access})" if plain else f"{{{key_text}: {rendered} for k, v in {access}.items()}}"
        if field.is_repeated:
            rendered = self._value(field, "v")
            if rendered == "v":
                return f"{access}[:]"
            if rendered.endswith("(v)"):
                return f"[*map({rendered.removesuffix('(v)')}, {access})]"
            return f"[{rendered} for v in {access}]"
        rendered = self._value(field, access)
        return f"{rendered} if m.HasField({field.name!r}) else None" if field.has_presence else rendered

    def _value(self, field: FieldDescriptor, source: str) -> str:
        """Return the source that turns one value, itself given as source, into JSON."""
        if field.type == _Field.TYPE_MESSAGE:
            return f"{self._message(message_of(field))}({source})"
        if field.type == _Field.TYPE_ENUM:
            return f"{self._words(enum_of(field))}[{source}]"
        if field.type == _Field.TYPE_BYTES:
            return f"base64_text({source})"
        if field.type == _Field.TYPE_FLOAT:
            return f"single({source})"
        if field.type == _Field.TYPE_DOUBLE:
            return f"(n if -INFINITE < (n := {source}) < INFINITE else number(n))"
        return source

    def _message(self, descriptor: Descriptor) -> str:
        if descriptor.full_name == "google.protobuf.Timestamp":
            return "instant"
        if is_well_known(descriptor):
            return "canonical"
        self._define(descriptor)
        return _name_of(descriptor)

    def _words(self, enum: EnumDescriptor) -> str:
        name = "words_" + enum.full_name.replace(".", "_")
        self._space[name] = _Words(words_of(enum))
        return name


def canonical(message: Message) -> Any:
    """Return the JSON values of a well-known type as `json_format` writes them."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def instant(time: Timestamp) -> str:
    """Return the time as RFC 3339 with Z and 0, 3, 6 or 9 digits; ValueError outside the years 1 to 9999."""
    days, rest = divmod(time.seconds, _DAY_S)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    text = f"{_date(days)}T{_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}"
    nanos = time.nanos
    if not nanos:
        return f"{text}Z"
    if not nanos % _PER_MILLISECOND:
        return f"{text}.{nanos // _PER_MILLISECOND:03d}Z"
    if not nanos % _PER_MICROSECOND:
        return f"{text}.{nanos // _PER_MICROSECOND:06d}Z"
    return f"{text}.{nanos:09d}Z"


# An answer tells of few days, and of each many times.
@lru_cache(maxsize=1024)
def _date(days: int) -> str:
    """Return the day so many days after the first of 1970; ValueError outside the years 1 to 9999."""
    try:
        return date.fromordinal(_FIRST_DAY + days).isoformat()
    except OverflowError as error:
        raise ValueError("the day is out of range") from error


def _name_of(descriptor: Descriptor) -> str:
    return "encode_" + descriptor.full_name.replace(".", "_")


def _base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _number(value: float) -> float | str:
    """Return the number, or the canonical word for what JSON has no number for."""
    if value != value:  # noqa: PLR0124  # the one value that differs from itself
        return "NaN"
    if value in {_INFINITE, -_INFINITE}:
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _single(value: float) -> float | str:
    """Return a 32-bit float with the fewest digits that name it, as `json_format` does."""
    if not -_INFINITE < value < _INFINITE:
        return _number(value)
    packed = struct.pack("<f", value)
    for digits in _FLOAT_DIGITS:
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == packed:
                return short
        except OverflowError:  # rounded up past the largest 32-bit float
            continue
    return value
