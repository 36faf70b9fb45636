"""A service with every kind of method and access, described at run time: it tests the kit and nothing else.

The descriptor is built here and not in `proto/`, because the contract of the product should not carry methods that
only tests call. Everything a generated module would hold is made from it: messages, stub, adder.
"""

# ruff: noqa: N802  # gRPC methods are named by their contract
import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from buf.validate import validate_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, MethodOptions
from google.protobuf.message_factory import GetMessageClass

from cadenza.options.v1 import options_pb2
from services.kit.errors import BusinessRule, NotFound
from services.kit.rpc.call import current_call

PACKAGE = "cadenza.echotest.v1"
SERVICE = f"{PACKAGE}.EchoService"

_KINDS = {
    # name: (client streams, server streams, access, callers, deadline_ms)
    "Public": (False, False, options_pb2.ACCESS_PUBLIC, (), 0),
    "User": (False, False, options_pb2.ACCESS_USER, (), 0),
    "Admin": (False, False, options_pb2.ACCESS_ADMIN, (), 0),
    "Internal": (False, False, options_pb2.ACCESS_INTERNAL, ("wallet", "gateway"), 0),
    "Quick": (False, False, options_pb2.ACCESS_PUBLIC, (), 300),
    "Down": (False, True, options_pb2.ACCESS_PUBLIC, (), 0),
    "Up": (True, False, options_pb2.ACCESS_PUBLIC, (), 0),
    "Both": (True, True, options_pb2.ACCESS_PUBLIC, (), 0),
}


