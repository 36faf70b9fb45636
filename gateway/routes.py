"""The routes of the API, read from the `google.api.http` annotations of the public methods.

The whole language of http.proto is read; what this gateway does not serve stops the start with the method's name, and
so do two routes that could answer one request. Not served are wildcards outside of a variable, verbs behind `**`
(`gateway.templates`), methods that HTTP does not have (`custom`), bodies that are no message, and
`google.api.HttpBody`: bytes travel by signed addresses and forms.
"""

import importlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor

import cadenza
from cadenza.options.v1 import options_pb2
from gateway.shapes import message_of, shape_of
from gateway.templates import Template, TemplateError, Variable, parse
from services.kit.rpc.method import ContractError, Method, method_of

VERBS: Final = ("get", "post", "put", "patch", "delete")

_BODYLESS = frozenset({"GET", "DELETE"})
_UPLOADING = frozenset({"POST", "PATCH"})
_OK: Final = 200
_BYTES: Final = "google.api.HttpBody"
_MASK: Final = "google.protobuf.FieldMask"


@dataclass(frozen=True, slots=True, eq=False)
class Binding:
    """One HTTP route of one method."""

    method: Method
    service: str  # short name of the deployable, "wallet"
    verb: str  # "GET"
    template: Template
    variables: tuple[Variable, ...]
    body: str  # "*" for the whole request, a field's name, or empty for none
    response_body: str  # the field that is the whole answer, or empty for all of them
    mask: str  # of a PATCH with one field as its body: the FieldMask that says what of it is given, or empty
    taken: frozenset[str]  # what path and body fill, which the query may not
    additional: bool  # an older spelling of the route
    http_status: int
    max_body_bytes: int  # 0 for the gateway's default
    user_per_minute: int  # 0 for none of its own
    rate_class: int  # a value of cadenza.options.v1.RateClass

    @property
    def path(self) -> str:
        """Return the path as the contract writes it, "/api/v1/tracks/{track_id}"."""
        return self.template.text


def public_bindings() -> list[Binding]:
    """Return every route of every public method of the contracts, in the order in which they are to be tried.

    Raises ContractError naming each annotation that the gateway cannot serve as it stands.
    """
    bindings, problems = [], []
    for method in contract_methods():
        try:
            bindings += list(_bindings_of(method))
        except ContractError as error:
            problems.append(str(error))
    problems += _clashes(bindings)
    if problems:
        raise ContractError("; ".join(problems))
    return sorted(bindings, key=lambda each: (each.template.rank, each.verb))


def contract_methods() -> Iterator[MethodDescriptor]:
    """Yield every method of every service in the contracts, internal ones too."""
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
    if verb not in VERBS:
        raise _not_served(method, rule, "only " + ", ".join(VERBS) + " are")
    try:
        template = parse(getattr(rule, verb))
    except TemplateError as error:
        raise _not_served(method, rule, str(error)) from error
    variables = tuple(_variables(method, rule, template))
    contract = method_of(method.containing_service.full_name, method.name)
    binding = Binding(
        method=contract,
        service=method.containing_service.full_name.split(".")[1],
        verb=verb.upper(),
        template=template,
        variables=variables,
        body=rule.body,
        response_body=rule.response_body,
        mask=_mask_of(method) if verb == "patch" and rule.body != "*" else "",
        taken=_taken(method, rule.body, variables),
        additional=additional,
        http_status=options.Extensions[options_pb2.http_status] or _OK,
        max_body_bytes=options.Extensions[options_pb2.max_body_bytes],
        user_per_minute=options.Extensions[options_pb2.user_per_minute],
        rate_class=options.Extensions[options_pb2.rate_class],
    )
    problem = _problem(binding)
    if problem:
        raise _not_served(method, rule, problem)
    return binding


def _not_served(method: MethodDescriptor, rule: Any, why: str) -> ContractError:
    verb = rule.WhichOneof("pattern") or "no verb"
    path = rule.custom.path if verb == "custom" else getattr(rule, verb, "")
    return ContractError(f"{method.full_name} has an HTTP rule that is not served, {verb} {path}: {why}")


def _variables(method: MethodDescriptor, rule: Any, template: Template) -> Iterator[Variable]:
    for name, wide in template.names:
        *outer, last = name.split(".")
        place: Descriptor | None = method.input_type
        for each in outer:
            inner = place.fields_by_name.get(each) if place else None
            place = inner.message_type if inner is not None and not inner.is_repeated else None
        field = place.fields_by_name.get(last) if place else None
        if field is None or field.is_repeated or field.type == FieldDescriptor.TYPE_MESSAGE:
            raise _not_served(method, rule, f"{{{name}}} is no plain field of the request")
        yield Variable(name, field, wide)


def _mask_of(method: MethodDescriptor) -> str:
    """Return the one FieldMask of the request, or nothing when there is none or the choice is not clear."""
    masks = [field.name for field in method.input_type.fields if _type_of(field) == _MASK and not field.is_repeated]
    return masks[0] if len(masks) == 1 else ""


def _taken(method: MethodDescriptor, body: str, variables: tuple[Variable, ...]) -> frozenset[str]:
    bound = {variable.name for variable in variables}
    return frozenset(bound | (set(method.input_type.fields_by_name) if body == "*" else {body} - {""}))


def _type_of(field: FieldDescriptor) -> str:
    return message_of(field).full_name if field.type == FieldDescriptor.TYPE_MESSAGE else ""


def _problem(binding: Binding) -> str:
    """Return what the gateway cannot serve of bodies and streams as they are annotated, or nothing."""
    method, request = binding.method, shape_of(binding.method.request_type)
    answer = shape_of(method.response_type)
    body = request.fields_by_name.get(binding.body)
    message = body is not None and not body.is_repeated and bool(_type_of(body))
    single = binding.response_body in answer.fields_by_name and not method.server_streaming
    upload = not method.server_streaming and binding.verb in _UPLOADING and binding.body == "*"
    faults = {
        f"{_BYTES} is not read or answered": _BYTES in {request.full_name, answer.full_name},
        f"{binding.verb} takes no body": bool(binding.body) and binding.verb in _BODYLESS,
        f"the body {binding.body} is no message field of the request": binding.body not in {"", "*"} and not message,
        f"the answer {binding.response_body} is no field of a single response": binding.response_body and not single,
        "an upload is a POST or PATCH with the body *, and is answered once": method.client_streaming and not upload,
        "a stream of events is a GET": method.server_streaming and binding.verb != "GET",
    }
    return next((words for words, wrong in faults.items() if wrong), "")


def _clashes(bindings: list[Binding]) -> Iterator[str]:
    seen: dict[tuple[str, object], Binding] = {}
    for binding in bindings:
        other = seen.setdefault((binding.verb, binding.template.shape), binding)
        if other is not binding:
            yield f"{binding.method.path} and {other.method.path} both answer {binding.verb} {binding.path}"
    with_verb = [each for each in bindings if each.template.verb]
    for binding, other in itertools.product(bindings, with_verb):
        if binding.verb == other.verb and binding.template.swallows(other.template):
            yield f"{binding.method.path} would take what is {other.method.path}'s, {other.verb} {other.path}"
