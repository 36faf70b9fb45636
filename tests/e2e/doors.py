"""Somebody at the doors with a client of one kind: the same calls over HTTP or gRPC, and what they are answered."""

import re
from dataclasses import dataclass, field
from typing import Any

import grpc.aio
from aiohttp import ClientSession
from google.protobuf import json_format
from google.protobuf.message import Message

from cadenza.error.v1 import reason_pb2
from gateway.routes import Binding, public_bindings
from services.kit.rpc.errors import from_rpc
from tests.auth.outside import Outside
from tests.e2e.people import until

BINDINGS: dict[str, Binding] = {}
for _each in public_bindings():
    if not _each.additional:
        BINDINGS[f"{_each.method.service.rpartition('.')[2]}.{_each.method.name}"] = _each
"""The route of each method, by names such as `UserService.GetMe`."""


@dataclass
class Visitor:
    """Somebody whose client says what platform it is; `edge` is the gRPC port, and None for a client of HTTP."""

    base_url: str
    http: ClientSession
    platform: str
    edge: grpc.aio.Channel | None
    carriers: Outside
    token: str = ""
    seen: list[str] = field(default_factory=list)

    async def ask(self, name: str, path: str = "", **request: Any) -> tuple[int, dict[str, Any]]:
        """Return public code and data of a call such as `UserService.GetMe`; the code is 0 when it succeeds.

        `path` is another spelling of its route, which only HTTP has.
        """
        found = await (self._over_http(name, path, request) if self.edge is None else self._over_grpc(name, request))
        self.seen.append(f"{name} {found[0]}")
        return found

    async def get(self, name: str, path: str = "", **request: Any) -> dict[str, Any]:
        """Return the data of a call that succeeds."""
        code, data = await self.ask(name, path, **request)
        assert code == 0, (name, code, data)
        return data

    async def code(self, target: str, purpose: str) -> str:
        """Return the code that a target gets."""
        got = self.carriers.post.codes if "@" in target else self.carriers.sms.codes
        before = len(got(target))
        await self.get("CodeService.SendCode", target=target, purpose=purpose)

        async def codes() -> list[str]:
            return got(target)[before:]

        return (await until(codes, bool))[0]

    async def _over_http(self, name: str, path: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        binding, body = BINDINGS[name], dict(request)
        url = re.sub(r"{(\w+)}", lambda found: str(body.pop(found[1])), path or binding.path)
        headers = {"X-Platform": self.platform} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        given: dict[str, Any] = {"json": body} if binding.body else {"params": body}
        async with self.http.request(binding.verb, self.base_url + url, headers=headers, **given) as answer:
            found = await answer.json()
        return found["code"], found["data"] if "data" in found else found["details"]

    async def _over_grpc(self, name: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        assert self.edge is not None
        method = BINDINGS[name].method
        call = self.edge.unary_unary(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )
        metadata = [("x-platform", self.platform), ("accept-language", "zh-CN")]
        metadata += [("authorization", f"Bearer {self.token}")] if self.token else []
        message = json_format.ParseDict(_spelled(method.request_type, request), method.request_type())
        try:
            answer = await call(message, metadata=metadata, timeout=20)
        except grpc.aio.AioRpcError as error:
            refusal = from_rpc(error)
            return reason_pb2.Reason.Value(f"REASON_{refusal.reason}"), {"metadata": refusal.metadata}
        shown = json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return 0, shown


def _spelled(kind: type[Message], request: dict[str, Any]) -> dict[str, Any]:
    """Return a request with its enums in the spelling of protobuf's own JSON."""
    fields = kind.DESCRIPTOR.fields_by_name
    enums = {name: found for name in request if (found := fields[name].enum_type) is not None}
    return request | {
        name: next(value for value in enum.values_by_name if value.endswith(f"_{request[name].upper()}"))
        for name, enum in enums.items()
    }