def _describe() -> None:
    file = FileDescriptorProto(name="cadenza/echotest/v1/echo.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["buf/validate/validate.proto", "cadenza/options/v1/options.proto"])
    request = file.message_type.add(name="EchoRequest")
    texts = ("text", "request_id", "behaviour")
    for number, name in enumerate(texts, start=1):
        field = request.field.add(name=name, number=number)
        field.type, field.label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_OPTIONAL
    request.field[0].options.Extensions[validate_pb2.field].string.max_len = 20
    tags = request.field.add(name="tags", number=4)
    tags.type, tags.label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_REPEATED
    tags.options.Extensions[validate_pb2.field].repeated.items.string.min_len = 2
    secret = request.field.add(name="secret", number=5)
    secret.type, secret.label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_OPTIONAL
    secret.options.debug_redact = True
    child = request.field.add(name="child", number=6, type_name=f".{PACKAGE}.EchoRequest")
    child.type, child.label = FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.LABEL_OPTIONAL
    children = request.field.add(name="children", number=7, type_name=f".{PACKAGE}.EchoRequest")
    children.type, children.label = FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.LABEL_REPEATED
    response = file.message_type.add(name="EchoResponse")
    for number, name in enumerate(("text", "user_id", "peer", "note"), start=1):
        field = response.field.add(name=name, number=number)
        field.type, field.label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_OPTIONAL
    service = file.service.add(name="EchoService")
    for name, (up, down, access, callers, deadline_ms) in _KINDS.items():
        method = service.method.add(name=name, client_streaming=up, server_streaming=down)
        method.input_type, method.output_type = f".{PACKAGE}.EchoRequest", f".{PACKAGE}.EchoResponse"
        _annotate(method.options, access, callers, deadline_ms)
    unfit = {"OpenService": options_pb2.ACCESS_UNSPECIFIED, "LonelyService": options_pb2.ACCESS_INTERNAL}
    for name, access in unfit.items():
        odd = file.service.add(name=name).method.add(name="Public")
        odd.input_type, odd.output_type = f".{PACKAGE}.EchoRequest", f".{PACKAGE}.EchoResponse"
        _annotate(odd.options, access, (), 0)
    descriptor_pool.Default().Add(file)


def _annotate(
    options: MethodOptions, access: options_pb2.Access.ValueType, callers: tuple[str, ...], deadline_ms: int
) -> None:
    if access:
        options.Extensions[options_pb2.access] = access
    options.Extensions[options_pb2.callers].extend(callers)
    if deadline_ms:
        options.Extensions[options_pb2.deadline_ms] = deadline_ms


_describe()
EchoRequest: Any = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.EchoRequest"))
EchoResponse: Any = GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.EchoResponse"))

_FORMS = {
    (False, False): (grpc.unary_unary_rpc_method_handler, "unary_unary"),
    (False, True): (grpc.unary_stream_rpc_method_handler, "unary_stream"),
    (True, False): (grpc.stream_unary_rpc_method_handler, "stream_unary"),
    (True, True): (grpc.stream_stream_rpc_method_handler, "stream_stream"),
}


class EchoStub:
    """What a generated stub would be."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        for name, (up, down, *_) in _KINDS.items():
            make = getattr(channel, _FORMS[up, down][1])
            stub = make(
                f"/{SERVICE}/{name}",
                request_serializer=EchoRequest.SerializeToString,
                response_deserializer=EchoResponse.FromString,
                _registered_method=True,
            )
            setattr(self, name, stub)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def add_echo(servicer: Any, server: Any, *, service: str = SERVICE, methods: tuple[str, ...] = tuple(_KINDS)) -> None:
    """Register the servicer as generated code does."""
    handlers: dict[str, Any] = {
        name: _FORMS[_KINDS[name][:2]][0](
            getattr(servicer, name),
            request_deserializer=EchoRequest.FromString,
            response_serializer=EchoResponse.SerializeToString,
        )
        for name in methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_registered_method_handlers(service, handlers)


def add_open(servicer: Any, server: Any) -> None:
    """Register a service whose method has no access option."""
    add_echo(servicer, server, service=f"{PACKAGE}.OpenService", methods=("Public",))


def add_lonely(servicer: Any, server: Any) -> None:
    """Register a service whose internal method names no callers."""
    add_echo(servicer, server, service=f"{PACKAGE}.LonelyService", methods=("Public",))


class Echo:
    """Answers with what it was told, and behaves as `behaviour` says.

    `ended` collects how its streams and slow calls came to an end.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.shared = EchoResponse(text="shared")
        self.seen: list[Any] = []

    async def Public(self, request: Any, context: Any) -> Any:
        """Answer one request."""
        self.seen.append(request)
        await self._behave(request, context)
        if request.behaviour == "shared":
            return self.shared
        call = current_call()
        user_id = call.identity.user_id if call.identity else ""
        note = call.idempotency.request_hash if call.idempotency else ""
        return EchoResponse(text=request.text, user_id=user_id, peer=call.peer or "", note=note)

    User = Admin = Internal = Quick = Public

    async def Down(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Answer one request with each of its letters, then behave."""
        try:
            for letter in request.text:
                yield EchoResponse(text=letter)
            await self._behave(request, context)
        finally:
            self.ended.put_nowait("down")

    async def Up(self, requests: AsyncIterator[Any], context: Any) -> Any:
        """Answer many requests with all their texts, behaving at each."""
        texts = []
        try:
            async for request in requests:
                await self._behave(request, context)
                texts.append(request.text)
                if request.behaviour == "enough":
                    break
        finally:
            self.ended.put_nowait("up")
        return EchoResponse(text=",".join(texts), note=getattr(current_call().request, "text", ""))

    async def Both(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """Answer each request."""
        async for request in requests:
            await self._behave(request, context)
            yield EchoResponse(text=request.text)

    async def _behave(self, request: Any, context: Any) -> None:
        if request.behaviour == "missing":
            raise NotFound("no such echo", echo_id="7")
        if request.behaviour == "rule":
            raise BusinessRule
        if request.behaviour == "crash":
            raise ZeroDivisionError("the password is hunter2")
        if request.behaviour == "inner-cancel":
            raise asyncio.CancelledError
        if request.behaviour == "metadata":
            await context.send_initial_metadata((("first", "1"), ("first-bin", b"\x00\xff")))
            context.set_trailing_metadata((("last", "2"),))
        if request.behaviour == "sleep":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ended.put_nowait("cancelled")
                raise
