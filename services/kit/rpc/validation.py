"""Requests obey the rules written on their fields before any of our code sees them."""

from google.protobuf.message import Message
from protovalidate import Validator, Violation

from services.kit.errors import FieldViolation, ParamInvalid
from services.kit.rpc.call import Around

# One for the process: it compiles the rules of a message type when it first meets it.
_validator = Validator()


class Validation(Around):
    """Concern: a request, or a message of a client stream, that breaks a rule is PARAM_INVALID."""

    async def __aenter__(self) -> None:
        if self.call.request is None:
            self.call.checks.append(check)
        else:
            check(self.call.request)


def check(message: Message) -> None:
    """Raise ParamInvalid with the path and the rule of every field that breaks one."""
    violations = _validator.collect_violations(message)
    if violations:
        raise ParamInvalid.all_of(tuple(_field_violation(each) for each in violations))


def _field_violation(violation: Violation) -> FieldViolation:
    proto = violation.proto
    return FieldViolation(_path(violation), proto.rule_id, proto.message or proto.rule_id)


def _path(violation: Violation) -> str:
    """Return the path as people write it: `variants[1].title`, `labels["mood"]`."""
    if violation.proto.field is None:
        return ""
    parts = []
    for element in violation.proto.field.elements:
        key = "" if element.subscript is None else element.subscript.value
        quoted = f'["{key}"]' if isinstance(key, str) else f"[{key}]"
        parts.append(element.field_name + (quoted if element.subscript is not None else ""))
    return ".".join(parts)
