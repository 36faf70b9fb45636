"""Exports: a finished variant made ready for work elsewhere, as WAV and as stems."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.kit.jobs.states import State

EXPORT = "export"
"""Kind of the jobs that make exports, and of their queue."""


class ExportState(StrEnum):
    """Where an export stands."""

    GENERATING = "generating"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export of one variant; there is at most one of each. The assets are empty until it is ready."""

    export_id: str
    user_id: str
    track_id: str
    variant_id: str
    job_id: str
    state: ExportState
    create_time: datetime
    update_time: datetime
    wav_asset_id: str = ""
    stems_asset_id: str = ""
    stems: tuple[str, ...] = ()
    error_reason: str = ""


def state_after(job_state: State) -> ExportState:
    """Return where an export stands when its job stands at *job_state*."""
    return {
        State.COMPLETED: ExportState.READY,
        State.FAILED: ExportState.FAILED,
        State.CANCELLED: ExportState.FAILED,
    }.get(job_state, ExportState.GENERATING)
