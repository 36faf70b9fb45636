"""A service that uses the whole of `google.api.http` that the gateway serves; its contract is made when tests run.

The project's own contracts keep to plain paths; what else the gateway promises is tried on this one.
"""

import itertools
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

from cadenza.options.v1 import options_pb2
from gateway.routes import Binding, _bindings_of
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.deadlines import Deadlines
from services.kit.rpc.errors import Errors
from tests.gateway.kinds import Kinds
from tests.gateway.services import Fakes

_F = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tests.lab.v1"

# Method, verb, path, and the rest of its rule.
RULES: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("Get", "get", "/lab/v1/things/{name}", {}),
    ("Mine", "get", "/lab/v1/things/mine", {}),
    ("Cancel", "post", "/lab/v1/things/{name}:cancel", {"body": "*"}),
    ("Post", "post", "/lab/v1/things/{name}", {"body": "thing"}),
    ("Batch", "get", "/lab/v1/things:batch", {}),
    ("Find", "get", "/lab/v1/{name=shelves/*/things/*}", {}),
    ("Tree", "get", "/lab/v1/tree/{name=**}", {}),
    ("Leaf", "get", "/lab/v1/tree/{name}/leaf", {}),
    ("Inner", "get", "/lab/v1/inner/{thing.name}", {}),
    ("Update", "patch", "/lab/v1/things/{thing.name}", {"body": "thing"}),
    ("Replace", "put", "/lab/v1/things/{name}", {"body": "thing", "response_body": "asked"}),
    ("Tags", "get", "/lab/v1/tags", {"response_body": "tags"}),
    ("Count", "get", "/lab/v1/count", {"response_body": "count"}),
)
ALIAS = "/lab/v1/labels"  # the additional binding of Tags


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tests/lab.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.extend(
        [
            "google/api/annotations.proto",
            "google/protobuf/field_mask.proto",
            "cadenza/options/v1/options.proto",
            "tests/kinds.proto",
        ]
    )
    kinds, own, mask = ".tests.v1.Kinds", f".{_PACKAGE}.", ".google.protobuf.FieldMask"
    _message(
        file,
        "Thing",
        ("name", _F.TYPE_STRING, ""),
        ("title", _F.TYPE_STRING, ""),
        ("tags*", _F.TYPE_STRING, ""),
        ("inner_thing", _F.TYPE_MESSAGE, own + "Thing"),
    )
    _message(
        file,
        "Ask",
        ("name", _F.TYPE_STRING, ""),
        ("thing", _F.TYPE_MESSAGE, own + "Thing"),
        ("update_mask", _F.TYPE_MESSAGE, mask),
        ("kinds", _F.TYPE_MESSAGE, kinds),
        ("size", _F.TYPE_INT32, ""),
    )
    _message(
        file,
        "Told",
        ("asked", _F.TYPE_MESSAGE, own + "Ask"),
        ("method", _F.TYPE_STRING, ""),
        ("tags*", _F.TYPE_STRING, ""),
        ("count", _F.TYPE_INT64, ""),
    )
    service = file.service.add(name="LabService")
    for name, verb, path, rest in RULES:
        method = service.method.add(name=name, input_type=own + "Ask", output_type=own + "Told")
        method.options.Extensions[options_pb2.access] = options_pb2.ACCESS_PUBLIC
        rule = method.options.Extensions[annotations_pb2.http]
        setattr(rule, verb, path)
        for key, value in rest.items():
            setattr(rule, key, value)
        if name == "Tags":
            rule.additional_bindings.add(get=ALIAS, response_body="tags")
    return file


def _message(file: descriptor_pb2.FileDescriptorProto, name: str, *fields: tuple[str, int, str]) -> None:
    message, numbers = file.message_type.add(name=name), itertools.count(1)
    for spelled, kind, type_name in fields:
        label = _F.LABEL_REPEATED if spelled.endswith("*") else _F.LABEL_OPTIONAL
        field = message.field.add(name=spelled.rstrip("*"), number=next(numbers), label=label)
        field.type = kind  # type: ignore[assignment]  # the enum's own type is private to the stubs
        if type_name:
            field.type_name = type_name


_POOL = descriptor_pool.Default()
assert Kinds  # its file is loaded before the one that depends on it
_POOL.AddSerializedFile(_describe().SerializeToString())
Ask: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Ask"))
Told: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.Told"))


def lab_bindings() -> list[Binding]:
    """Return the routes of the laboratory in the order in which they are tried."""
    methods = _POOL.FindServiceByName(f"{_PACKAGE}.LabService").methods
    found = [binding for method in methods for binding in _bindings_of(method)]
    return sorted(found, key=lambda each: (each.template.rank, each.verb))


def add_lab(fakes: Fakes) -> None:
    """Serve the laboratory in the mesh: every method tells what it was asked, and its own name."""

    def register(_servicer: object, server: Any) -> None:
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                _telling(name), request_deserializer=Ask.FromString, response_serializer=Told.SerializeToString
            )
            for name, *_ in RULES
        }
        server.add_registered_method_handlers(f"{_PACKAGE}.LabService", handlers)

    fakes.mesh.add(Application("lab", [Registered(register, object())]), (Deadlines, Errors))


def _telling(name: str) -> Any:
    async def answer(request: Any, _context: Any) -> Any:
        return Told(asked=request, method=name, tags=["a", "b"], count=2**40)

    return answer
