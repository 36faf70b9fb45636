"""Media's values as messages of the contract."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from cadenza.error.v1.reason_pb2 import Reason
from cadenza.job.v1 import job_pb2
from cadenza.media.v1 import asset_service_pb2 as pb
from services.kit.jobs.forecast import Place
from services.kit.jobs.job import JobEvent
from services.kit.jobs.states import State as JobState
from services.media.domain.asset import Asset, Failure, Kind, State
from services.media.usecases.asset import Change
from services.media.usecases.shelf import Address

KINDS = {
    pb.Asset.KIND_RECORDING: Kind.RECORDING,
    pb.Asset.KIND_MUSIC: Kind.MUSIC,
    pb.Asset.KIND_IMAGE: Kind.IMAGE,
    pb.Asset.KIND_DOCUMENT: Kind.DOCUMENT,
}
_KIND_MESSAGES = {kind: message for message, kind in KINDS.items()}
_STATES = {
    State.UPLOADING: pb.Asset.STATE_UPLOADING,
    State.UPLOADED: pb.Asset.STATE_UPLOADED,
    State.PROCESSING: pb.Asset.STATE_PROCESSING,
    State.READY: pb.Asset.STATE_READY,
    State.FAILED: pb.Asset.STATE_FAILED,
}
_JOB_STATES = {
    JobState.PENDING: job_pb2.JOB_STATE_PENDING,
    JobState.QUEUED: job_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: job_pb2.JOB_STATE_RUNNING,
    JobState.COMPLETED: job_pb2.JOB_STATE_COMPLETED,
    JobState.FAILED: job_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
}


def time_message(moment: datetime) -> Timestamp:
    """Return the instant as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def asset_message(asset: Asset, address: Address | None) -> pb.Asset:
    """Return the asset as a message; its key and address only once it can be played."""
    return pb.Asset(
        asset_id=asset.asset_id,
        kind=_KIND_MESSAGES[asset.kind],
        state=_STATES[asset.state],
        filename=asset.filename,
        content_type=asset.content_type,
        size_bytes=asset.size_bytes,
        duration_ms=asset.duration_ms,
        storage_key=asset.storage_key,
        url=address.url if address else "",
        url_expire_time=time_message(address.expire_time) if address else None,
        peaks=asset.peaks,
        error=_failure_message(asset.failure),
        create_time=time_message(asset.create_time),
        update_time=time_message(asset.update_time),
    )


def change_message(change: Change, address: Address | None) -> pb.WatchAssetResponse:
    """Return one message of an asset's life."""
    return pb.WatchAssetResponse(
        sequence=change.sequence,
        asset=asset_message(change.asset, address) if change.asset else None,
        event=event_message(change.event) if change.event else None,
    )


def _failure_message(failure: Failure | None) -> job_pb2.JobError | None:
    """Return why an asset failed with the public number of the reason."""
    if failure is None:
        return None
    code = Reason.Value(f"REASON_{failure.reason}")
    return job_pb2.JobError(code=code, reason=failure.reason, message=failure.message, metadata=failure.metadata)


def _start_message(place: Place | None) -> Timestamp | None:
    start = place.expected_start_time if place else None
    return time_message(start) if start else None


def event_message(event: JobEvent) -> job_pb2.JobEvent:
    """Return one line of a job's log."""
    return job_pb2.JobEvent(
        sequence=event.sequence,
        event_time=time_message(event.event_time),
        state=_JOB_STATES[event.state],
        step=event.step,
        step_progress_percent=event.step_progress_percent,
        progress_percent=event.progress_percent,
        message=event.message,
        final=event.final,
        queue_position=event.place.position if event.place else 0,
        expected_start_time=_start_message(event.place),
    )
