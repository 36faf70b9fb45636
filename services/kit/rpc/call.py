"""One call as the server sees it, the same over a socket and inside the process."""

import ipaddress
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote

import grpc.aio
from google.protobuf.message import Message

from services.kit.rpc.method import Method

ServicerContext = grpc.aio.ServicerContext[Any, Any]

TRUST_DOMAIN: Final = "spiffe://cadenza/"
DEFAULT_LOCALE: Final = "zh-CN"
DEFAULT_PLATFORM: Final = "web"

_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?P<trace>(?!0{32})[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_PLATFORM = re.compile(r"[a-z0-9]{1,16}")
_LONGEST_LANGUAGE_LIST = 16
_LONGEST_AGENT = 256


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts: what a verified access token says."""

    user_id: str
    session_id: str
    roles: frozenset[str]
    token_id: str


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The client's name for one wish, and the fingerprint of what was wished."""

    key: str
    request_hash: str  # sha256 in hex of the request without its request_id


class Call:
    """One running call.

    `request` is the request of a unary call and the first message of a client stream, None
    until that message has been read; `idempotency` follows `request`. `checks` run on every
    incoming message in order, and may raise.
    """

    __slots__ = (
        "checks",
        "context",
        "deadline",
        "idempotency",
        "identity",
        "metadata",
        "method",
        "peer",
        "request",
        "trace_id",
    )

    def __init__(self, method: Method, context: ServicerContext, request: Message | None) -> None:
        """Read the call's metadata and the caller's certificate."""
        self.method = method
        self.context = context
        self.request = request
        self.metadata: Mapping[str, str] = _text_metadata(context)
        self.trace_id = trace_id_of(self.metadata)
        self.peer = peer_name(context)
        self.identity: Identity | None = None
        self.idempotency: IdempotencyKey | None = None
        self.deadline: float | None = None  # in the event loop's time
        self.checks: list[Callable[[Message], None]] = []

    def receive(self, message: Message) -> None:
        """Run the checks on one incoming message and keep the first of a stream."""
        if self.request is None:
            self.request = message
        for check in self.checks:
            check(message)

    @property
    def platform(self) -> str:
        """Return the client's platform; `web` when it did not say or said nonsense."""
        return _platform(self.metadata.get("x-platform", ""))

    @property
    def locale(self) -> str:
        """Return `zh-CN` or `en`, whichever of the two the client prefers."""
        return locale_of(self.metadata.get("accept-language", ""))

    @property
    def client_ip(self) -> str:
        """Return the address of the person's device, or an empty text when it is not known.

        The `x-client-ip` entry counts only when a service of the mesh sent it: anybody on the
        edge port could claim any address.
        """
        if self.peer is not None:
            return self.metadata.get("x-client-ip", "")
        return _address_of(self.context.peer())

    @property
    def client_agent(self) -> str:
        """Return what the person's program calls itself, at most 256 characters; empty when it does not say.

        A service of the mesh says it in `x-client-agent`, any other client in `user-agent`.
        """
        name = "user-agent" if self.peer is None else "x-client-agent"
        return self.metadata.get(name, "")[:_LONGEST_AGENT]


_current: ContextVar[Call | None] = ContextVar("cadenza_call", default=None)


class Around:
    """A concern around one call: what happens before the handler, and after it whichever way it ends.

    A class and not a generator: six async generators a call cost more than all they do.
    """

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    async def __aenter__(self) -> None:
        """Act before the handler; raising keeps it from running."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Act after the handler; its error goes on outwards unless another one is raised."""


def current_call() -> Call:
    """Return the call this code answers; RuntimeError outside a handler."""
    call = _current.get()
    if call is None:
        msg = "no call is being answered here"
        raise RuntimeError(msg)
    return call


def call_or_none() -> Call | None:
    """Return the call this code answers, or None in a worker, a test or at start-up."""
    return _current.get()


def enter_call(call: Call) -> Token[Call | None]:
    """Make the call the current one until `leave_call`."""
    return _current.set(call)


def leave_call(token: Token[Call | None]) -> None:
    """Undo `enter_call`."""
    _current.reset(token)


def trace_id_of(metadata: Mapping[str, str]) -> str:
    """Return the trace id that came along, from `x-trace-id` or `traceparent`, or a new one."""
    given = metadata.get("x-trace-id", "")
    if _TRACE_ID.fullmatch(given):
        return given
    parent = _TRACEPARENT.fullmatch(metadata.get("traceparent", ""))
    return parent["trace"] if parent else os.urandom(16).hex()


# Clients are many, and what they write in these is the same few lines.
@lru_cache(maxsize=1024)
def _platform(given: str) -> str:
    return given if _PLATFORM.fullmatch(given) else DEFAULT_PLATFORM


@lru_cache(maxsize=1024)
def locale_of(accept_language: str) -> str:
    """Return `zh-CN` or `en` from an Accept-Language list; RFC 9110 section 12.5.4."""
    best, best_weight = DEFAULT_LOCALE, 0.0
    for entry in accept_language.split(",")[:_LONGEST_LANGUAGE_LIST]:
        tag, _, weight_text = entry.strip().lower().partition(";q=")
        try:
            weight = float(weight_text) if weight_text else 1.0
        except ValueError:
            continue
        language = tag.partition("-")[0]
        locale = {"zh": "zh-CN", "en": "en"}.get(language)
        if locale and weight > best_weight:
            best, best_weight = locale, weight
    return best


def peer_name(context: ServicerContext) -> str | None:
    """Return the calling service from its certificate's `spiffe://cadenza/<name>`, else None."""
    properties: Mapping[str, Iterable[bytes]] = context.auth_context()
    for uri in properties.get("peer_spiffe_id", ()):
        name = _service_of(uri)
        if name is not None:
            return name
    return None


@lru_cache(maxsize=64)
def _service_of(uri: bytes) -> str | None:
    text = uri.decode("utf-8", "replace")
    return text.removeprefix(TRUST_DOMAIN) if text.startswith(TRUST_DOMAIN) else None


def is_secured(context: ServicerContext) -> bool:
    """Return whether the caller had to show a certificate."""
    return b"ssl" in context.auth_context().get("transport_security_type", ())


def _text_metadata(context: ServicerContext) -> dict[str, str]:
    """Return the text entries; of a repeated key the first, so that none can be overlaid."""
    entries: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            entries.setdefault(key, value)
    return entries


def _address_of(peer: str) -> str:
    """Return the address in a peer text such as `ipv4:10.0.0.7:4711` or `ipv6:[::1]:4711`."""
    family, _, rest = unquote(peer).partition(":")
    if family not in {"ipv4", "ipv6"}:
        return ""
    text = rest.rpartition(":")[0].strip("[]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
