"""The tunes and takes that the engine is measured with are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from services.composer.engine.music import Mode
from tests.composer.frozen_tunes import FROZEN_TUNES
from tests.composer.spoilt_takes import KINDS, good_take, spoilt_take
from tests.composer.takes import CAST, SETTINGS, take_of
from tests.composer.tunes import TUNING_TUNES, Tune


@pytest.mark.parametrize("tune", [*TUNING_TUNES, *FROZEN_TUNES], ids=lambda tune: tune.name)
def test_every_bar_of_a_tune_is_full(tune: Tune) -> None:
    """All bars have the beats of the metre; the pickup has its own, and the last bar may leave room for it."""
    bars = tune.bars()
    if tune.pickup:
        assert bars[0] == pytest.approx(tune.pickup)
        bars = bars[1:]
    assert bars[:-1] == pytest.approx([tune.beats_per_bar] * (len(bars) - 1))
    last = bars[-1] % tune.beats_per_bar or tune.beats_per_bar
    assert 0.0 < last <= tune.beats_per_bar


@pytest.mark.parametrize("tunes", [TUNING_TUNES, FROZEN_TUNES], ids=["tuned on", "frozen"])
def test_both_sets_hold_every_kind_of_tune(tunes: tuple[Tune, ...]) -> None:
    """Each set has at least twenty tunes, both modes, all metres, swing, triplets and pickups."""
    assert len(tunes) >= 20
    assert {tune.mode for tune in tunes} == set(Mode)
    assert {(tune.beats_per_bar, tune.feel) for tune in tunes} >= {
        (2, "straight"), (3, "straight"), (4, "straight"), (4, "swing"), (2, "six"),
    }  # fmt: skip
    assert sum("t" in tune.notation for tune in tunes) >= 2
    assert sum(tune.pickup > 0 for tune in tunes) >= 5


def test_no_tune_is_in_both_sets() -> None:
    """What gates was not tuned on."""
    names = [tune.name for tune in (*TUNING_TUNES, *FROZEN_TUNES)]
    notations = [tune.notation for tune in (*TUNING_TUNES, *FROZEN_TUNES)]
    assert len(set(names)) == len(set(notations)) == len(names) >= 40


def test_a_take_follows_from_its_number() -> None:
    """The same number gives the same samples, another one others; the notes stand within the take."""
    take, again = (take_of(TUNING_TUNES[0], SETTINGS["sloppy"], number=3) for _ in range(2))
    other = take_of(TUNING_TUNES[0], SETTINGS["sloppy"], number=3 + len(CAST))
    assert np.array_equal(take.samples, again.samples)
    assert take.syllables == other.syllables
    assert take.notes != other.notes
    assert 0.1 < take.notes[0].start_s < take.notes[-1].end_s < len(take.samples) / 16_000


def test_every_file_of_the_judgement_is_made_and_always_the_same() -> None:
    """Good and spoilt takes are finite, not empty and, for their number, the same bytes."""
    for make in (good_take, *(lambda number, kind=kind: spoilt_take(kind, number) for kind in KINDS)):
        samples, again = make(3), make(3)
        assert samples.dtype == np.float32
        assert len(samples)
        assert np.isfinite(samples).all()
        assert samples.tobytes() == again.tobytes()
