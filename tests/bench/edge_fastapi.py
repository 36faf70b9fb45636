"""A gateway as a team would write it with FastAPI: pydantic models, handlers by hand, grpc.aio to the services."""

from typing import Annotated, Any

import grpc.aio
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, Field

from cadenza.composer.v1 import track_service_pb2, track_service_pb2_grpc
from cadenza.wallet.v1 import credit_service_pb2, credit_service_pb2_grpc

_DEADLINE_S = 10.0
_STATUSES = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.INVALID_ARGUMENT: 400}


class Balance(BaseModel):
    """A balance."""

    available_credits: int
    held_credits: int


class BalanceAnswer(BaseModel):
    """A balance, wrapped."""

    balance: Balance


class Track(BaseModel):
    """A track as a list shows it."""

    track_id: str
    title: str
    state: str
    job_id: str
    asset_id: str
    style: str
    mood: str
    cover_url: str
    provider: str
    create_time: str
    update_time: str
    cost_credits: int
    duration_s: int
    seed: int


class TracksAnswer(BaseModel):
    """A page of tracks."""

    tracks: list[Track]
    next_page_token: str


class Wish(BaseModel):
    """A wish for a song."""

    asset_id: str = ""
    title: str = Field("", max_length=128)
    style: str = Field("", max_length=64)
    mood: str = Field("", max_length=64)
    lyrics: str = Field("", max_length=10_000)
    voice_gender: str = "unspecified"
    duration_s: int = Field(0, ge=0, le=180)
    seed: int = Field(0, ge=0)
    request_id: str = Field("", max_length=128)


class CreatedAnswer(BaseModel):
    """A song that is on its way."""

    track: Track
    track_id: str
    job_id: str


def application(address: str, credentials: grpc.ChannelCredentials | None = None) -> Any:
    """Return the gateway in front of the services at the address, which are spoken to in plaintext or as a peer."""
    app = FastAPI()
    stubs: dict[str, Any] = {}

    def stub(kind: Any) -> Any:
        # One channel for the process, made inside its event loop.
        if "channel" not in stubs:
            named = [("grpc.ssl_target_name_override", "wallet")]
            secure = credentials and grpc.aio.secure_channel(address, credentials, options=named)
            stubs["channel"] = secure or grpc.aio.insecure_channel(address)
        return stubs.setdefault(kind.__name__, kind(stubs["channel"]))

    async def ask(call: Any, request: Any, authorization: str) -> Any:
        try:
            return await call(request, timeout=_DEADLINE_S, metadata=(("authorization", authorization),))
        except grpc.aio.AioRpcError as error:
            raise HTTPException(_STATUSES.get(error.code(), 502), error.details()) from error

    @app.get("/api/v1/wallet/balance")
    async def read_balance(authorization: Annotated[str, Header()]) -> BalanceAnswer:
        credits_ = stub(credit_service_pb2_grpc.CreditServiceStub)
        got = await ask(credits_.GetBalance, credit_service_pb2.GetBalanceRequest(), authorization)
        found = got.balance
        return BalanceAnswer(
            balance=Balance(available_credits=found.available_credits, held_credits=found.held_credits)
        )

    @app.get("/api/v1/tracks")
    async def list_tracks(
        authorization: Annotated[str, Header()], page_size: int = 20, page_token: str = ""
    ) -> TracksAnswer:
        tracks = stub(track_service_pb2_grpc.TrackServiceStub)
        request = track_service_pb2.ListTracksRequest(page_size=page_size, page_token=page_token)
        got = await ask(tracks.ListTracks, request, authorization)
        return TracksAnswer(tracks=[_track(each) for each in got.tracks], next_page_token=got.next_page_token)

    @app.post("/api/v1/tracks", status_code=201)
    async def create_track(wish: Wish, authorization: Annotated[str, Header()]) -> CreatedAnswer:
        tracks = stub(track_service_pb2_grpc.TrackServiceStub)
        fields = wish.model_dump()
        fields["voice_gender"] = track_service_pb2.VoiceGender.Value(f"VOICE_GENDER_{wish.voice_gender.upper()}")
        got = await ask(tracks.CreateTrack, track_service_pb2.CreateTrackRequest(**fields), authorization)
        return CreatedAnswer(track=_track(got.track), track_id=got.track_id, job_id=got.job_id)

    return app


def _track(track: track_service_pb2.Track) -> Track:
    return Track(
        track_id=track.track_id,
        title=track.title,
        state=track_service_pb2.Track.State.Name(track.state).removeprefix("STATE_").lower(),
        job_id=track.job_id,
        asset_id=track.asset_id,
        style=track.style,
        mood=track.mood,
        cover_url=track.cover_url,
        provider=track.provider,
        create_time=track.create_time.ToJsonString(),
        update_time=track.update_time.ToJsonString(),
        cost_credits=track.cost_credits,
        duration_s=track.duration_s,
        seed=track.seed,
    )
