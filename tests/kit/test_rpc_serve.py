"""A server starts only on a sound contract, tells its health, reflects itself, drains and stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from services.kit.rpc.around import concerns
from services.kit.rpc.certificates import Certificates
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.method import ContractError
from services.kit.rpc.serve import Application, Registered, Server, background
from services.mesh.ca import Authority
from tests.kit.echo_service import SERVICE, Echo, EchoRequest, EchoStub, add_lonely, add_open
from tests.kit.rpc_layouts import Issuer, echo_application

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _health(channel: grpc.aio.Channel) -> Any:
    """Return the health stub, whose type stubs name no methods."""
    return health_pb2_grpc.HealthStub(channel)


@asynccontextmanager
async def _edge(application: Application) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
    """Serve in plaintext without internal methods, as the edge does."""
    around = concerns("edge", verifier=Issuer().verifier())
    server = Server([application], around, address="127.0.0.1:0", credentials=None, public_only=True)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield server, channel
    await server.stop(0.2)


@pytest.mark.parametrize(("add", "problem"), [(add_open, "access"), (add_lonely, "callers")])
def test_an_unfit_contract_is_not_served(add: Any, problem: str) -> None:
    """A method without access, or an internal one without callers, stops the start in both layouts."""
    application = Application("odd", [Registered(add, Echo())])
    around = concerns("odd", verifier=Issuer().verifier())
    with pytest.raises(ContractError, match=problem):
        Server([application], around, address="127.0.0.1:0", credentials=None)
    with pytest.raises(ContractError, match=problem):
        LocalMesh().add(application, around)


async def test_the_edge_has_no_internal_methods() -> None:
    """On a public port an internal method does not exist, so there is nothing to probe."""
    async with _edge(echo_application(Echo())) as (_, channel):
        stub: Any = EchoStub(channel)
        assert (await stub.Public(EchoRequest(text="hi"), timeout=5)).text == "hi"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Internal(EchoRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_health_follows_the_pings() -> None:
    """A failing dependency makes service and server NOT_SERVING, a hanging one too, and both recover."""
    state = {"fail": False}

    async def ping() -> None:
        if state["fail"]:
            raise ConnectionError

    application = echo_application(Echo())
    application.pings["database"] = ping
    async with _edge(application) as (server, channel):
        stub = _health(channel)

        async def statuses() -> list[int]:
            await server.health.refresh()
            requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", SERVICE)]
            return [(await stub.Check(request, timeout=5)).status for request in requests]

        assert await statuses() == [SERVING, SERVING]
        state["fail"] = True
        assert await statuses() == [NOT_SERVING, NOT_SERVING]
        assert server.health.failing() == {"wallet/database": "ConnectionError"}
        state["fail"] = False
        assert await statuses() == [SERVING, SERVING]


async def test_a_hanging_ping_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dependency that does not answer at all is given up after the ping's time limit."""
    monkeypatch.setattr("services.kit.rpc.health.PING_S", 0.05)
    application = echo_application(Echo())
    application.pings["redis"] = asyncio.Event().wait  # type: ignore[assignment]
    async with _edge(application) as (server, _):
        assert server.health.failing() == {"wallet/redis": "TimeoutError"}


async def test_an_unknown_service_has_no_health() -> None:
    """Health of a name nobody serves is NOT_FOUND, as the standard asks."""
    async with _edge(echo_application(Echo())) as (_, channel):
        request = health_pb2.HealthCheckRequest(service="cadenza.nobody.v1.Nobody")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _health(channel).Check(request, timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_inside_the_process_is_pinged_when_asked() -> None:
    """The mesh inside one process answers the standard health check per application, from fresh pings."""
    state = {"fail": True}

    async def ping() -> None:
        if state["fail"]:
            raise ConnectionError

    application, mesh = echo_application(Echo()), LocalMesh()
    application.pings["database"] = ping
    mesh.add(application, concerns("test", verifier=Issuer().verifier()))
    stub = _health(mesh.peers("gateway").channel("wallet"))
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=5)
    assert answer.status == NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_reflection_versions_list_and_describe(version: str) -> None:
    """Grpcurl and its like find the services, and the file that describes one, under either version."""
    async with _edge(echo_application(Echo())) as (_, channel):
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        symbols = (SERVICE, "grpc.reflection.v1.ServerReflection")
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services="*"),
            *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol) for symbol in symbols),
        ]
        listed, *described = [answer async for answer in call(iter(asked), timeout=5)]
    names = {each.name for each in listed.list_services_response.service}
    standard = {f"grpc.reflection.{each}.ServerReflection" for each in ("v1", "v1alpha")}
    assert names == {SERVICE, "grpc.health.v1.Health", *standard}
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in described)


