"""The validation rules of the contract as the API document reads them."""

import re
from typing import Any, cast

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

from gateway.shapes import enum_of, words_of

_NUMBERS = ("int32", "int64", "uint32", "uint64", "double", "float")


def rules_of(field: FieldDescriptor) -> Any:
    """Return the field's rules; empty ones when it has none."""
    return cast("Any", field.GetOptions()).Extensions[validate_pb2.field]


def numeric_rules(field: FieldDescriptor) -> Any:
    """Return the field's rules for numbers, None when it has none."""
    rules = rules_of(field)
    return next((getattr(rules, kind) for kind in _NUMBERS if rules.HasField(kind)), None)


def own_example(field: FieldDescriptor) -> Any:
    """Return the example that stands in the rules of the field, None when none does."""
    rules = rules_of(field)
    if field.is_repeated:
        rules = rules.repeated.items
    kind = rules.WhichOneof("type")
    examples = getattr(getattr(rules, kind), "example", ()) if kind else ()
    return examples[0] if examples else None


def allowed_numbers(field: FieldDescriptor) -> list[int]:
    """Return the numbers of the field's enum that its rules allow, in their order."""
    rules = rules_of(field)
    enum = rules.repeated.items.enum if field.is_repeated else rules.enum
    chosen = list(getattr(enum, "in"))
    return [
        number for number in words_of(enum_of(field)) if number not in enum.not_in and number in (chosen or [number])
    ]


def is_required(field: FieldDescriptor) -> bool:
    """Return whether the field's rules refuse the value it has when it is left out."""
    rules = rules_of(field)
    if rules.required:
        return True
    if field.has_presence or rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
        return False
    text, enum, number = rules.string, rules.enum, numeric_rules(field)
    if rules.HasField("string"):
        words = getattr(text, "in")
        return bool(text.min_len or text.uuid or (words and "" not in words)) or not re.search(text.pattern, "")
    if rules.HasField("enum"):
        words = getattr(enum, "in")
        return 0 in enum.not_in or bool(words and 0 not in words)
    if rules.HasField("repeated"):
        return bool(rules.repeated.min_items)
    return number is not None and (number.gte > 0 or number.gt > 0)
