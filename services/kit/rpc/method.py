"""What the contract says about one method: the options written in the proto, read once.

The contract is the configuration. Access, callers, deadline and idempotency stand next to the
method in the proto file and nowhere else, so there is no second list to keep in step.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cadenza.options.v1 import options_pb2

if TYPE_CHECKING:
    import grpc

# Quoted: the class is generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ContractError(Exception):
    """A service cannot be served because its contract leaves open who may call a method."""


class Servable(Protocol):
    """What the start-up code knows of a registered service: its adder and its servicer."""

    @property
    def add(self) -> Any:
        """Return the generated `add_XServicer_to_server`."""
        ...

    @property
    def servicer(self) -> object:
        """Return the object that answers the methods."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One RPC method with everything the interceptors need to know about it."""

    path: str  # "/cadenza.wallet.v1.CreditService/Hold", as on the wire
    service: str  # "cadenza.wallet.v1.CreditService"
    name: str
    access: int  # a value of cadenza.options.v1.Access
    callers: frozenset[str]
    deadline_s: float | None  # from the option; None where the option is not set
    no_side_effects: bool
    client_streaming: bool
    server_streaming: bool
    has_request_id: bool
    request_type: type[Message]
    response_type: type[Message]

    @property
    def internal(self) -> bool:
        """Return whether only named services may call the method."""
        return self.access == options_pb2.ACCESS_INTERNAL


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A method and the generated handler that answers it."""

    method: Method
    handler: Handler


class _Recorder:
    """Stands in for a server while generated code registers a servicer, and keeps the handlers."""

    def __init__(self) -> None:
        self.services: dict[str, Mapping[str, Handler]] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignore the generic form; the registered form below carries the same handlers."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Keep the handlers of one service."""
        self.services[service] = handlers


def routes_of(registered: Servable) -> list[Route]:
    """Return the methods of a registered servicer.

    Raises ContractError for a method without `access` and for an internal one without callers:
    a server that does not know who may call must not start.
    """
    routes = unchecked_routes(registered)
    if not routes:
        msg = f"{registered.add!r} registered no method"
        raise ContractError(msg)
    problems = [text for route in routes if (text := _problem(route.method))]
    if problems:
        raise ContractError("; ".join(problems))
    return routes


def unchecked_routes(registered: Servable) -> list[Route]:
    """Return the methods of a servicer whose contract is not ours, such as the standard health service."""
    recorder = _Recorder()
    registered.add(registered.servicer, recorder)
    return [
        Route(method_of(service, name), handler)
        for service, handlers in recorder.services.items()
        for name, handler in handlers.items()
    ]


def method_of(service: str, name: str) -> Method:
    """Return the contract of one method, looked up in the descriptors that were imported."""
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    options = descriptor.GetOptions()
    deadline_ms = options.Extensions[options_pb2.deadline_ms]
    return Method(
        path=f"/{service}/{name}",
        service=service,
        name=name,
        access=options.Extensions[options_pb2.access],
        callers=frozenset(options.Extensions[options_pb2.callers]),
        deadline_s=deadline_ms / 1000 if deadline_ms else None,
        no_side_effects=options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        client_streaming=descriptor.client_streaming,
        server_streaming=descriptor.server_streaming,
        has_request_id=_has_request_id(descriptor),
        request_type=GetMessageClass(descriptor.input_type),
        response_type=GetMessageClass(descriptor.output_type),
    )


def _has_request_id(descriptor: MethodDescriptor) -> bool:
    field = descriptor.input_type.fields_by_name.get("request_id")
    return field is not None and field.type == FieldDescriptor.TYPE_STRING


def _problem(method: Method) -> str:
    if method.access == options_pb2.ACCESS_UNSPECIFIED:
        return f"{method.path} has no option (cadenza.options.v1.access)"
    if method.internal and not method.callers:
        return f"{method.path} is internal and names no callers"
    return ""
