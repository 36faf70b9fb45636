"""The careful way from JSON to a message: `json_format` decides, and the refusal names the field.

Only what the compiled readers refuse comes here, so this may be slow; it may not be lenient.
`json_format` takes a few things a client cannot mean (true or 1.5 for an enum, a list for a
message, numbers with spaces, one field in two spellings), and those are refused here.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.shapes import (
    WRAPPERS,
    enum_of,
    is_map,
    is_well_known,
    map_parts,
    message_of,
    names_of,
    numbers_of,
    shape_of,
    words_of,
)
from gateway.spelling import well_spelled, well_spelled_key
from services.kit.errors import FieldViolation, ParamInvalid

M = TypeVar("M", bound=Message)

MOST_DEPTH: Final = 32
MOST_VALUES: Final = 20_000

_Field = FieldDescriptor
_CONTAINERS = (dict, list)
_KINDS: Final = frozenset(_CONTAINERS)  # as a parser makes them: dict and list themselves
_LONGEST_NAME = 64


def measure(tree: Any) -> int:
    """Return how many keys the values hold; ParamInvalid when they nest too deep or are too many."""
    if type(tree) is dict and _KINDS.isdisjoint(map(type, tree.values())):
        return len(tree)  # the shape of nearly every request
    keys, values = 0, 0
    level = [tree] if isinstance(tree, _CONTAINERS) else []
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for each in level:
            values += len(each)
            inner: Any = each
            if type(each) is dict:
                keys += len(each)
                inner = each.values()
            if not _KINDS.isdisjoint(map(type, inner)):
                below += [value for value in inner if type(value) in _KINDS]
        if values > MOST_VALUES:
            _refuse("body", "too_many", f"holds more than {MOST_VALUES} values")
        if not below:
            break
        level = below
    else:
        _refuse("body", "too_deep", f"is nested deeper than {MOST_DEPTH} levels")
    return keys


def parse_exact(raw: bytes) -> Any:
    """Return the JSON values with integers of any size; ParamInvalid for a key that comes twice in one object."""
    try:
        return json.loads(raw, object_pairs_hook=_object)
    except ValueError as error:  # also an integer with more digits than Python converts
        raise ParamInvalid.of("body", "is not valid JSON", "json") from error


def refuse_zero_characters(tree: Any, path: str = "") -> None:
    """Raise ParamInvalid when a text holds U+0000, which PostgreSQL cannot store."""
    if isinstance(tree, str) and "\0" in tree:
        _refuse(path or "body", "no_zero", "must not contain the character U+0000")
    if isinstance(tree, dict):
        for key, value in tree.items():
            refuse_zero_characters(key, path)
            refuse_zero_characters(value, f"{path}.{key}" if path else key)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            refuse_zero_characters(value, f"{path}[{index}]")


def read_strictly(tree: Any, into: type[M]) -> M:
    """Return the message `json_format` reads, or raise ParamInvalid naming the first field it refuses."""
    spelled = _canonical_message(tree, shape_of(into), "")
    message = into()
    if _accepts(spelled, message):
        return message
    found = next(_culprits(spelled, shape_of(into), ""), None)
    raise ParamInvalid.all_of((found or FieldViolation("body", "conflict", "names one thing twice"),))


def expected(field: FieldDescriptor) -> str:
    """Return in words what one value of the field must be."""
    if field.type == _Field.TYPE_ENUM:
        known = [word for number, word in words_of(enum_of(field)).items() if number]
        return f"must be one of {', '.join(known)}"
    if field.type == _Field.TYPE_MESSAGE:
        return _SPECIAL.get(message_of(field).full_name, "must be an object")
    return _WORDS[field.cpp_type] if field.type != _Field.TYPE_BYTES else "must be base64 text"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(twice[:_LONGEST_NAME], "duplicate", "comes twice in one object")
    return made


def _accepts(tree: Any, message: Message) -> bool:
    """Return whether `json_format` reads the values into the message."""
    try:
        json_format.ParseDict(tree, message, max_recursion_depth=MOST_DEPTH + 2)
    except Exception:  # noqa: BLE001  # it raises half a dozen kinds, each of them about the input
        return False
    return True


def _canonical_message(tree: Any, descriptor: Descriptor, path: str) -> Any:
    """Return the values with the enum names that `json_format` knows; anything foreign stays as it is."""
    if is_well_known(descriptor):
        return tree
    if not isinstance(tree, dict):
        _refuse(path or "body", "type", "must be an object")
    fields = names_of(descriptor)
    spelled: dict[str, Any] = {}
    seen: set[str] = set()
    for key, value in tree.items():
        field = fields.get(key)
        here = f"{path}.{key}" if path else key
        if field is not None and field.name in seen:
            _refuse(f"{path}.{field.name}" if path else field.name, "duplicate", "is given twice in two spellings")
        seen.add(field.name if field else key)
        if value is None and field is not None and field.is_repeated:
            continue  # null is no list, and none is what it means; json_format stumbles over a list of Values
        if field is None or value is None:
            spelled[key] = value
        elif is_map(field) and isinstance(value, dict):
            outer, inner = map_parts(field)
            if not all(well_spelled_key(outer, name) for name in value):
                _refuse(here, "type", "must be an object whose keys are of one kind")
            spelled[key] = {name: _canonical(each, inner, f"{here}.{name}") for name, each in value.items()}
        elif field.is_repeated and isinstance(value, list):
            spelled[key] = [_canonical(each, field, f"{here}[{index}]") for index, each in enumerate(value)]
        else:
            spelled[key] = _canonical(value, field, here)
    return spelled


def _canonical(value: Any, field: FieldDescriptor, path: str) -> Any:
    if not well_spelled(field, value):
        _refuse(path, "type", expected(field))
    if field.type == _Field.TYPE_MESSAGE:
        if message_of(field).full_name in WRAPPERS and value is not None:
            return _canonical(value, message_of(field).fields_by_name["value"], path)
        return _canonical_message(value, message_of(field), path)
    if field.type == _Field.TYPE_ENUM and enum_of(field).full_name != "google.protobuf.NullValue":
        if type(value) not in {str, int}:
            _refuse(path, "type", expected(field))
        return numbers_of(enum_of(field)).get(value, value)
    return value


def _culprits(tree: Any, descriptor: Descriptor, path: str) -> Iterator[FieldViolation]:
    """Yield the fields that `json_format` refuses on their own, the innermost of each."""
    if not isinstance(tree, dict):
        yield FieldViolation(path or "body", "type", "must be an object")
        return
    fields, cls = names_of(descriptor), GetMessageClass(descriptor)
    for key, value in tree.items():
        field = fields.get(key)
        name = field.name if field else key[:_LONGEST_NAME]
        here = f"{path}.{name}" if path else name
        if field is None:
            yield FieldViolation(here, "unknown", "is not a field of this request")
        elif not _accepts({key: value}, cls()):
            yield from _inside(descriptor, field, key, value, path=here)


def _inside(owner: Descriptor, field: FieldDescriptor, key: str, value: Any, *, path: str) -> Iterator[FieldViolation]:
    """Yield what is wrong within the value of one refused field."""
    cls = GetMessageClass(owner)
    plain_message = field.type == _Field.TYPE_MESSAGE and not is_well_known(message_of(field))
    if is_map(field):
        yield FieldViolation(path, "type", "must be an object whose values are of one kind")
    elif field.is_repeated and not isinstance(value, list):
        yield FieldViolation(path, "type", "must be a list")
    elif field.is_repeated:
        for index, each in enumerate(value):
            if not _accepts({key: [each]}, cls()):
                here = f"{path}[{index}]"
                if plain_message:
                    yield from _culprits(each, message_of(field), here)
                yield FieldViolation(here, "type", expected(field))
    elif plain_message:
        yield from _culprits(value, message_of(field), path)
    else:
        yield FieldViolation(path, "type", expected(field))


def _refuse(field: str, rule: str, description: str) -> NoReturn:
    raise ParamInvalid.all_of((FieldViolation(field, rule, description),))


_WORDS: Final = {
    _Field.CPPTYPE_STRING: "must be text",
    _Field.CPPTYPE_BOOL: "must be true or false",
    _Field.CPPTYPE_INT32: "must be a whole number from -2147483648 to 2147483647",
    _Field.CPPTYPE_INT64: "must be a whole number from -9223372036854775808 to 9223372036854775807",
    _Field.CPPTYPE_UINT32: "must be a whole number from 0 to 4294967295",
    _Field.CPPTYPE_UINT64: "must be a whole number from 0 to 18446744073709551615",
    _Field.CPPTYPE_FLOAT: "must be a number",
    _Field.CPPTYPE_DOUBLE: "must be a number",
}
_SPECIAL: Final = {
    "google.protobuf.Timestamp": "must be a time such as 2026-01-31T12:00:00Z",
    "google.protobuf.Duration": "must be a length of time such as 1.5s",
    "google.protobuf.FieldMask": "must be text that names fields with commas between them",
}
