"""Clients that others made: buf curl, Node's grpc-js, grpcio's synchronous channel; buf curl also over plain HTTP."""

import asyncio
import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc_testing  # type: ignore[import-untyped]
import pytest
from google.rpc import error_details_pb2

from cadenza.composer.v1 import job_service_pb2
from cadenza.job.v1 import job_pb2
from services.kit.ids import new_id
from services.mesh.up import RunningMesh
from tests.e2e import npm
from tests.e2e.people import Person, Song
from tests.e2e.sync_client import wait_for_job

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")
NODE_SCRIPT = Path(__file__).with_name("grpc_js_client.cjs")
SERVICES = {
    "cadenza.auth.v1.SessionService",
    "cadenza.auth.v1.UserService",
    "cadenza.composer.v1.JobService",
    "cadenza.composer.v1.LyricsService",
    "cadenza.composer.v1.TrackService",
    "cadenza.media.v1.AssetService",
    "cadenza.share.v1.ShareService",
    "cadenza.wallet.v1.CreditService",
    "grpc.health.v1.Health",
}


@pytest.fixture
def buf_curl(mesh: RunningMesh, tmp_path: Path) -> Any:
    """Run buf curl against the edge, with the schema from reflection alone."""

    async def run(*arguments: str, protocol: str = "grpc") -> subprocess.CompletedProcess[str]:
        # Reflection is a stream both ways, which plain HTTP does not carry: there the schema comes from the files.
        way = ("--http2-prior-knowledge",) if protocol == "grpc" else ("--schema", str(ROOT))
        command = [str(BUF), "curl", "--protocol", protocol, *way, *arguments]
        environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        return await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


def documents(text: str) -> list[Any]:
    """Return the JSON values that stand one after the other in the text."""
    found, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found


async def test_reflection_lists_the_public_services(mesh: RunningMesh, buf_curl: Any) -> None:
    """With buf curl one finds every service and its methods by reflection."""
    url = f"http://{mesh.edge_address}"
    services = (await buf_curl("--list-services", url)).stdout.split()
    methods = (await buf_curl("--list-methods", url)).stdout.split()

    assert set(services) >= SERVICES
    assert "cadenza.composer.v1.TrackService/CreateTrack" in methods


async def test_buf_curl_logs_in_and_watches(mesh: RunningMesh, buf_curl: Any, singer: Person, song: Song) -> None:
    """A unary call and a server stream by reflection give what HTTP gave."""
    edge, mine = f"http://{mesh.edge_address}", f"authorization: Bearer {singer.token}"
    login = {"provider": "web", "provider_id": new_id()}
    opened = await buf_curl("-d", json.dumps(login), f"{edge}/cadenza.auth.v1.SessionService/AnonymousLogin")
    watched = await buf_curl(
        "-H", mine, "-d", json.dumps({"job_id": song.job_id}), f"{edge}/cadenza.composer.v1.JobService/WatchJob"
    )
    messages = documents(watched.stdout)
    told = [each.data["event"]["sequence"] for each in song.events if each.name == "change"]

    assert json.loads(opened.stdout)["isNew"] is True
    assert watched.returncode == 0, watched.stderr
    assert messages[0]["job"]["state"] == "JOB_STATE_COMPLETED"
    assert [int(each["event"]["sequence"]) for each in messages[1:]][-len(told) :] == told
    assert messages[-1]["event"]["final"] is True


async def test_buf_curl_is_told_why(mesh: RunningMesh, buf_curl: Any, singer: Person) -> None:
    """A wrong token and a broken field come with code, reason and field in the details of the status."""
    url = f"http://{mesh.edge_address}/cadenza.composer.v1.TrackService/GetTrack"
    stranger = await buf_curl("-H", "authorization: Bearer nonsense", "-d", '{"track_id": "x"}', url)
    careless = await buf_curl("-H", f"authorization: Bearer {singer.token}", "-d", '{"track_id": "x"}', url)

    assert (stranger.returncode != 0, careless.returncode != 0) == (True, True)
    assert (told(stranger)[0], told(stranger)[1].reason) == ("unauthenticated", "AUTH_REQUIRED")
    code, info, request = told(careless)
    assert (code, info.reason) == ("invalid_argument", "PARAM_INVALID")
    assert [each.field for each in request.field_violations] == ["track_id"]


