"""Which stretches can be cut out of a sound."""

import pytest

from services.kit.errors import ParamInvalid
from services.media.domain.slice import Slice

_FITTING = [
    Slice(start_s=0.0, end_s=30.0),
    Slice(start_s=5.0, end_s=10.0, fade_in_s=2.0, fade_out_s=3.0),
    Slice(start_s=29.9, end_s=30.0),
    Slice(start_s=0.0, end_s=30.0004),
]
_REFUSED = [
    (Slice(start_s=30.0, end_s=31.0), "start_s"),
    (Slice(start_s=5.0, end_s=5.0), "end_s"),
    (Slice(start_s=5.0, end_s=4.0), "end_s"),
    (Slice(start_s=5.0, end_s=30.001), "end_s"),
    (Slice(start_s=5.0, end_s=5.09), "end_s"),
    (Slice(start_s=0.0, end_s=25.0), "end_s"),
    (Slice(start_s=5.0, end_s=10.0, fade_in_s=5.1), "fade_in_s"),
    (Slice(start_s=5.0, end_s=10.0, fade_in_s=3.0, fade_out_s=2.1), "fade_out_s"),
]


@pytest.mark.parametrize("cut", _FITTING)
def test_inside(cut: Slice) -> None:
    """A stretch inside the sound passes, whole, at its end, and with fades that just fit."""
    cut.check(30_000, 180_000)

    assert cut.length_s > 0


@pytest.mark.parametrize(("cut", "field"), _REFUSED)
def test_outside(cut: Slice, field: str) -> None:
    """Any other is refused with the field that must be changed."""
    with pytest.raises(ParamInvalid) as caught:
        cut.check(30_000, 20_000)

    assert caught.value.metadata["field"] == field
