"""How values are spelled in text, as the proto3 JSON mapping has it.

`json_format` reads more than the mapping allows, because Python's own conversions do: spaces around numbers, `1_0`,
digits of other alphabets, `infinity`, a day of one digit. Whoever sends that means something else, so it is refused.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from gateway.shapes import message_of

NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
LENGTH_OF_TIME = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?s")
BASE64 = re.compile(
    r"(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2}(?:==)?|[A-Za-z0-9+/_-]{3}=?)?",
)
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
FLOAT_MAX: Final = float.fromhex("0x1.fffffep+127")

_Field = FieldDescriptor
_NO_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_LARGEST: Final[Mapping[int, float]] = {_Field.CPPTYPE_FLOAT: FLOAT_MAX, _Field.CPPTYPE_DOUBLE: sys.float_info.max}
_WHOLE: Final = frozenset(
    {_Field.CPPTYPE_INT32, _Field.CPPTYPE_INT64, _Field.CPPTYPE_UINT32, _Field.CPPTYPE_UINT64},
)
_MESSAGES: Final[Mapping[str, re.Pattern[str]]] = {
    "google.protobuf.Timestamp": TIME,
    "google.protobuf.Duration": LENGTH_OF_TIME,
}


def well_spelled(field: FieldDescriptor, value: Any) -> bool:
    """Return whether one JSON value is spelled as the field's are; of ranges only those of floats are looked at."""
    if field.type == _Field.TYPE_MESSAGE:
        pattern = _MESSAGES.get(message_of(field).full_name)
        return pattern is None or not isinstance(value, str) or pattern.fullmatch(value) is not None
    if field.type == _Field.TYPE_BYTES:
        return not isinstance(value, str) or BASE64.fullmatch(value) is not None
    if field.cpp_type in _WHOLE:
        return not isinstance(value, str) or NUMBER.fullmatch(value) is not None
    if field.cpp_type not in _LARGEST:
        return True
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return abs(float(value)) <= _LARGEST[field.cpp_type]
    return value in _NO_NUMBERS if isinstance(value, str) else not isinstance(value, bool)


def well_spelled_key(field: FieldDescriptor, key: str) -> bool:
    """Return whether a key of a map is spelled as its type is."""
    return field.cpp_type not in _WHOLE or WHOLE.fullmatch(key) is not None
