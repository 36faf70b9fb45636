"""Sparse answers: `fields=title,state` leaves only the named keys.

A path with dots names keys below `data`. A name that is no key of `data` itself is looked up in
the first field of the response, which by the style of our contracts is the resource or the list
of resources; the paging token then stays, or a client could not go on.
"""

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.shapes import is_map, is_well_known, message_of, names_of
from services.kit.errors import ParamInvalid

PARAMETER: Final = "fields"

Wanted = dict[str, Any]  # key -> Wanted below it; empty for everything below it

_MOST_NAMES: Final = 50
_KEPT: Final = "next_page_token"


def read_fields(text: str, response: Descriptor) -> Wanted:
    """Return which keys are wanted; ParamInvalid names a key that the response does not have."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(names) > _MOST_NAMES:
        raise ParamInvalid.of(PARAMETER, f"must hold 1 to {_MOST_NAMES} names with commas between them")
    wanted: Wanted = {}
    for name in names:
        path = _resolve(name.split("."), response)
        if path is None:
            raise ParamInvalid.of(PARAMETER, f"{name[:64]} is not in the answer")
        _add(wanted, path)
        if len(path) > 1 and _KEPT in response.fields_by_name:
            wanted.setdefault(_KEPT, {})
    return wanted


def choosable(response: Descriptor) -> list[str]:
    """Return the names that may be asked for without a dot, in the order of the answer."""
    first = response.fields[0] if response.fields else None
    below = [field.name for field in message_of(first).fields] if first is not None and _enterable(first) else []
    return list(dict.fromkeys([*(field.name for field in response.fields), *below]))


def keep(values: Any, wanted: Wanted) -> Any:
    """Return the JSON values with only the wanted keys; lists keep their length."""
    if not wanted:
        return values
    if isinstance(values, list):
        return [keep(each, wanted) for each in values]
    if not isinstance(values, dict):
        return values
    return {name: keep(values[name], below) for name, below in wanted.items() if name in values}


def _resolve(path: list[str], response: Descriptor) -> list[str] | None:
    found = _walk(path, response)
    if found is None and response.fields and _enterable(response.fields[0]):
        first = response.fields[0]
        below = _walk(path, message_of(first))
        found = None if below is None else [first.name, *below]
    return found


def _walk(path: Iterable[str], descriptor: Descriptor) -> list[str] | None:
    place: Descriptor | None = descriptor
    names = []
    for name in path:
        field = None if place is None else names_of(place).get(name)
        if field is None:
            return None
        names.append(field.name)
        place = message_of(field) if _enterable(field) else None
    return names


def _enterable(field: FieldDescriptor) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE and not is_map(field) and not is_well_known(message_of(field))


def _add(wanted: Wanted, path: list[str]) -> None:
    """Add a path; whoever wants a whole thing wants it also where somebody else wants a part."""
    place = wanted
    for name in path[:-1]:
        if name in place and not place[name]:
            return
        place = place.setdefault(name, {})
    place[path[-1]] = {}