@pytest.mark.parametrize("protocol", ["grpcweb", "connect"])
async def test_buf_curl_over_plain_http(
    mesh: RunningMesh, buf_curl: Any, singer: Person, song: Song, protocol: str
) -> None:
    """At the gateway's address, by gRPC-Web and by Connect, a call, a stream and a refusal are those of the edge."""
    mine, job = f"authorization: Bearer {singer.token}", json.dumps({"job_id": song.job_id})
    watched = []
    for at, how in ((mesh.base_url, protocol), (f"http://{mesh.edge_address}", "grpc")):
        url = f"{at}/cadenza.composer.v1.JobService/WatchJob"
        watched.append(await buf_curl("-H", mine, "-d", job, url, protocol=how))
    url = f"{mesh.base_url}/cadenza.composer.v1.TrackService/GetTrack"
    careless = await buf_curl("-H", mine, "-d", '{"track_id": "x"}', url, protocol=protocol)
    url = f"{mesh.base_url}/cadenza.wallet.v1.CreditService/GetBalance"
    balance = await buf_curl("-H", mine, "-d", "{}", url, protocol=protocol)

    assert [each.returncode for each in watched] == [0, 0], watched
    assert documents(watched[0].stdout) == documents(watched[1].stdout)
    assert int(json.loads(balance.stdout)["balance"]["availableCredits"]) == (await singer.credits())[0]
    code, info, request = told(careless)
    assert (code, info.reason) == ("invalid_argument", "PARAM_INVALID")
    assert [each.field for each in request.field_violations] == ["track_id"]


def told(
    done: subprocess.CompletedProcess[str],
) -> tuple[str, error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    """Return code and details of what buf curl printed: it shows the details in their wire form."""
    refusal = json.loads(done.stderr)
    packed = {each["type"]: base64.b64decode(each["value"] + "==") for each in refusal["details"]}
    info = error_details_pb2.ErrorInfo.FromString(packed["google.rpc.ErrorInfo"])
    return refusal["code"], info, error_details_pb2.BadRequest.FromString(packed.get("google.rpc.BadRequest", b""))


@pytest.fixture(scope="session")
def grpc_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of modules with Node's gRPC client in it."""
    return npm.install(tmp_path_factory.mktemp("node"), "@grpc/grpc-js@1.14", "@grpc/proto-loader@0.8")


async def test_node_is_served(mesh: RunningMesh, singer: Person, song: Song, grpc_js: Path) -> None:
    """Node's grpc-js logs in, reads a balance, watches a job to its end and is refused with the reason."""
    command = ["node", str(NODE_SCRIPT), mesh.edge_address, str(ROOT / "proto"), song.job_id, singer.token]
    environment = {"NODE_PATH": str(grpc_js), "PATH": str(Path(shutil.which("node") or "").parent)}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert found["new"] is True
    assert found["available"] == 80
    assert found["sequences"] == list(range(found["sequences"][0], found["sequences"][0] + len(found["sequences"])))
    assert found["final"] == "JOB_STATE_COMPLETED"
    assert found["refused"] == {"code": grpc.StatusCode.UNAUTHENTICATED.value[0], "told": True}


async def test_a_synchronous_client_waits_for_its_job(mesh: RunningMesh, singer: Person, song: Song) -> None:
    """The blocking channel of grpcio gets the finished job at the first question."""

    def ask() -> job_pb2.Job:
        with grpc.insecure_channel(mesh.edge_address) as channel:
            time = grpc_testing.strict_real_time()
            return wait_for_job(channel, song.job_id, token=singer.token, patience_s=30, time=time)

    job = await asyncio.to_thread(ask)

    assert (job.job_id, job.state) == (song.job_id, job_pb2.JOB_STATE_COMPLETED)


async def test_the_synchronous_client_asks_again_in_growing_pauses() -> None:
    """By grpcio-testing's clock: an outage and a running job are asked after again, the pauses double up to a limit."""
    descriptor = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]
    method = descriptor.methods_by_name["GetJob"]
    time, channel = _Skipping(1000.0), grpc_testing.channel([descriptor], grpc_testing.strict_fake_time(1000.0))
    waiting = asyncio.create_task(
        asyncio.to_thread(wait_for_job, channel, "job-1", token="t", patience_s=60, time=time)
    )
    running = job_service_pb2.GetJobResponse(job=job_pb2.Job(job_id="job-1", state=job_pb2.JOB_STATE_RUNNING))
    done = job_service_pb2.GetJobResponse(job=job_pb2.Job(job_id="job-1", state=job_pb2.JOB_STATE_FAILED))
    answers = [(None, grpc.StatusCode.UNAVAILABLE), *[(running, grpc.StatusCode.OK)] * 4, (done, grpc.StatusCode.OK)]
    for response, code in answers:
        metadata, request, rpc = await asyncio.to_thread(channel.take_unary_unary, method)
        assert request.job_id == "job-1"
        assert ("authorization", "Bearer t") in {tuple(each) for each in metadata}
        rpc.send_initial_metadata(())
        rpc.terminate(response, (), code, "")
    async with asyncio.timeout(10):
        job = await waiting

    assert job.state == job_pb2.JOB_STATE_FAILED
    assert time.pauses == [0.5, 1.0, 2.0, 4.0, 4.0]


class _Skipping:
    """A clock that is where it was told to sleep to at once."""

    def __init__(self, at: float) -> None:
        self.at = at
        self.pauses: list[float] = []

    def time(self) -> float:
        return self.at

    def sleep_for(self, duration: float) -> None:
        self.pauses.append(duration)
        self.at += duration
