"""Server reflection, v1alpha and v1: a developer with grpcurl needs no proto files.

grpcio-reflection has v1alpha only. Version 1 is the same service under another package name,
message by message, so the same servicer answers both.
"""

from collections.abc import Iterable
from typing import Final

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as V1ALPHA
from grpc_reflection.v1alpha.reflection import aio as reflection_aio

V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


def add_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Register both versions, listing the named services and the two themselves."""
    _describe_v1()
    servicer = reflection_aio.ReflectionServicer([*services, V1ALPHA, V1])
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in (V1ALPHA, V1):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {_METHOD: handler}),))
        server.add_registered_method_handlers(name, {_METHOD: handler})


def _describe_v1() -> None:
    """Put the description of version 1 into the pool, made from that of v1alpha."""
    pool = descriptor_pool.Default()
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name = file.name.replace("v1alpha", "v1")
    file.package = file.package.replace("v1alpha", "v1")
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
            method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        pool.Add(file)
