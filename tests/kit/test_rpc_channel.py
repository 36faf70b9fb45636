"""Channels to the other services: addresses, rotation, and what a nested call takes along."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from services.kit.config import ConfigError, ProcessConfig
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import concerns
from services.kit.rpc.call import call_or_none
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.channel import MtlsPeers, Peers, _target
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.outgoing import on_behalf
from services.kit.rpc.serve import Server
from services.mesh.ca import Authority
from tests.kit.echo_service import Echo, EchoRequest, EchoResponse, EchoStub, add_echo
from tests.kit.rpc_layouts import Issuer, bearer, echo_application, socket_layout


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("127.0.0.1:50052", "ipv4:127.0.0.1:50052"),
        ("10.0.0.1:1, 10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1"),
        ("[::1]:50052", "ipv6:[::1]:50052"),
        ("wallet.mesh:50052", "dns:///wallet.mesh:50052"),
    ],
)
def test_an_address_setting_becomes_a_target(address: str, target: str) -> None:
    """One name, one address or several addresses can be called."""
    assert _target("wallet", address) == target


@pytest.mark.parametrize("address", ["", "wallet:1,media:2", "127.0.0.1:1,wallet:2", "127.0.0.1:1,[::1]:2"])
def test_an_unusable_address_setting_is_refused(address: str) -> None:
    """What gRPC cannot balance over is an error of the configuration."""
    with pytest.raises(ConfigError, match="WALLET_ADDRESS"):
        _target("wallet", address)


async def test_calls_go_to_all_addresses_in_turn(tmp_path: Path) -> None:
    """Two instances of a service share the calls of one channel."""
    tls = tmp_path / "tls"
    Authority(tmp_path / "authority", tls).ensure()
    echoes = [Echo(), Echo()]
    servers = [
        Server(
            [echo_application(echo)],
            concerns("test", verifier=Issuer().verifier()),
            address="127.0.0.1:0",
            credentials=Certificates(tls, "wallet").server_credentials(),
        )
        for echo in echoes
    ]
    for server in servers:
        await server.start()
    addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    peers = MtlsPeers(ProcessConfig(tls_directory=tls, wallet_address=addresses), "gateway")
    stub: Any = EchoStub(peers.channel("wallet"))
    while not all(echo.seen for echo in echoes):
        await stub.Public(EchoRequest(), timeout=5, wait_for_ready=True)
    for echo in echoes:
        echo.seen.clear()
    for _ in range(10):
        await stub.Public(EchoRequest(), timeout=5)
    assert [len(echo.seen) for echo in echoes] == [5, 5]
    await peers.close()
    for server in servers:
        await server.stop(0.1)


async def test_new_certificates_are_used_without_a_restart(tmp_path: Path) -> None:
    """After the authority itself was replaced, twice, the same stub and the same server still talk.

    The second replacement drops the first authority, so neither side can have kept its old certificate.
    """
    async with socket_layout(tmp_path) as layout:
        channel = layout.channel()
        stub: Any = EchoStub(channel)
        assert (await stub.Internal(EchoRequest(text="1"), timeout=5)).peer == "gateway"
        authority = Authority(tmp_path / "authority", tmp_path / "tls")
        for _ in range(2):
            authority.rotate_authority()
            channel._looked = float("-inf")  # the next call looks at the files
            answer = await stub.Internal(EchoRequest(text="2"), timeout=5, wait_for_ready=True)
            assert answer.peer == "gateway"
        assert channel._generation == 3


async def test_no_call_fails_while_certificates_change(tmp_path: Path) -> None:
    """Eight callers go on asking while keys and the authority itself are replaced, again and again: all is answered."""
    async with socket_layout(tmp_path) as layout:
        channel = layout.channel()
        stub: Any = EchoStub(channel)
        await stub.Internal(EchoRequest(text="1"), timeout=10)
        authority = Authority(tmp_path / "authority", tmp_path / "tls")
        answered, over = asyncio.Semaphore(0), asyncio.Event()

        async def ask() -> None:
            while not over.is_set():
                await stub.Internal(EchoRequest(text="x"), timeout=10)
                answered.release()

        async def change() -> None:
            for number in range(6):
                generation = channel._generation
                await asyncio.to_thread(authority.rotate if number % 2 else authority.rotate_authority)
                channel._looked = float("-inf")  # the next call looks at the files
                while channel._generation == generation:
                    await answered.acquire()
            over.set()

        await asyncio.gather(change(), *(ask() for _ in range(8)))
        assert channel._generation >= 7


async def test_a_running_stream_outlives_a_rotation(tmp_path: Path) -> None:
    """A stream opened before the certificates changed goes on over its old connection."""
    async with socket_layout(tmp_path) as layout:
        channel = layout.channel()
        stub: Any = EchoStub(channel)
        stream = stub.Both(timeout=20)
        await stream.write(EchoRequest(text="a"))
        assert (await stream.read()).text == "a"
        Authority(tmp_path / "authority", tmp_path / "tls").rotate()
        channel._looked = float("-inf")
        await stub.Public(EchoRequest(), timeout=5, wait_for_ready=True)
        await stream.write(EchoRequest(text="b"))
        assert (await stream.read()).text == "b"
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


def test_half_written_certificates_are_not_picked_up(tmp_path: Path) -> None:
    """While a file is missing, or the key is not the certificate's, the old pair stays; then the new one is used."""
    tls = tmp_path / "tls"
    authority = Authority(tmp_path / "authority", tls)
    authority.ensure()
    certificates = Certificates(tls, "wallet")
    old = certificates.bundle
    key = (tls / "wallet-key.pem").read_bytes()
    (tls / "wallet-key.pem").unlink()
    assert not certificates.refresh()
    assert certificates.bundle is old
    (tls / "wallet-key.pem").write_bytes(key)
    certificate = (tls / "wallet.pem").read_bytes()
    authority.rotate_authority()
    new = (tls / "wallet.pem").read_bytes()
    (tls / "wallet.pem").write_bytes(certificate)
    assert certificates.refresh()
    assert (certificates.bundle.key, certificates.bundle.certificate) == (old.key, old.certificate)
    assert certificates.bundle.authority != old.authority
    assert not certificates.refresh()
    with pytest.raises(FileNotFoundError, match="no key of this certificate"):
        Certificates(tls, "wallet")
    (tls / "wallet.pem").write_bytes(new)
    assert certificates.refresh()
    assert certificates.bundle.certificate != old.certificate
    assert not certificates.refresh()