async def test_a_drained_server_finishes_what_runs() -> None:
    """Stopping says NOT_SERVING first and lets a running call answer."""
    echo = Echo()
    application = echo_application(echo)
    async with _edge(application) as (server, channel):
        watch = _health(channel).Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await watch.read()).status == SERVING
        stub: Any = EchoStub(channel)
        call = stub.Both(timeout=20)
        await call.write(EchoRequest(text="a"))
        assert (await call.read()).text == "a"
        stopping = asyncio.create_task(server.stop(3))
        assert (await watch.read()).status == NOT_SERVING
        await call.write(EchoRequest(text="b"))
        assert (await call.read()).text == "b"
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        watch.cancel()
        await asyncio.wait_for(stopping, 5)


async def test_a_stream_that_goes_on_is_cut_after_the_grace() -> None:
    """A stream nobody ends does not keep the server from stopping; its handler is cancelled."""
    echo = Echo()
    async with _edge(echo_application(echo)) as (server, channel):
        stub: Any = EchoStub(channel)
        call = stub.Down(EchoRequest(text="a", behaviour="sleep"))
        await call.read()
        await asyncio.wait_for(server.stop(0.2), 5)
        assert await asyncio.wait_for(echo.ended.get(), 5) == "cancelled"


async def test_a_taken_port_is_an_error() -> None:
    """Two servers never share a port by accident."""
    async with _edge(echo_application(Echo())) as (server, _):
        around = concerns("edge", verifier=Issuer().verifier())
        second = Server([echo_application(Echo())], around, address=f"127.0.0.1:{server.port}", credentials=None)
        with pytest.raises(RuntimeError):
            await second.start()


async def test_processes_may_share_a_port_on_purpose() -> None:
    """With reuse_port two servers listen on one port."""
    around = concerns("edge", verifier=Issuer().verifier())
    first = Server([echo_application(Echo())], around, address="127.0.0.1:0", credentials=None, reuse_port=True)
    await first.start()
    address = f"127.0.0.1:{first.port}"
    second = Server([echo_application(Echo())], around, address=address, credentials=None, reuse_port=True)
    await second.start()
    assert second.port == first.port
    await first.stop(0.1)
    await second.stop(0.1)


@pytest.mark.parametrize("credentials", ["none", "stranger"])
async def test_a_client_without_our_certificate_gets_no_connection(tmp_path: Path, credentials: str) -> None:
    """The mutual TLS port talks to nobody whose certificate our authority did not sign."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        Authority(folder / "authority", folder / "tls").ensure()
    server = Server(
        [echo_application(Echo())],
        concerns("test", verifier=Issuer().verifier()),
        address="127.0.0.1:0",
        credentials=Certificates(ours / "tls", "wallet").server_credentials(),
    )
    await server.start()
    stranger = Certificates(theirs / "tls", "gateway").bundle
    authority = Certificates(ours / "tls", "gateway").bundle.authority
    channel_credentials = (
        grpc.ssl_channel_credentials(authority)
        if credentials == "none"
        else grpc.ssl_channel_credentials(authority, stranger.key, stranger.certificate)
    )
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", channel_credentials, options) as channel:
        stub: Any = EchoStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Public(EchoRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.stop(0.1)


async def test_background_loops_are_started_again_and_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that fails runs again; leaving the block cancels it where it stands."""
    monkeypatch.setattr("services.kit.rpc.application._FIRST_PAUSE_S", 0.01)
    starts: asyncio.Queue[str] = asyncio.Queue()

    async def loop() -> None:
        starts.put_nowait("started")
        if starts.qsize() < 3:
            raise ConnectionError
        try:
            await asyncio.Event().wait()
        finally:
            starts.put_nowait("stopped")

    async with background([Application("x", [], background=[loop])]):
        while starts.qsize() < 3:  # noqa: ASYNC110  # the queue is the fact
            await asyncio.sleep(0.01)
    assert [starts.get_nowait() for _ in range(4)] == ["started"] * 3 + ["stopped"]
