"""Values for the API document that a reader can send as they stand, made from the contract and from nothing else.

A field's own example is the one of its rules (`(buf.validate.field).string.example`), or else the first word that its
comment gives (for example `folk`). Where there is none the rules choose: a word of the enum that is allowed, an id, the
smallest number. An answer's field takes the example of a request's field of the same name, so that a title looks like
a title everywhere. A request holds what its rules demand and whatever has an example in its rules.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.rules import allowed_numbers, is_required, numeric_rules, own_example, rules_of
from gateway.shapes import enum_of, is_map, map_parts, message_of, words_of

ID: Final = "018f0000-0000-7000-8000-000000000001"

_Field = FieldDescriptor
_DEEPEST: Final = 8
_TOLD: Final = re.compile(r"\bfor example `([^`]+)`")
_WELL_KNOWN: Final[Mapping[str, Any]] = {
    "google.protobuf.Timestamp": "2026-01-31T12:00:00Z",
    "google.protobuf.Duration": "30s",
}
_KINDS: Final[Mapping[int, Any]] = {
    _Field.CPPTYPE_BOOL: True,
    _Field.CPPTYPE_DOUBLE: 0.5,
    _Field.CPPTYPE_FLOAT: 0.5,
    _Field.CPPTYPE_STRING: "",
}


class Examples:
    """Makes examples of requests, parameters and answers, all in the spelling of the codec."""

    def __init__(self, comments: Mapping[str, str], requests: Iterable[Descriptor]) -> None:
        """Use the comments, and remember what the fields of the requests have for examples."""
        self._comments = comments
        self._named: dict[str, Any] = {}
        for descriptor in requests:
            for field in descriptor.fields:
                own = own_example(field)
                if own is not None:
                    self._named.setdefault(field.name, own)

    def request(self, descriptor: Descriptor, without: Collection[str]) -> dict[str, Any]:
        """Return a body: the fields that must be there and those with an example, but none that the path brings."""
        fields = [field for field in descriptor.fields if field.name not in without]
        return {
            field.name: self.value(field) for field in fields if is_required(field) or own_example(field) is not None
        }

    def answer(self, descriptor: Descriptor) -> dict[str, Any]:
        """Return an answer with every key of it."""
        return self._answer(descriptor, ())

    def value(self, field: FieldDescriptor) -> Any:
        """Return a value of the field that its rules allow."""
        return self._value(field, (), asked=True)

    def answered(self, field: FieldDescriptor) -> Any:
        """Return a value of the field as an answer has it."""
        return self._value(field, (), asked=False)

    def _answer(self, descriptor: Descriptor, above: tuple[str, ...]) -> dict[str, Any]:
        chosen = {oneof.name: oneof.fields[0].name for oneof in descriptor.oneofs if len(oneof.fields) > 1}
        found: dict[str, Any] = {}
        for field in descriptor.fields:
            oneof = field.containing_oneof
            absent = oneof is not None and chosen.get(oneof.name, field.name) != field.name
            found[field.name] = None if absent else self._value(field, (*above, descriptor.full_name), asked=False)
        return found

    def _value(self, field: FieldDescriptor, above: tuple[str, ...], *, asked: bool) -> Any:
        if is_map(field):
            key, value = map_parts(field)
            return {str(self._one(key, above, asked=asked)): self._one(value, above, asked=asked)}
        if not field.is_repeated:
            return self._one(field, above, asked=asked)
        least = rules_of(field).repeated.min_items
        inside = field.type == _Field.TYPE_MESSAGE and message_of(field).full_name in above
        return [] if inside or len(above) > _DEEPEST else [self._one(field, above, asked=asked)] * max(least, 1)

    def _one(self, field: FieldDescriptor, above: tuple[str, ...], *, asked: bool) -> Any:
        if field.type == _Field.TYPE_MESSAGE:
            descriptor = message_of(field)
            if descriptor.full_name in _WELL_KNOWN:
                return _WELL_KNOWN[descriptor.full_name]
            if descriptor.full_name in above:
                return None
            return self.request(descriptor, ()) if asked else self._answer(descriptor, above)
        if field.type == _Field.TYPE_ENUM:
            return _word(field)
        if field.type == _Field.TYPE_BYTES:
            return "UklGRg=="
        own = self._told(field)
        return own if own is not None else self._plain(field)

    def _told(self, field: FieldDescriptor) -> Any:
        own = own_example(field)
        if own is not None or field.cpp_type != _Field.CPPTYPE_STRING or _is_id(field):
            return own
        told = _TOLD.search(self._comments.get(field.full_name, ""))
        # The word that a comment gives comes first; the rules of the field it is borrowed from may differ.
        word = told[1] if told else self._named.get(field.name)
        return word if isinstance(word, str) and _fits(field, word) else None

    def _plain(self, field: FieldDescriptor) -> Any:
        if _is_id(field):
            return ID
        if field.cpp_type == _Field.CPPTYPE_STRING:
            return _text(field)
        if field.cpp_type in _KINDS:
            least = getattr(numeric_rules(field), "gte", 0)
            return max(_KINDS[field.cpp_type], least)
        return _whole(field)


def _is_id(field: FieldDescriptor) -> bool:
    return bool(rules_of(field).string.uuid) or (
        field.cpp_type == _Field.CPPTYPE_STRING and field.name.endswith(("_id", "_ids")) and not own_example(field)
    )


def _word(field: FieldDescriptor) -> str:
    """Return the first word of the enum that is allowed and says something."""
    allowed = allowed_numbers(field)
    return words_of(enum_of(field))[next((number for number in allowed if number), allowed[0])]


def _whole(field: FieldDescriptor) -> int:
    rules = numeric_rules(field)
    choice = list(getattr(rules, "in", ()))
    if choice:
        return int(choice[-1])
    return int(max(1, getattr(rules, "gte", 0)))


def _text(field: FieldDescriptor) -> str:
    """Return a text for a field of which nothing is told: one of its words, an address, or what the field is called."""
    rules = rules_of(field).string
    words = list(getattr(rules, "in"))
    if words:
        return str(next((word for word in words if word), words[0]))
    plain = "https://example.com/" + field.name if field.name.endswith("url") else field.name.replace("_", " ")
    # What a rule demands and no example fulfils is left out where it may be empty; a test finds where it may not.
    return next((text for text in (plain, field.name, "") if _fits(field, text)), plain)


def _fits(field: FieldDescriptor, text: str) -> bool:
    rules = rules_of(field).string
    long_enough = len(text) >= rules.min_len and len(text) <= (rules.max_len or len(text))
    return long_enough and (not rules.pattern or bool(re.search(rules.pattern, text)))
