"""Where an asset can stand and what it can become."""

from datetime import UTC, datetime

import pytest

from services.media.domain.asset import Asset, Failure, Kind, Sound, State
from services.media.domain.errors import AssetNotReady, IllegalMove

_AT = datetime(2026, 5, 1, tzinfo=UTC)
_LATER = datetime(2026, 5, 2, tzinfo=UTC)
_WAYS = {
    (State.UPLOADING, State.UPLOADED),
    (State.UPLOADED, State.PROCESSING),
    (State.UPLOADED, State.FAILED),
    (State.PROCESSING, State.PROCESSING),
    (State.PROCESSING, State.READY),
    (State.PROCESSING, State.FAILED),
}
_SOUND = Sound("audio/1.mp3", 16000, 1000, (1, 2), "audio/mpeg")


def _asset(state: State) -> Asset:
    return Asset(
        asset_id="a",
        user_id="u",
        kind=Kind.RECORDING,
        state=state,
        filename="take.wav",
        content_type="audio/wav",
        size_bytes=4,
        create_time=_AT,
        update_time=_AT,
        raw_key="raw/1.wav",
    )


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_moves(before: State, after: State) -> None:
    """An asset moves along the allowed ways and no others, and remembers when."""
    if (before, after) in _WAYS:
        moved = _asset(before).moved(after, _LATER)
        assert (moved.state, moved.update_time, moved.create_time) == (after, _LATER, _AT)
    else:
        with pytest.raises(IllegalMove):
            _asset(before).moved(after, _LATER)


def test_made_playable() -> None:
    """A processed asset takes over everything that was measured of its playable sound."""
    ready = _asset(State.PROCESSING).made_playable(_SOUND, _LATER)

    assert ready.state is State.READY
    assert (ready.storage_key, ready.size_bytes, ready.duration_ms) == ("audio/1.mp3", 16000, 1000)
    assert (ready.peaks, ready.content_type) == ((1, 2), "audio/mpeg")
    assert ready.keys == ("raw/1.wav", "audio/1.mp3")
    assert ready.playable_key() == "audio/1.mp3"


def test_refused() -> None:
    """A refused asset keeps the reason and can never be played."""
    failed = _asset(State.UPLOADED).refused(Failure("UPLOAD_FORMAT_INVALID"), _LATER)

    assert failed.failure == Failure("UPLOAD_FORMAT_INVALID")
    with pytest.raises(AssetNotReady):
        failed.playable_key()


@pytest.mark.parametrize("state", set(State) - {State.READY})
def test_only_ready_is_playable(state: State) -> None:
    """Nothing but a ready asset hands out a key."""
    with pytest.raises(AssetNotReady) as caught:
        _asset(state).playable_key()

    assert caught.value.metadata["state"] == state.value
