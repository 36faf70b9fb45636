"""Path variables and query parameters to fields of a request.

Unlike JSON everything arrives as text, so each kind of field has its own reading; a parameter
the method does not know is refused, because a misspelt filter that is ignored answers another
question than the one that was asked.
"""

import base64
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NoReturn

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.codec_strict import expected
from gateway.shapes import WRAPPERS, enum_of, is_map, message_of, names_of, numbers_of, shape_of
from gateway.spelling import BASE64, FLOAT_MAX, LENGTH_OF_TIME, NUMBER, TIME
from gateway.templates import Variable
from services.kit.errors import FieldViolation, ParamInvalid

# Spellings of paging and resuming that clients of the older interfaces use.
DIALECT: Final[Mapping[str, str]] = {"limit": "page_size", "cursor": "page_token", "after": "after_sequence"}

_Field = FieldDescriptor
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}
_LONGEST_NUMBER: Final = 32
_MOST_PARAMETERS: Final = 100
_LONGEST_NAME: Final = 64


def fill_from_query(message: Message, pairs: Iterable[tuple[str, str]], *, taken: Collection[str]) -> None:
    """Set the fields that the parameters name; `taken` are the fields that path and body have set.

    Raises ParamInvalid for an unknown parameter, a value of the wrong kind, a single field given
    twice and two members of one choice.
    """
    seen: set[str] = set()
    for count, (key, text) in enumerate(pairs):
        if count >= _MOST_PARAMETERS:
            _refuse("query", "too_many", f"has more than {_MOST_PARAMETERS} parameters")
        place, field, path = _find(message, key)
        if field is None or path in taken or path.partition(".")[0] in taken:
            _refuse(key[:_LONGEST_NAME], "unknown", "is not a parameter of this request")
        value = read_text(field, text, path)
        if field.is_repeated:
            getattr(place, field.name).append(value)
            continue
        oneof = field.containing_oneof
        choice = f"{path.rpartition('.')[0]}:{oneof.name}" if oneof is not None else path
        if path in seen or choice in seen:
            _refuse(path, "duplicate", "is given twice")
        seen |= {path, choice}
        _set(place, field, value)


def set_variable(message: Message, variable: Variable, raw: str) -> None:
    """Set the field that a path variable binds; ParamInvalid when the body says something else."""
    place: Any = message
    for name in variable.name.split(".")[:-1]:
        place = getattr(place, name)
    field = variable.field
    try:
        text = variable.decode(raw)
    except ValueError as error:
        raise ParamInvalid.of(variable.name, "is not escaped UTF-8", "escape") from error
    value = read_text(field, text, variable.name)
    present = place.HasField(field.name) if field.has_presence else bool(getattr(place, field.name))
    if present and getattr(place, field.name) != value:
        _refuse(variable.name, "conflict", "differs from the address")
    _set(place, field, value)


def read_text(field: FieldDescriptor, text: str, path: str) -> Any:
    """Return the value the text stands for, or raise ParamInvalid saying what was expected at `path`."""
    if "\0" in text:
        _refuse(path, "no_zero", "must not contain the character U+0000")
    try:
        return _reader(field)(text)
    except (KeyError, ValueError, OverflowError) as error:
        raise ParamInvalid.of(path, expected(field), "type") from error


def _find(message: Message, key: str) -> tuple[Any, FieldDescriptor | None, str]:
    """Return the message that holds the field, the field, and its path in snake_case; no field when unknown."""
    place: Any = message
    names: list[str] = []
    *outer, last = key.split(".")
    for name in outer:
        field = names_of(shape_of(place)).get(name)
        if field is None or field.is_repeated or not _is_plain_message(field):
            return place, None, key
        names.append(field.name)
        place = getattr(place, field.name)
    fields = names_of(shape_of(place))
    field = fields.get(last) or (None if outer else fields.get(DIALECT.get(last, "")))
    if field is None or is_map(field) or _is_plain_message(field) or (_is_message(field) and not _special(field)):
        return place, None, key
    return place, field, ".".join((*names, field.name))


def _is_message(field: FieldDescriptor) -> bool:
    return field.type == _Field.TYPE_MESSAGE


