"""The track service of the contract."""

from dataclasses import replace
from typing import Any

from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.composer.v1.track_service_pb2_grpc import TrackServiceServicer
from services.composer.domain.track import Track, Wishes
from services.composer.domain.tune import TuneChange
from services.composer.rpc.messages import job_message, track_message, tune_message
from services.composer.usecases.address import Addresses
from services.composer.usecases.track import Caller, Tracks
from services.kit.clock import Clock
from services.kit.rpc.call import current_call
from services.kit.rpc.identity import current_user


class TrackRpc(TrackServiceServicer):
    """Answers the calls of cadenza.composer.v1.TrackService."""

    def __init__(self, tracks: Tracks, addresses: Addresses, clock: Clock) -> None:
        self._tracks = tracks
        self._addresses = addresses
        self._clock = clock

    async def _message(self, track: Track) -> pb.Track:
        return track_message(track, await self._addresses.of([track]))

    async def CreateTrack(self, request: pb.CreateTrackRequest, context: Any) -> pb.CreateTrackResponse:
        """Start a song."""
        call = current_call()
        wishes = Wishes.cleaned(
            asset_id=request.asset_id,
            title=request.title,
            style=request.style,
            mood=request.mood,
            lyrics=request.lyrics,
            voice_gender=pb.VoiceGender.Name(request.voice_gender).removeprefix("VOICE_GENDER_").lower(),
            duration_s=request.duration_s,
            seed=request.seed,
            lyrics_version_id=request.lyrics_version_id,
            source_track_id=request.source_track_id,
            tune_change=_tune_change(request.tune_change) if request.HasField("tune_change") else None,
            today=self._clock(),
        )
        wishes = replace(wishes, price_version=request.price_version)
        caller = Caller(current_user().user_id, call.platform, call.trace_id)
        track, job = await self._tracks.create(caller, wishes, call.idempotency)
        return pb.CreateTrackResponse(
            track=await self._message(track), job=job_message(job), track_id=track.track_id, job_id=job.job_id
        )

    async def RegenerateTrack(self, request: pb.RegenerateTrackRequest, context: Any) -> pb.RegenerateTrackResponse:
        """Start another song of what a track was made of."""
        call = current_call()
        track, job = await self._tracks.regenerate(
            Caller(current_user().user_id, call.platform, call.trace_id),
            request.track_id.lower(),
            call.idempotency,
            seed=request.seed,
            price_version=request.price_version,
        )
        return pb.RegenerateTrackResponse(track=await self._message(track), job=job_message(job))

    async def GetTrack(self, request: pb.GetTrackRequest, context: Any) -> pb.GetTrackResponse:
        """Return one of the caller's tracks."""
        track = await self._tracks.get(current_user().user_id, request.track_id)
        return pb.GetTrackResponse(track=await self._message(track))

    async def GetTune(self, request: pb.GetTuneRequest, context: Any) -> pb.GetTuneResponse:
        """Return the tune of one of the caller's tracks."""
        track, recipe = await self._tracks.tune(current_user().user_id, request.track_id)
        return tune_message(track, recipe)

    async def ListTracks(self, request: pb.ListTracksRequest, context: Any) -> pb.ListTracksResponse:
        """Return a page of the caller's tracks."""
        found, token = await self._tracks.page(
            current_user().user_id,
            page_size=request.page_size,
            page_token=request.page_token,
            words=request.query,
            trashed=request.trashed,
        )
        addresses = await self._addresses.of(found)
        messages = [track_message(each, addresses, whole=False) for each in found]
        return pb.ListTracksResponse(tracks=messages, next_page_token=token)

    async def UpdateTrack(self, request: pb.UpdateTrackRequest, context: Any) -> pb.UpdateTrackResponse:
        """Rename a track."""
        track = await self._tracks.update(
            current_user().user_id,
            request.track_id,
            title=request.title if request.HasField("title") else None,
            lyrics=request.lyrics if request.HasField("lyrics") else None,
        )
        return pb.UpdateTrackResponse(track=await self._message(track))

    async def DeleteTrack(self, request: pb.DeleteTrackRequest, context: Any) -> pb.DeleteTrackResponse:
        """Put a track away."""
        await self._tracks.delete(current_user().user_id, request.track_id)
        return pb.DeleteTrackResponse()

    async def RestoreTrack(self, request: pb.RestoreTrackRequest, context: Any) -> pb.RestoreTrackResponse:
        """Take a track back."""
        track = await self._tracks.restore(current_user().user_id, request.track_id.lower())
        return pb.RestoreTrackResponse(track=await self._message(track))

    async def ChooseVariant(self, request: pb.ChooseVariantRequest, context: Any) -> pb.ChooseVariantResponse:
        """Make a variant the track's own sound."""
        track = await self._tracks.choose(current_user().user_id, request.track_id, request.variant_id)
        return pb.ChooseVariantResponse(track=await self._message(track))

    async def ResolveTrack(self, request: pb.ResolveTrackRequest, context: Any) -> pb.ResolveTrackResponse:
        """Describe a track to another service."""
        track = await self._tracks.shown(request.user_id, request.track_id)
        return pb.ResolveTrackResponse(track=await self._message(track), user_id=track.user_id)

    async def ResolveTracks(self, request: pb.ResolveTracksRequest, context: Any) -> pb.ResolveTracksResponse:
        """Describe tracks to another service."""
        found = await self._tracks.many_shown([track_id.lower() for track_id in request.track_ids], words=request.query)
        addresses = await self._addresses.of(found)
        answer = pb.ResolveTracksResponse()
        for track in found:
            answer.tracks.add(track=track_message(track, addresses, whole=False), user_id=track.user_id)
        return answer

    async def CheckAssetUse(self, request: pb.CheckAssetUseRequest, context: Any) -> pb.CheckAssetUseResponse:
        """Say whether a song in the making reads the asset."""
        return pb.CheckAssetUseResponse(in_use=await self._tracks.asset_in_use(request.asset_id))


def _tune_change(message: pb.TuneChange) -> TuneChange:
    """Return the change that a caller asks for; raises ParamInvalid."""
    return TuneChange.checked(
        notes=[(note.start_ms, note.end_ms, note.pitch) for note in message.notes],
        segment_start_ms=message.segment_start_ms,
        segment_end_ms=message.segment_end_ms,
        transpose_semitones=message.transpose_semitones,
        tempo_bpm=message.tempo_bpm,
        key=message.key,
        beats_per_bar=message.beats_per_bar,
    )
