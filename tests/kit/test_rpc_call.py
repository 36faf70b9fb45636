"""What the interceptors read from a call: limits of time, language, platform, addresses, keys, records."""

from collections.abc import Mapping
from typing import Any

import grpc.aio
import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.kit import telemetry
from services.kit.errors import ParamInvalid
from services.kit.rpc.call import Call, _address_of, current_call, locale_of, trace_id_of
from services.kit.rpc.deadlines import allowed_s
from services.kit.rpc.idempotency import request_hash
from services.kit.rpc.method import method_of
from services.kit.rpc.validation import check
from tests.kit.echo_service import SERVICE, EchoRequest, EchoStub
from tests.kit.rpc_layouts import bearer, local_layout


class _Context:
    """As much of a servicer context as a Call reads."""

    def __init__(
        self,
        remaining: float | None = None,
        metadata: Mapping[str, str] | None = None,
        peer: str = "",
        spiffe: str = "",
    ) -> None:
        self._remaining, self._metadata, self._peer, self._spiffe = remaining, metadata or {}, peer, spiffe

    def time_remaining(self) -> float | None:
        return self._remaining

    def invocation_metadata(self) -> Any:
        return tuple(self._metadata.items())

    def auth_context(self) -> Any:
        return {"peer_spiffe_id": [self._spiffe.encode()]} if self._spiffe else {}

    def peer(self) -> str:
        return self._peer


def _call(name: str = "Public", **facts: Any) -> Call:
    return Call(method_of(SERVICE, name), _Context(**facts), None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "remaining", "allowed"),
    [
        ("Public", None, 10.0),
        ("Public", 60.0, 10.0),
        ("Public", 5.0, 4.98),
        ("Public", 0.1, 0.08),
        ("Quick", None, 0.3),
        ("Quick", 0.25, 0.23),
        ("Down", None, None),
        ("Down", 3600.0, 3599.98),
        ("Up", None, None),
    ],
)
def test_the_stricter_limit_holds_less_the_way_back(
    method: str, remaining: float | None, allowed: float | None
) -> None:
    """20 ms come off the caller's deadline; the method's own limit, or 10 s for unary ones, holds as well."""
    assert allowed_s(_call(method, remaining=remaining)) == pytest.approx(allowed)


@pytest.mark.parametrize(
    ("accept", "locale"),
    [
        ("", "zh-CN"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("zh-TW", "zh-CN"),
        ("fr, en;q=0.3, zh;q=0.2", "en"),
        ("en;q=0.1, zh;q=0.8", "zh-CN"),
        ("en;q=0", "zh-CN"),
        ("en;q=much", "zh-CN"),
        ("fr", "zh-CN"),
        (",".join(["fr"] * 5000 + ["en"]), "zh-CN"),
    ],
)
def test_the_language_is_one_of_two(accept: str, locale: str) -> None:
    """The preferred of Chinese and English is chosen, Chinese by default, from a list of any length."""
    assert locale_of(accept) == locale


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"x-trace-id": "ab" * 16}, "ab" * 16),
        ({"traceparent": f"00-{'cd' * 16}-00f067aa0ba902b7-01"}, "cd" * 16),
        ({"x-trace-id": "ab" * 16, "traceparent": f"00-{'cd' * 16}-00f067aa0ba902b7-01"}, "ab" * 16),
        ({"x-trace-id": "0" * 32}, None),
        ({"x-trace-id": "ab" * 16 + '"\n'}, None),
        ({"x-trace-id": "AB" * 16}, None),
        ({"traceparent": "00-junk"}, None),
        ({}, None),
    ],
)
def test_a_sound_trace_id_is_kept_and_any_other_replaced(metadata: dict[str, str], expected: str | None) -> None:
    """Only 32 hex digits that are not all zero go into the logs as they came."""
    trace_id = trace_id_of(metadata)
    assert len(trace_id) == 32
    assert int(trace_id, 16)
    if expected:
        assert trace_id == expected
    else:
        assert trace_id != trace_id_of(metadata)


@pytest.mark.parametrize(
    ("given", "platform"), [("ios", "ios"), ("", "web"), ("X" * 99, "web"), ("<script>", "web"), ("wxmp", "wxmp")]
)
def test_a_platform_is_a_short_word(given: str, platform: str) -> None:
    """Nonsense counts as the default and never reaches a log or a row."""
    assert _call(metadata={"x-platform": given}).platform == platform


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:203.0.113.9:4711", "203.0.113.9"),
        ("ipv6:[2001:db8::1]:4711", "2001:db8::1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("unix:", ""),
        ("local:gateway", ""),
        ("ipv4:nonsense:1", ""),
    ],
)
def test_the_address_of_a_connection_is_read(peer: str, address: str) -> None:
    """The text gRPC gives for a peer becomes an address, or nothing."""
    assert _address_of(peer) == address


