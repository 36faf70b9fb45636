"""Share as its composition root builds it, with a stand-in for Composer that describes tracks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cadenza.composer.v1 import track_service_pb2 as composer
from cadenza.composer.v1 import track_service_pb2_grpc as composer_grpc
from cadenza.share.v1 import share_service_pb2_grpc as share_grpc
from services.kit.errors import NotFound
from services.kit.ids import new_id
from services.kit.rpc.application import Application, Registered
from services.kit.rpc.around import concerns
from services.kit.rpc.local import LocalMesh
from services.share.__main__ import build
from services.share.config import Config
from tests.kit.rpc_layouts import Issuer, bearer


class Tracks(composer_grpc.TrackServiceServicer):
    """Describes the tracks that a test put here, to their owners."""

    def __init__(self) -> None:
        """Begin without tracks."""
        self.owners: dict[str, str] = {}
        self.tracks: dict[str, composer.Track] = {}
        # How many Composer was asked to describe in lists.
        self.described = 0

    async def ResolveTrack(  # noqa: N802  # gRPC's spelling
        self, request: Any, context: Any
    ) -> composer.ResolveTrackResponse:
        """Return the track, or say that it is not there."""
        if self.owners.get(request.track_id) != request.user_id:
            raise NotFound("no such track")
        return composer.ResolveTrackResponse(track=self.tracks[request.track_id], user_id=request.user_id)

    async def ResolveTracks(  # noqa: N802  # gRPC's spelling
        self, request: Any, context: Any
    ) -> composer.ResolveTracksResponse:
        """Return those of the tracks that are there and hold the words."""
        answer = composer.ResolveTracksResponse()
        self.described += len(request.track_ids)
        for track_id in request.track_ids:
            track = self.tracks.get(track_id)
            if track is not None and track_id in self.owners and request.query in track.title + track.lyrics:
                answer.tracks.add(track=track, user_id=self.owners[track_id])
        return answer


@dataclass
class Sharing:
    """A running Share and the way to be somebody who uses it."""

    mesh: LocalMesh
    issuer: Issuer
    tracks: Tracks
    user_id: str = field(default_factory=new_id)

    def metadata(self, user_id: str = "") -> tuple[tuple[str, str], ...]:
        """Return the metadata of a person's call."""
        return bearer(self.issuer.token(sub=user_id or self.user_id))

    def stub(self, caller: str = "gateway") -> "share_grpc.ShareServiceAsyncStub":
        """Return Share's stub as this caller."""
        return share_grpc.ShareServiceStub(self.mesh.peers(caller).channel("share"))

    def add_track(self, state: composer.Track.State.ValueType = composer.Track.STATE_READY) -> composer.Track:
        """Return a track of the person with variants A and B, B recommended."""
        variants = [
            composer.Variant(
                variant_id=new_id(),
                label=label,
                audio_url=f"http://127.0.0.1/{label}.mp3",
                duration_ms=75_000,
                style=f"style {label}",
                key="D major",
                tempo_bpm=96.5,
                peaks=[1, 100],
                chords=["D", "A7"],
                recommended=label == "B",
            )
            for label in "AB"
        ]
        track = composer.Track(
            track_id=new_id(),
            title="夏天的风",
            state=state,
            lyrics="la la",
            provider="offline",
            cover_url="http://127.0.0.1/cover.png",
            variants=variants if state == composer.Track.STATE_READY else [],
        )
        self.tracks.owners[track.track_id] = self.user_id
        self.tracks.tracks[track.track_id] = track
        return track


@pytest.fixture
async def sharing(database_url: str, redis_url: str) -> AsyncIterator[Sharing]:
    """Yield a running Share."""
    config = Config(database_url=database_url, redis_url=redis_url, public_url="https://cadenza.example/")
    mesh, issuer = LocalMesh(), Issuer()
    tracks = Tracks()  # type: ignore[abstract]  # the methods that Share calls
    around = concerns("share", verifier=issuer.verifier())
    async with build(config, mesh.peers("share")) as application:
        mesh.add(application, around)
        add = composer_grpc.add_TrackServiceServicer_to_server
        mesh.add(Application("composer", [Registered(add, tracks)]), around)
        yield Sharing(mesh, issuer, tracks)
        await mesh.drain(1.0)
