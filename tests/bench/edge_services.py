"""What all edges of the benchmark stand in front of: three methods of a few lines behind the standard concerns.

Tokens are real ones, their keys come from a tiny Auth, ended sessions from a real Valkey, spans go to a real receiver.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from cryptography.hazmat.primitives import serialization

from cadenza.auth.v1 import session_service_pb2, session_service_pb2_grpc
from cadenza.composer.v1 import (
    job_service_pb2,
    job_service_pb2_grpc,
    track_service_pb2,
    track_service_pb2_grpc,
)
from cadenza.job.v1 import job_pb2
from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc
from services.kit import log, tracing
from services.kit.config import ProcessConfig
from services.kit.redis import connect
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import Concern, concerns
from services.kit.rpc.identity import standard_verifier
from services.kit.rpc.local import LocalMesh
from services.kit.rpc.serve import Server
from tests.bench.codec import listed
from tests.kit.rpc_layouts import KEY_ID, Issuer

USERS = 16


def page_of_tracks() -> track_service_pb2.ListTracksResponse:
    """Return twenty tracks as a list shows them: 6 KB on the wire."""
    page = listed()
    for track in page.tracks:
        track.ClearField("variants")
    return page


def balance() -> credit_service_pb2.GetBalanceResponse:
    """Return the small answer."""
    return credit_service_pb2.GetBalanceResponse(balance=credit_service_pb2.Balance(available_credits=1200))


def created(title: str) -> track_service_pb2.CreateTrackResponse:
    """Return the answer to a wish for a song."""
    track_id = "019a8f00-0000-7000-8000-000000000001"
    track = track_service_pb2.Track(track_id=track_id, title=title, state=track_service_pb2.Track.STATE_GENERATING)
    return track_service_pb2.CreateTrackResponse(
        track=track, track_id=track_id, job_id="019a8f00-0000-7000-8000-000000000002"
    )


class Credits(credit_service_pb2_grpc.CreditServiceServicer):
    """A wallet of one balance."""

    async def GetBalance(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        """Return the balance."""
        return balance()


class _Tracks(track_service_pb2_grpc.TrackServiceServicer):
    def __init__(self) -> None:
        self._page = page_of_tracks()

    async def ListTracks(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        return self._page

    async def CreateTrack(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        return created(request.title)


class _Jobs(job_service_pb2_grpc.JobServiceServicer):
    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802  # named by the contract
        yield job_service_pb2.WatchJobResponse(sequence=1, job=job_pb2.Job(job_id=request.job_id, sequence=1))
        await asyncio.Event().wait()


class _Sessions(session_service_pb2_grpc.SessionServiceServicer):
    def __init__(self, public_key: bytes) -> None:
        self._key = public_key

    async def GetKeySet(self, request: Any, context: Any) -> Any:  # noqa: N802  # named by the contract
        key = session_service_pb2.GetKeySetResponse.Key(key_id=KEY_ID, public_key=self._key)
        return session_service_pb2.GetKeySetResponse(keys=[key])


def tokens() -> tuple[list[str], str]:
    """Return the token of each user, and the public key in hex that proves them."""
    issuer = Issuer()
    made = [issuer.token(sub=f"user-{n}", sid=f"session-{n}", jti=f"token-{n}", exp=2**33) for n in range(USERS)]
    raw = issuer.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return made, raw.hex()


@dataclass(frozen=True)
class Standing:
    """The services in this process, and the concerns that they have."""

    mesh: LocalMesh
    applications: list[Application]
    around: tuple[Concern, ...]


@asynccontextmanager
async def standing(said: dict[str, Any], name: str) -> AsyncIterator[Standing]:
    """Set the services up with everything on, as `said` describes Valkey, the receiver of spans and the key."""
    log.configure(name, "warning")
    stop = tracing.start(name, ProcessConfig(otlp_endpoint=said["otlp"]))
    redis, mesh = connect(said["redis"]), LocalMesh()
    around = concerns(name, verifier=standard_verifier(mesh.peers("edge"), redis))
    sessions = _made(_Sessions, bytes.fromhex(said["key"]))
    applications = [
        _application("auth", session_service_pb2_grpc.add_SessionServiceServicer_to_server, sessions),
        _application("wallet", credit_service_pb2_grpc.add_CreditServiceServicer_to_server, _made(Credits)),
        Application(
            "composer",
            [
                Registered(track_service_pb2_grpc.add_TrackServiceServicer_to_server, _made(_Tracks)),
                Registered(job_service_pb2_grpc.add_JobServiceServicer_to_server, _made(_Jobs)),
            ],
        ),
    ]
    for application in applications:
        mesh.add(application, around)
    try:
        yield Standing(mesh, applications, around)
    finally:
        await redis.aclose()
        stop()


async def grpc_server(stands: Standing, credentials: grpc.ServerCredentials | None) -> Server:
    """Return the services behind a port of this machine, in plaintext without credentials."""
    server = Server(stands.applications, stands.around, address="127.0.0.1:0", credentials=credentials)
    await server.start()
    return server


def _application(name: str, add: Any, servicer: object) -> Application:
    return Application(name, [Registered(add, servicer)])


def _made(cls: Any, *given: Any) -> Any:
    """Return a servicer that implements only a part of its contract; the rest is UNIMPLEMENTED."""
    return cls(*given)