def test_only_a_service_may_name_a_persons_address() -> None:
    """An edge client that claims an address is known by the one it really has."""
    claim = {"x-client-ip": "198.51.100.1"}
    edge = _call(metadata=claim, peer="ipv4:203.0.113.9:4711")
    gateway = _call(metadata=claim, peer="ipv4:127.0.0.1:1", spiffe="spiffe://cadenza/gateway")
    assert (edge.client_ip, gateway.client_ip) == ("203.0.113.9", "198.51.100.1")


@pytest.mark.parametrize(
    ("spiffe", "peer"),
    [
        ("spiffe://cadenza/wallet", "wallet"),
        ("spiffe://else/wallet", None),
        ("https://cadenza/wallet", None),
        ("", None),
    ],
)
def test_a_peer_is_known_by_its_spiffe_id(spiffe: str, peer: str | None) -> None:
    """Only an identity of our own trust domain names a service."""
    assert _call(spiffe=spiffe).peer == peer


def test_outside_a_handler_there_is_no_call() -> None:
    """Asking for the call at start-up is a mistake in the code."""
    with pytest.raises(RuntimeError):
        current_call()


def test_the_fingerprint_leaves_the_key_out() -> None:
    """The same wish under two keys has one fingerprint, another wish has another."""
    one, same, other = (EchoRequest(request_id=key, text=text) for key, text in (("a", "x"), ("b", "x"), ("a", "y")))
    assert request_hash(one) == request_hash(same) != request_hash(other)
    assert one.request_id == "a", "the request itself is left as it was"
    assert len(request_hash(one)) == 64


async def test_a_handler_gets_the_key_of_its_request() -> None:
    """A call with a request_id carries its fingerprint, one without carries none."""
    async with local_layout() as layout:
        stub: Any = EchoStub(layout.channel())
        request = EchoRequest(request_id="wish-1", text="x")
        assert (await stub.Public(request, timeout=5)).note == request_hash(request)
        assert (await stub.Public(EchoRequest(text="x"), timeout=5)).note == ""


def test_validation_names_nested_fields() -> None:
    """A rule broken inside a list of messages is told with its whole path."""
    with pytest.raises(ParamInvalid) as caught:
        check(EchoRequest(children=[{"text": "ok"}, {"tags": ["long", "s"]}]))
    assert [(each.field, each.rule) for each in caught.value.violations] == [("children[1].tags[1]", "string.min_len")]
    assert caught.value.metadata == {"field": "children[1].tags[1]"}


async def test_each_call_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """One line and one count per call: method, code, milliseconds, user and peer; server faults as errors."""
    caplog.set_level("INFO")
    async with local_layout() as layout:
        stub: Any = EchoStub(layout.channel())
        before = {code: _count("User", code) for code in ("OK", "UNAUTHENTICATED", "INTERNAL")}
        await stub.User(EchoRequest(), metadata=bearer(layout.issuer.token()), timeout=5)
        for request in (
            stub.User(EchoRequest()),
            stub.User(EchoRequest(behaviour="crash"), metadata=bearer(layout.issuer.token())),
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await request
    lines = [vars(record) for record in caplog.records if record.getMessage() == "rpc"]
    assert [(line["code"], line["user_id"], line["peer"], line["levelname"]) for line in lines] == [
        ("OK", "user-1", "gateway", "INFO"),
        ("UNAUTHENTICATED", "", "gateway", "INFO"),
        ("INTERNAL", "user-1", "gateway", "ERROR"),
    ]
    assert all(line["method"] == f"/{SERVICE}/User" and line["ms"] >= 0 for line in lines)
    assert {code: _count("User", code) - count for code, count in before.items()} == dict.fromkeys(before, 1)


def _count(method: str, code: str) -> float:
    for family in text_string_to_metric_families(generate_latest(telemetry.REGISTRY).decode()):
        for sample in family.samples:
            if sample.name == "cadenza_rpc_calls_total" and (sample.labels["method"], sample.labels["code"]) == (
                method,
                code,
            ):
                return float(sample.value)
    return 0.0