class _Relay(Echo):
    """Calls the echo of another application and answers what that one saw."""

    def __init__(self, peers: Peers) -> None:
        super().__init__()
        self._stub: Any = EchoStub(peers.channel("wallet"))

    async def Public(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by its contract
        """Call on, in the person's name if asked to."""
        metadata = on_behalf() if request.behaviour == "on behalf" else ()
        call = self._stub.User if request.behaviour == "on behalf" else self._stub.Public
        return await call(EchoRequest(text=request.text), metadata=metadata, timeout=50)


class _Witness(Echo):
    """Answers with what the call brought along."""

    async def Public(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by its contract
        """Tell trace, platform, language, deadline and identity."""
        call = call_or_none()
        assert call is not None
        left = context.time_remaining()
        facts = (call.trace_id, call.platform, call.locale, call.client_ip, "soon" if left < 5 else "late")
        user_id = call.identity.user_id if call.identity else ""
        return EchoResponse(text="|".join(facts), user_id=user_id, peer=call.peer)

    User = Public


@pytest.fixture
async def relay() -> tuple[Any, Issuer]:
    """Return the stub of media, which calls wallet."""
    mesh, issuer = LocalMesh(), Issuer()
    around = concerns("test", verifier=issuer.verifier())
    mesh.add(Application("wallet", [Registered(add_echo, _Witness())]), around)
    mesh.add(Application("media", [Registered(add_echo, _Relay(mesh.peers("media")))]), around)
    return EchoStub(mesh.peers("gateway").channel("media")), issuer


async def test_a_nested_call_takes_trace_and_deadline_along(relay: tuple[Any, Issuer]) -> None:
    """Trace id, platform, language, the person's address and the rest of the deadline reach the last service."""
    stub, issuer = relay
    given = (
        ("x-trace-id", "cd" * 16),
        ("x-platform", "ios"),
        ("accept-language", "en-GB, zh;q=0.5"),
        ("x-client-ip", "203.0.113.9"),
        *bearer(issuer.token()),
    )
    answer = await stub.Public(EchoRequest(), metadata=given, timeout=2)
    assert answer.text == f"{'cd' * 16}|ios|en|203.0.113.9|soon"
    assert answer.peer == "media"
    assert answer.user_id == "", "a token goes on only when the caller says so"


async def test_a_service_may_act_on_behalf_of_the_person(relay: tuple[Any, Issuer]) -> None:
    """With on_behalf the person's token opens the next service's USER method."""
    stub, issuer = relay
    request = EchoRequest(behaviour="on behalf")
    answer = await stub.Public(request, metadata=bearer(issuer.token()), timeout=2)
    assert answer.user_id == "user-1"


async def test_outside_a_call_nothing_is_taken_along() -> None:
    """A worker's call carries only what it was given."""
    assert on_behalf() == ()
    assert call_or_none() is None
    await asyncio.sleep(0)
