"""JSON over HTTP to a gRPC call and back, for every unary method, by its annotation alone."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import grpc.aio
from aiohttp import web
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from gateway.accept import check_acceptable
from gateway.bodies import read_json_body, refuse_body
from gateway.caller import CALLER, metadata_of
from gateway.codec import Codec
from gateway.config import Config
from gateway.envelope import JSON, success_body
from gateway.fields import PARAMETER, Wanted, keep, read_fields
from gateway.masks import given_paths
from gateway.query import fill_from_query, set_variable
from gateway.routes import Binding
from gateway.shapes import is_map, is_well_known, message_of, shape_of
from gateway.upstream import upstream_error
from services.kit import crash
from services.kit.crash import Act
from services.kit.errors import ParamInvalid
from services.kit.rpc.channel import Peers

IDEMPOTENCY_HEADER: Final = "Idempotency-Key"
DEADLINE_HEADER: Final = "X-Timeout-Ms"
JOB_PATH: Final = "/api/v1/jobs/"  # where what a request has begun is asked for

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
_LONGEST_KEY: Final = 128
_MOST_TIMEOUT_DIGITS: Final = 8


class Transcoder:
    """Turns requests into messages, calls, and answers."""

    def __init__(self, codec: Codec, peers: Peers, config: Config) -> None:
        """Use the codec, and call through the channels of `peers`."""
        self.codec = codec
        self._peers = peers
        self._config = config
        self._pause = str(-(-config.poll_interval_ms // 1000))

    @property
    def longest_s(self) -> float:
        """Seconds a call may take whose contract names no deadline."""
        return self._config.call_deadline_s

    def stub(self, binding: Binding) -> Any:
        """Return the callable of the binding's method, ready to be kept: channels reconnect by themselves."""
        method, channel = binding.method, self._peers.channel(binding.service)
        kind = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
        }[method.client_streaming, method.server_streaming]
        return kind(
            method.path,
            request_serializer=method.request_type.SerializeToString,
            response_deserializer=method.response_type.FromString,
        )

    def unary(self, binding: Binding) -> "Unary":
        """Return what answers a unary method."""
        return Unary(self, binding, longest_s=binding.method.deadline_s or self.longest_s, pause=self._pause)

    async def read(
        self, http: web.Request, binding: Binding, variables: Mapping[str, str], *, skip: frozenset[str] = frozenset()
    ) -> Any:
        """Return the request message made of body, path, query and headers.

        `variables` are those of the path as they were sent; `skip` names query parameters that are not the method's.
        """
        raw = await self._read_body(http, binding)
        request = self._decoded(raw, binding)
        self.fill(request, binding, variables, http.query if http.query_string else {}, skip=skip)
        if binding.mask and raw:
            mask = getattr(request, binding.mask)
            if not mask.paths:
                mask.paths.extend(given_paths(raw, shape_of(getattr(request, binding.body))))
        if binding.method.has_request_id:
            set_request_id(request, http)
        return request

    def fill(
        self,
        request: Any,
        binding: Binding,
        variables: Mapping[str, str],
        query: Mapping[str, str],
        *,
        skip: frozenset[str] = frozenset(),
    ) -> None:
        """Set the fields that the address names; ParamInvalid for what it cannot mean.

        `variables` are as they were sent, `query` is decoded, and `skip` names parameters that are not the method's.
        """
        for variable in binding.variables:
            set_variable(request, variable, variables[variable.name])
        pairs = [(key, text) for key, text in query.items() if key != PARAMETER and key not in skip]
        if pairs:
            fill_from_query(request, pairs, taken=binding.taken)

    async def _read_body(self, http: web.Request, binding: Binding) -> bytes:
        if not binding.body:
            refuse_body(http)
            return b""
        limit = binding.max_body_bytes or self._config.body_limit_bytes
        return await read_json_body(http, limit=limit, deadline_s=self._config.body_deadline_s)

    def _decoded(self, raw: bytes, binding: Binding) -> Any:
        """Return the request with what the body gives; ParamInvalid names fields by their place in the request."""
        cls: type[Any] = binding.method.request_type
        if not raw:
            return cls()
        if binding.body == "*":
            return self.codec.decode(raw, cls)
        request = cls()
        part = getattr(request, binding.body)
        try:
            part.CopyFrom(self.codec.decode(raw, type(part)))
        except ParamInvalid as error:
            raise ParamInvalid.all_of(
                tuple(replace(each, field=_within(binding.body, each.field)) for each in error.violations)
            ) from error
        return request


