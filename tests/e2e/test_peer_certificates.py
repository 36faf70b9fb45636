"""Who may call whom: every internal method of every service against every certificate that there could be."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cadenza.wallet.v1.credit_service_pb2 import ListPricesRequest
from cadenza.wallet.v1.credit_service_pb2_grpc import CreditServiceStub
from gateway.routes import contract_methods
from services.kit.rpc.method import Method, method_of
from services.mesh.ca import NAMES
from services.mesh.up import RunningMesh

_DAY = dt.timedelta(days=1)
_WAIT_S = 10.0


class Signer:
    """Makes certificates that the mesh's authority, or another one, has signed."""

    def __init__(self, certificate: x509.Certificate, key: Any) -> None:
        """Sign with this authority."""
        self.certificate = certificate
        self._key = key

    def leaf(self, uri: str, *, from_day: int = -1, to_day: int = 1) -> tuple[bytes, bytes]:
        """Return key and certificate of a caller with this name, valid for these days from now."""
        return self._leaf(ec.generate_private_key(ec.SECP256R1()), uri, from_day=from_day, to_day=to_day)

    def _leaf(self, key: ec.EllipticCurvePrivateKey, uri: str, *, from_day: int, to_day: int) -> tuple[bytes, bytes]:
        now = dt.datetime.now(dt.UTC)  # noqa: TID251  # TLS has its clock
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + from_day * _DAY)
            .not_valid_after(now + to_day * _DAY)
            .add_extension(names, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private, made.public_bytes(serialization.Encoding.PEM)


def _stranger() -> Signer:
    """Return an authority that nobody trusts, with the name of ours."""
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)  # noqa: TID251  # TLS has its clock
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Cadenza private authority")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Signer(made, key)


def _self_signed(uri: str) -> tuple[bytes, bytes]:
    """Return a pair whose certificate is signed with its own key."""
    stranger = _stranger()
    return stranger._leaf(stranger._key, uri, from_day=-1, to_day=1)


@pytest.fixture(scope="module")
async def ours(mesh: RunningMesh) -> Signer:
    """The mesh's own authority."""
    folder = mesh.home.authority
    certificate, key = [await asyncio.to_thread((folder / name).read_bytes) for name in ("ca.pem", "ca-key.pem")]
    loaded = serialization.load_pem_private_key(key, password=None)
    return Signer(x509.load_pem_x509_certificate(certificate), loaded)


@pytest.fixture
def dial(mesh: RunningMesh) -> Callable[..., Any]:
    """Open a channel to the mesh's inner port with a key and certificate, or with none."""
    tls = Path(mesh.environment["CADENZA_TLS"])

    @asynccontextmanager
    async def open_channel(*pair: bytes) -> AsyncIterator[grpc.aio.Channel]:
        root = await asyncio.to_thread((tls / "ca.pem").read_bytes)
        credentials = grpc.ssl_channel_credentials(root, *pair)
        options = (("grpc.ssl_target_name_override", "mesh"), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.secure_channel(f"127.0.0.1:{mesh.home.ports.mesh}", credentials, options) as channel:
            yield channel

    return open_channel


def _internal_methods() -> list[Method]:
    methods = [method_of(each.containing_service.full_name, each.name) for each in contract_methods()]
    return [each for each in methods if each.internal]


async def _ended(channel: grpc.aio.Channel, method: Method) -> tuple[grpc.StatusCode, str]:
    """Return how a call with an empty request ends, and why."""
    kinds: dict[tuple[bool, bool], Any] = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
    }
    stub: Any = kinds[method.client_streaming, method.server_streaming](
        method.path,
        request_serializer=method.request_type.SerializeToString,
        response_deserializer=method.response_type.FromString,
    )
    request = method.request_type()
    call = stub(iter([request]) if method.client_streaming else request, timeout=_WAIT_S)
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


async def test_internal_methods_answer_the_callers_they_name_and_nobody_else(
    ours: Signer, dial: Callable[..., Any]
) -> None:
    """Each internal method lets in exactly the certificates that its contract names; a name nobody has lets in none."""
    methods, wrong = _internal_methods(), []
    for name in (*NAMES, "stranger", "wallet/x", "WALLET"):
        async with dial(*ours.leaf(f"spiffe://cadenza/{name}")) as channel:
            for method in methods:
                denied = await _ended(channel, method) == (grpc.StatusCode.PERMISSION_DENIED, "the method is internal")
                if denied == (name in method.callers):
                    wrong.append((name, method.path))
    assert len(methods) > 20
    assert wrong == []


@pytest.mark.parametrize("kind", ["none", "self-signed", "another authority", "expired", "not yet valid"])
async def test_a_caller_without_a_good_certificate_is_not_answered(
    ours: Signer, dial: Callable[..., Any], kind: str
) -> None:
    """No certificate, one signed by itself or by a stranger, and one out of its time end before any method."""
    good = "spiffe://cadenza/composer"
    pairs: dict[str, tuple[bytes, ...]] = {
        "none": (),
        "self-signed": _self_signed(good),
        "another authority": _stranger().leaf(good),
        "expired": ours.leaf(good, from_day=-3, to_day=-1),
        "not yet valid": ours.leaf(good, from_day=1, to_day=3),
    }
    async with dial(*pairs[kind]) as channel:
        for method in _internal_methods()[:3]:
            assert (await _ended(channel, method))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("uri", ["spiffe://elsewhere/wallet", "https://cadenza/wallet"])
async def test_a_certificate_that_names_no_service_opens_nothing(
    ours: Signer, dial: Callable[..., Any], uri: str
) -> None:
    """Signed by our authority, but with a name of another house: public methods are refused as well."""
    async with dial(*ours.leaf(uri)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await CreditServiceStub(channel).ListPrices(ListPricesRequest(), timeout=_WAIT_S)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
