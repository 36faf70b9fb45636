"""The routes of the API, read from the `google.api.http` annotations of the public methods.

Only a part of the annotation language is allowed, so that a path is an aiohttp path verbatim:
plain `{field}` variables, no wildcards, no verbs, no response_body. Anything else, and any two
routes that could answer one request, stop the start.
"""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, MethodDescriptor

import cadenza
from cadenza.options.v1 import options_pb2
from gateway.shapes import shape_of
from services.kit.rpc.method import ContractError, Method, method_of

VERBS: Final = ("get", "post", "put", "patch", "delete")

_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*\}))+")
_VARIABLE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_BODYLESS = frozenset({"GET", "DELETE"})
_OK: Final = 200


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One HTTP route of one method."""

    method: Method
    service: str  # short name of the deployable, "wallet"
    verb: str  # "GET"
    path: str  # "/api/v1/tracks/{track_id}"
    variables: tuple[FieldDescriptor, ...]
    body: str  # "*" for the whole request, a field's name, or empty for none
    additional: bool  # an older spelling of the route
    http_status: int
    max_body_bytes: int  # 0 for the gateway's default
    user_per_minute: int  # 0 for none of its own


def public_bindings() -> list[Binding]:
    """Return every route of every public method of the contracts, literal paths before variable ones.

    Raises ContractError naming each annotation that the gateway cannot serve as it stands.
    """
    bindings, problems = [], []
    for method in _methods():
        try:
            bindings += list(_bindings_of(method))
        except ContractError as error:
            problems.append(str(error))
    problems += _clashes(bindings)
    if problems:
        raise ContractError("; ".join(problems))
    return sorted(bindings, key=lambda each: (each.path.replace("{", "~"), each.verb))


def _methods() -> Iterator[MethodDescriptor]:
    for folder in cadenza.__path__:
        for path in sorted(Path(folder).glob("*/v*/*_service_pb2.py")):
            name = ".".join(("cadenza", *path.relative_to(folder).with_suffix("").parts))
            file: FileDescriptor = importlib.import_module(name).DESCRIPTOR
            for service in file.services_by_name.values():
                yield from service.methods


def _bindings_of(method: MethodDescriptor) -> Iterator[Binding]:
    options: Any = method.GetOptions()
    internal = options.Extensions[options_pb2.access] == options_pb2.ACCESS_INTERNAL
    annotated = options.HasExtension(annotations_pb2.http)
    if internal != (not annotated):
        raise ContractError(f"{method.full_name} must have an HTTP rule exactly when it is not internal")
    if not annotated:
        return
    rule = options.Extensions[annotations_pb2.http]
    yield _binding(method, rule, additional=False)
    for each in rule.additional_bindings:
        if each.additional_bindings:
            raise ContractError(f"{method.full_name} nests additional bindings")
        yield _binding(method, each, additional=True)


def _binding(method: MethodDescriptor, rule: Any, *, additional: bool) -> Binding:
    options: Any = method.GetOptions()
    verb = rule.WhichOneof("pattern") or ""
    path = getattr(rule, verb) if verb in VERBS else ""
    if verb not in VERBS or not _PATH.fullmatch(path) or rule.response_body:
        raise ContractError(f"{method.full_name} has an HTTP rule the gateway does not serve: {verb} {path}")
    binding = Binding(
        method=method_of(method.containing_service.full_name, method.name),
        service=method.containing_service.full_name.split(".")[1],
        verb=verb.upper(),
        path=path,
        variables=tuple(_variables(method, path)),
        body=rule.body,
        additional=additional,
        http_status=options.Extensions[options_pb2.http_status] or _OK,
        max_body_bytes=options.Extensions[options_pb2.max_body_bytes],
        user_per_minute=options.Extensions[options_pb2.user_per_minute],
    )
    _check(binding)
    return binding


def _variables(method: MethodDescriptor, path: str) -> Iterator[FieldDescriptor]:
    for name in _VARIABLE.findall(path):
        field = method.input_type.fields_by_name.get(name)
        if field is None or field.is_repeated or field.type == FieldDescriptor.TYPE_MESSAGE:
            raise ContractError(f"{method.full_name} binds {{{name}}}, which is no plain field of its request")
        yield field


def _check(binding: Binding) -> None:
    """Raise ContractError when the body clause or the streaming does not fit the verb."""
    method, fields = binding.method, shape_of(binding.method.request_type).fields_by_name
    if binding.body and binding.verb in _BODYLESS:
        raise ContractError(f"{method.path}: {binding.verb} takes no body")
    if binding.body not in {"", "*"}:
        field = fields.get(binding.body)
        if field is None or field.is_repeated or field.type != FieldDescriptor.TYPE_MESSAGE:
            raise ContractError(f"{method.path}: the body {binding.body} is no message field of the request")
    if method.client_streaming and (method.server_streaming or binding.verb != "POST" or binding.body != "*"):
        raise ContractError(f"{method.path}: an upload is a POST with the body *, and is answered once")
    if method.server_streaming and binding.verb != "GET":
        raise ContractError(f"{method.path}: a stream of events is a GET")


def _clashes(bindings: list[Binding]) -> Iterator[str]:
    seen: dict[tuple[str, str], Binding] = {}
    for binding in bindings:
        shape = (binding.verb, _VARIABLE.sub("{}", binding.path))
        other = seen.setdefault(shape, binding)
        if other is not binding:
            yield f"{binding.method.path} and {other.method.path} both answer {binding.verb} {binding.path}"
