"""Turns tracks, jobs and their events into messages of the contract."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.composer.v1 import standing_pb2
from cadenza.composer.v1 import sung_line_pb2 as sung_pb
from cadenza.composer.v1 import take_service_pb2 as take_pb
from cadenza.composer.v1 import track_service_pb2 as pb
from cadenza.error.v1.reason_pb2 import Reason
from cadenza.job.v1 import job_pb2
from services.composer.domain.moderation import Standing
from services.composer.domain.take import CURVE_STEP_MS, Hearing, curve_cents
from services.composer.domain.track import Recipe, Track, Variant
from services.composer.usecases.address import Address
from services.kit.errors import ParamInvalid
from services.kit.jobs.job import Job, JobEvent
from services.kit.jobs.states import State

ESTIMATED_TIME_S = 30
"""Usual time of a song from submission to the end, as the older clients are told."""

_NOWHERE = Address("", "", ())


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Return the moment as a message, None for none."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp) -> datetime:
    """Return the moment that a message holds; raises ParamInvalid for one that no calendar has."""
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        raise ParamInvalid.of("start_time", "is no moment") from error


def job_state(state: State) -> job_pb2.JobState.ValueType:
    """Return the state in the words of the contract."""
    return job_pb2.JobState.Value(f"JOB_STATE_{state.value.upper()}")


def job_message(job: Job) -> job_pb2.Job:
    """Return the job as its owner sees it."""
    error = None
    if job.state is State.FAILED:
        name = f"REASON_{job.error_reason}"
        # A reason of another service that this one does not know yet must not make the job unreadable.
        known = job.error_reason if name in Reason.keys() else "UNKNOWN_ERROR"  # noqa: SIM118  # an enum, not a mapping
        error = job_pb2.JobError(
            code=Reason.Value(f"REASON_{known}"),
            reason=known,
            message=job.error_message,
            metadata=job.error_metadata,
        )
    return job_pb2.Job(
        job_id=job.job_id,
        kind=job.kind,
        state=job_state(job.state),
        step=job.step,
        progress_percent=job.progress_percent,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        subject_id=job.subject_id,
        error=error,
        sequence=job.last_sequence,
        create_time=timestamp(job.create_time),
        start_time=timestamp(job.start_time),
        finish_time=timestamp(job.finish_time),
        estimated_time_s=ESTIMATED_TIME_S,
        queue_position=job.place.position if job.place else 0,
        expected_start_time=timestamp(job.place.expected_start_time) if job.place else None,
    )


def event_message(event: JobEvent) -> job_pb2.JobEvent:
    """Return one line of a job's log."""
    return job_pb2.JobEvent(
        sequence=event.sequence,
        event_time=timestamp(event.event_time),
        state=job_state(event.state),
        step=event.step,
        step_progress_percent=event.step_progress_percent,
        progress_percent=event.progress_percent,
        message=event.message,
        final=event.final,
        queue_position=event.place.position if event.place else 0,
        expected_start_time=timestamp(event.place.expected_start_time) if event.place else None,
    )


def _analysis(heard: Mapping[str, Any]) -> pb.Analysis:
    notes = [pb.HeardNote(start_ms=each[0], end_ms=each[1], pitch=each[2]) for each in heard["notes"]]
    return pb.Analysis(**{name: value for name, value in heard.items() if name != "notes"}, notes=notes)


def _variant(variant: Variant, addresses: Mapping[str, Address], *, whole: bool) -> pb.Variant:
    address = addresses.get(variant.asset_id, _NOWHERE)
    return pb.Variant(
        variant_id=variant.variant_id,
        label=variant.label,
        asset_id=variant.asset_id,
        audio_url=address.url,
        download_url=address.download_url,
        duration_ms=variant.duration_ms,
        style=variant.style,
        key=variant.key,
        tempo_bpm=variant.tempo_bpm,
        melody_score=variant.melody_score,
        loudness_lufs=variant.loudness_lufs,
        score=variant.score,
        recommended=variant.recommended,
        peaks=address.peaks,
        chords=variant.chords,
        instruments=variant.instruments,
        remarks=variant.remarks,
        midi_url=addresses.get(variant.midi_asset_id, _NOWHERE).download_url,
        chord_sheet=variant.chord_sheet if whole else "",
        engine=variant.engine,
        lines=[_line(each) for each in variant.lines] if whole else (),
    )


def _line(kept: Sequence[Any]) -> sung_pb.SungLine:
    text, start, end, syllables = kept
    sung = [sung_pb.SungSyllable(text=each[0], start_ms=each[1], end_ms=each[2]) for each in syllables]
    return sung_pb.SungLine(text=text, start_ms=start, end_ms=end, syllables=sung)


def tune_message(track: Track, recipe: Recipe) -> pb.GetTuneResponse:
    """Return the tune of a track that has one: what was heard, and every second value of the curve it was read from."""
    return pb.GetTuneResponse(
        analysis=_analysis(track.analysis) if track.analysis else None,
        f0_cents=curve_cents(recipe.order["analysis"]["f0_hz"]),
        f0_step_ms=CURVE_STEP_MS,
    )


def hearing_message(hearing: Hearing) -> take_pb.HearTakeResponse:
    """Return what was heard in a take as its owner is told."""
    return take_pb.HearTakeResponse(
        refusal=hearing.refusal,
        advice=hearing.advice,
        analysis=_analysis(hearing.analysis) if hearing.analysis else None,
        f0_cents=hearing.f0_cents,
        f0_step_ms=CURVE_STEP_MS,
    )


def standing_message(standing: Standing) -> standing_pb2.Standing.ValueType:
    """Return the standing in the words of the contract."""
    return standing_pb2.Standing.Value(f"STANDING_{standing.value.upper()}")


def track_message(track: Track, addresses: Mapping[str, Address], *, whole: bool = True) -> pb.Track:
    """Return the track as its owner sees it; without *whole* its words, analysis and chord sheets are left out."""
    return pb.Track(
        track_id=track.track_id,
        title=track.title,
        state=pb.Track.State.Value(f"STATE_{track.state.value.upper()}"),
        job_id=track.job_id,
        asset_id=track.asset_id,
        style=track.style,
        mood=track.mood,
        lyrics=track.lyrics if whole else "",
        analysis=_analysis(track.analysis) if whole and track.analysis else None,
        variants=[_variant(each, addresses, whole=whole) for each in track.variants],
        chosen_variant_id=track.chosen_variant_id,
        cover_url=addresses.get(track.cover_asset_id, _NOWHERE).url,
        provider=track.provider,
        create_time=timestamp(track.create_time),
        update_time=timestamp(track.update_time),
        cost_credits=track.cost_credits,
        duration_s=track.duration_s,
        seed=track.seed,
        standing=standing_message(track.standing),
    )
