"""The comments of the contracts, which generated code does not carry.

`make gen` writes the descriptor set with its source positions beside the generated modules. It
is read once, when the API document is first asked for, and not kept.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

import cadenza

_FILE = "descriptors.binpb"

# Field numbers of descriptor.proto that lead through a file's source positions.
_MESSAGE, _ENUM, _SERVICE = 4, 5, 6
_FIELD, _METHOD, _VALUE = 2, 2, 2
_NESTED_MESSAGE, _NESTED_ENUM = 3, 4


def read_comments() -> dict[str, str]:
    """Return the comment of each message, field, enum, value, service and method by its full name.

    Empty when the descriptor set is not there: the document then lacks its words and nothing else.
    """
    for folder in cadenza.__path__:
        path = Path(folder) / _FILE
        if path.is_file():
            files = FileDescriptorSet.FromString(path.read_bytes()).file
            return dict(itertools.chain.from_iterable(_of_file(file) for file in files))
    return {}


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {
        tuple(place.path): " ".join(place.leading_comments.split())
        for place in file.source_code_info.location
        if place.leading_comments
    }
    for path, name in _names(file):
        text = texts.get(path)
        if text:
            yield name, text


def _names(file: FileDescriptorProto) -> Iterator[tuple[tuple[int, ...], str]]:
    package = file.package
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, (_MESSAGE, index), f"{package}.{message.name}")
    yield from _of_enums(file.enum_type, (_ENUM,), package)
    for index, service in enumerate(file.service):
        name = f"{package}.{service.name}"
        yield (_SERVICE, index), name
        yield from _children(service.method, (_SERVICE, index, _METHOD), name)


def _of_message(message: Any, path: tuple[int, ...], name: str) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, name
    yield from _children(message.field, (*path, _FIELD), name)
    yield from _of_enums(message.enum_type, (*path, _NESTED_ENUM), name)
    for index, nested in enumerate(message.nested_type):
        yield from _of_message(nested, (*path, _NESTED_MESSAGE, index), f"{name}.{nested.name}")


def _of_enums(enums: Sequence[Any], path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, enum in enumerate(enums):
        yield (*path, index), f"{scope}.{enum.name}"
        yield from _children(enum.value, (*path, index, _VALUE), f"{scope}.{enum.name}")


def _children(items: Sequence[Any], path: tuple[int, ...], scope: str) -> Iterator[tuple[tuple[int, ...], str]]:
    for index, item in enumerate(items):
        yield (*path, index), f"{scope}.{item.name}"