class Answer(NamedTuple):
    """What a unary method answers."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Unary:
    """One route of a unary method: what the request says, the call, the answer."""

    def __init__(self, transcoder: Transcoder, binding: Binding, *, longest_s: float, pause: str) -> None:
        """Compile what the method reads and answers; `pause` is the seconds after which to ask for a begun job."""
        method = binding.method
        self.binding = binding
        self._transcoder = transcoder
        self._call = transcoder.stub(binding)
        self._longest_s = longest_s
        self._pause = pause
        self._described = _answer_of(binding)
        self._begins = binding.verb == "POST" and "job_id" in shape_of(method.response_type).fields_by_name
        transcoder.codec.prepare(method.request_type, method.response_type)

    async def handle(self, http: web.Request) -> web.Response:
        """Answer aiohttp."""
        status, body, headers = await self.answer(http, http.match_info)
        return web.Response(body=body, status=status, content_type=JSON, headers=headers)

    async def answer(self, http: web.Request, variables: Mapping[str, str]) -> Answer:
        """Return the answer to a request with these variables in its path, as they were sent."""
        check_acceptable(http, JSON)
        wanted = read_wanted(http, self._described)
        metadata = metadata_of(http)
        request = await self._transcoder.read(http, self.binding, variables)
        timeout = read_deadline(http, self._longest_s)
        crash.before(Act.GATEWAY_CALL)
        try:
            response = await self._call(request, timeout=timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise upstream_error(error, service=self.binding.service) from error
        crash.after(Act.GATEWAY_CALL)
        data = self._transcoder.codec.encode(response)
        if self.binding.response_body:
            data = data.get(self.binding.response_body)
        headers: tuple[tuple[str, str], ...] = ()
        if self._begins and response.job_id:
            headers = (("Location", JOB_PATH + response.job_id), ("Retry-After", self._pause))
        return Answer(self.binding.http_status, success_body(keep(data, wanted), http[CALLER]), headers)


def read_wanted(http: web.Request, answer: Descriptor | None) -> Wanted:
    """Return the keys the client asked for, empty for all of them; ParamInvalid when the answer has no keys."""
    text = http.query.get(PARAMETER) if http.query_string else None
    if text is None:
        return {}
    if answer is None:
        raise ParamInvalid.of(PARAMETER, "cannot choose from an answer that is no object")
    return read_fields(text, answer)


def _answer_of(binding: Binding) -> Descriptor | None:
    """Return the type of the answer's data, None when it is a single value."""
    whole = shape_of(binding.method.response_type)
    if not binding.response_body:
        return whole
    field = whole.fields_by_name[binding.response_body]
    inside = field.type == FieldDescriptor.TYPE_MESSAGE and not is_map(field) and not is_well_known(message_of(field))
    return message_of(field) if inside else None


def _within(body: str, field: str) -> str:
    return field if field == "body" else f"{body}.{field}"


def set_request_id(request: Any, http: web.Request) -> None:
    """Take the Idempotency-Key as the request id; ParamInvalid when the body names another one."""
    key = read_idempotency_key(http)
    if key:
        if request.request_id and request.request_id != key:
            raise ParamInvalid.of("request_id", f"differs from the {IDEMPOTENCY_HEADER} header", "conflict")
        request.request_id = key


def read_idempotency_key(http: web.Request) -> str:
    """Return the key, with or without the quotes of a structured string; nothing when there is none."""
    given = http.headers.get(IDEMPOTENCY_HEADER)
    if given is None:
        return ""
    quoted = _QUOTED.fullmatch(given.strip())
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given.strip()
    if not key or len(key) > _LONGEST_KEY or not key.isprintable():
        raise ParamInvalid.of(IDEMPOTENCY_HEADER, f"must be 1 to {_LONGEST_KEY} printable characters", "header")
    return key


def read_deadline(http: web.Request, longest_s: float) -> float:
    """Return the seconds the call may take: what the contract allows, or less when the client asks for less."""
    given = http.headers.get(DEADLINE_HEADER)
    if given is None:
        return longest_s
    if not given.isascii() or not given.isdigit() or len(given) > _MOST_TIMEOUT_DIGITS or not int(given):
        raise ParamInvalid.of(DEADLINE_HEADER, "must be a number of milliseconds above 0", "header")
    return min(longest_s, int(given) / 1000)