def _special(field: FieldDescriptor) -> bool:
    return message_of(field).full_name in _SPECIAL


def _is_plain_message(field: FieldDescriptor) -> bool:
    return _is_message(field) and message_of(field).file.package != "google.protobuf"


def _set(place: Any, field: FieldDescriptor, value: Any) -> None:
    if _is_message(field):
        getattr(place, field.name).CopyFrom(value)
        return
    setattr(place, field.name, value)


def _reader(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.type == _Field.TYPE_ENUM:
        return _word(enum_of(field))
    if field.type == _Field.TYPE_MESSAGE:
        return _special_reader(message_of(field))
    return _octets if field.type == _Field.TYPE_BYTES else _READERS[field.cpp_type]


def _word(enum: EnumDescriptor) -> Callable[[str], int]:
    """Return the reader of an enum: its word, its full name, or one of its numbers."""
    numbers = numbers_of(enum)
    names = {value.name: value.number for value in enum.values}
    digits = {str(value.number): value.number for value in enum.values}
    return lambda text: {**digits, **names, **numbers}[text]


def _special_reader(descriptor: Descriptor) -> Callable[[str], Any]:
    """Return the reader of a type that protobuf's JSON writes as one plain value."""
    cls: Any = GetMessageClass(descriptor)
    pattern = TIME if descriptor.full_name == "google.protobuf.Timestamp" else LENGTH_OF_TIME
    if descriptor.full_name in WRAPPERS:
        inner = _reader(descriptor.fields_by_name["value"])
        return lambda text: cls(value=inner(text))
    if descriptor.full_name == _MASK:
        return lambda text: cls(paths=[_mask_path(path) for path in text.split(",") if text])

    def read(text: str) -> Any:
        if not pattern.fullmatch(text):
            raise ValueError(text)
        value: Any = cls()
        value.FromJsonString(text)
        return value

    return read


def _mask_path(path: str) -> str:
    """Return a path of a FieldMask in snake_case, as which camelCase is read too."""
    if not _MASK_PATH.fullmatch(path):
        raise ValueError(path)
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), path)


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(text) > _LONGEST_NUMBER:
            raise ValueError(text)
        value = int(text)
        if not low <= value <= high:
            raise OverflowError(text)
        return value

    return read


def _number(most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if len(text) > _LONGEST_NUMBER or not NUMBER.fullmatch(text):
            raise ValueError(text)
        value = float(text)
        if not -most <= value <= most:
            raise OverflowError(text)
        return value

    return read


def _octets(text: str) -> bytes:
    if not BASE64.fullmatch(text):
        raise ValueError(text)
    return base64.urlsafe_b64decode(text.translate({ord("+"): "-", ord("/"): "_"}) + "=" * (-len(text) % 4))


def _text(text: str) -> str:
    text.encode()  # a lone surrogate from a bad percent sequence is no text
    return text


_READERS: Final[Mapping[int, Callable[[str], Any]]] = {
    _Field.CPPTYPE_STRING: _text,
    _Field.CPPTYPE_BOOL: lambda text: _TRUTH[text],
    _Field.CPPTYPE_INT32: _whole(-(2**31), 2**31 - 1),
    _Field.CPPTYPE_INT64: _whole(-(2**63), 2**63 - 1),
    _Field.CPPTYPE_UINT32: _whole(0, 2**32 - 1),
    _Field.CPPTYPE_UINT64: _whole(0, 2**64 - 1),
    _Field.CPPTYPE_FLOAT: _number(FLOAT_MAX),
    _Field.CPPTYPE_DOUBLE: _number(sys.float_info.max),
}
_MASK: Final = "google.protobuf.FieldMask"
_MASK_PATH = re.compile(r"[a-z][A-Za-z0-9_]*(\.[a-z][A-Za-z0-9_]*)*", re.ASCII)
_SPECIAL: Final = WRAPPERS | {"google.protobuf.Timestamp", "google.protobuf.Duration", _MASK}


def _refuse(field: str, rule: str, description: str) -> NoReturn:
    raise ParamInvalid.all_of((FieldViolation(field, rule, description),))
