"""An asset: a stored file and where it stands between its announcement and being playable."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from services.media.domain.errors import AssetNotReady, IllegalMove


class State(StrEnum):
    """Where an asset stands."""

    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Kind(StrEnum):
    """What an asset is."""

    RECORDING = "recording"
    MUSIC = "music"
    IMAGE = "image"
    DOCUMENT = "document"


# A job that is tried again finds its asset processing already.
MOVES: dict[State, frozenset[State]] = {
    State.UPLOADING: frozenset({State.UPLOADED}),
    State.UPLOADED: frozenset({State.PROCESSING, State.FAILED}),
    State.PROCESSING: frozenset({State.PROCESSING, State.READY, State.FAILED}),
    State.READY: frozenset(),
    State.FAILED: frozenset(),
}
SOUNDS = frozenset({Kind.RECORDING, Kind.MUSIC})
OPEN_STATES = (State.UPLOADING, State.UPLOADED, State.PROCESSING)


@dataclass(frozen=True)
class Failure:
    """Why an asset failed: a public reason, a sentence for developers, plain facts."""

    reason: str
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Waveform:
    """The outline of a sound and how loud it is; drawn from one channel, the mean of all."""

    sample_rate_hz: int
    samples_per_pixel: int
    # Lowest and highest value of each pixel in turn, one signed byte each.
    data: bytes
    # Integrated, and the highest value between the samples (ITU-R BS.1770-4).
    loudness_lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class Sound:
    """A playable sound in the object store and what was measured of it."""

    storage_key: str
    size_bytes: int
    duration_ms: int
    # Loudest value of each equal stretch, 0 to 100.
    peaks: tuple[int, ...]
    content_type: str
    waveform: Waveform | None = None


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A stored file as its row stands; empty text and zero mean that a value is not known yet."""

    asset_id: str
    user_id: str
    kind: Kind
    state: State
    filename: str
    content_type: str
    size_bytes: int
    create_time: datetime
    update_time: datetime
    duration_ms: int = 0
    # What the client sent, and what is played; a stored file has only the second.
    raw_key: str = ""
    storage_key: str = ""
    peaks: tuple[int, ...] = ()
    sha256: str = ""
    etag: str = ""
    platform: str = ""
    job_id: str = ""
    failure: Failure | None = None
    request_key: str = ""
    request_hash: str = ""

    def moved(self, state: State, at: datetime) -> "Asset":
        """Return the asset in the next state; raises IllegalMove when there is no way there."""
        if state not in MOVES[self.state]:
            message = f"an asset that is {self.state} cannot become {state}"
            raise IllegalMove(message, state=self.state.value, wanted=state.value)
        return replace(self, state=state, update_time=at)

    def made_playable(self, sound: Sound, at: datetime) -> "Asset":
        """Return the asset ready with its sound; raises IllegalMove unless it is processing."""
        return replace(
            self.moved(State.READY, at),
            storage_key=sound.storage_key,
            size_bytes=sound.size_bytes,
            duration_ms=sound.duration_ms,
            peaks=sound.peaks,
            content_type=sound.content_type,
        )

    def refused(self, failure: Failure, at: datetime) -> "Asset":
        """Return the asset failed for a reason; raises IllegalMove when it is ready or failed already."""
        return replace(self.moved(State.FAILED, at), failure=failure)

    def playable_key(self) -> str:
        """Return the key of the playable file; raises AssetNotReady when there is none."""
        if self.state is not State.READY:
            message = f"the asset is {self.state}"
            raise AssetNotReady(message, asset_id=self.asset_id, state=self.state.value)
        return self.storage_key

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of every object that belongs to the asset."""
        return tuple(key for key in (self.raw_key, self.storage_key) if key)
