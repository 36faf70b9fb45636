"""An engine that is broken on purpose fails the gate: each row that guards it falls below what is asked."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.composer.engine.compose.tune import Tune, read_tune
from services.composer.engine.listen.analyze import listen_to
from services.composer.engine.listen.key import HeardKey, find_key
from services.composer.engine.music import HeardNote, Key, Note
from services.composer.engine.render.mix import Mix
from tests.composer.singer import sing
from tests.composer.tunes import TUNING_TUNES
from tests.score.making import Plan
from tests.score.song import LUFS, Measured, measure_one
from tests.score.voice import tone_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


PLAN = Plan("ode to joy", "pop", "A", 30.0, 112.0, 0, 1)


@pytest.fixture(scope="module")
def sound() -> Measured:
    """Return the song of an engine that nobody has broken."""
    return measure_one(PLAN)


def _holds(song: Measured) -> bool:
    """Say whether a song passes the rows that mutations are aimed at."""
    return song.melody >= 0.9 and abs(song.lufs - LUFS) <= 0.3 and song.peak_dbtp <= -1.0


def test_the_whole_engine_passes(sound: Measured) -> None:
    """Unbroken, the song passes, and the controls read far below the tune."""
    assert _holds(sound)
    assert max(sound.backing, sound.shuffled, sound.raised) <= 0.45


def test_a_muted_lead_fails(sound: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the parts that carry the tune the share of its notes on top falls by half and more."""
    add = Mix.add
    monkeypatch.setattr(
        Mix, "add", lambda desk, part, stem: None if part.role in {"lead", "harmony"} else add(desk, part, stem)
    )

    assert measure_one(PLAN).melody <= min(0.45, sound.melody / 2)


def test_another_tune_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A song of another tune in the same key fails, although the engine believes it has placed the right one."""
    steps = itertools.cycle((3, -2, 5))

    def swapped(melody: Sequence[Note], beats_per_bar: int) -> Tune:
        tune = read_tune(melody, beats_per_bar)
        return replace(tune, notes=tuple(replace(note, pitch=note.pitch + next(steps)) for note in tune.notes))

    monkeypatch.setattr("services.composer.engine.compose.song.read_tune", swapped)

    assert not _holds(measure_one(PLAN))


def test_a_missing_limiter_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the limiter either the peaks or, where the last trim saves those, the loudness misses."""
    monkeypatch.setattr(
        "services.composer.engine.render.master.limiter_curve", lambda peaks, _ceiling_db=0.0: np.ones_like(peaks)
    )

    assert not _holds(measure_one(PLAN))


def test_a_broken_key_finder_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key finder that is a fourth off hears no take in its key, the whole one hears all of them."""
    takes = [sing(tune, seed=1) for tune in TUNING_TUNES[:3]]
    assert [listen_to(take.samples).key for take in takes] == [take.key for take in takes]

    def broken(notes: Sequence[HeardNote]) -> HeardKey:
        heard = find_key(notes)
        return replace(heard, key=Key((heard.key.tonic + 5) % 12, heard.key.mode))

    monkeypatch.setattr("services.composer.engine.listen.analyze.find_key", broken)

    assert all(listen_to(take.samples).key != take.key for take in takes)


def test_a_skipped_tone_rule_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the composer forgets which way the tones of its words go, the rows of tune and tones miss, on both sets."""
    assert all(row.holds for row in tone_rows(lambda _note: None))
    monkeypatch.setattr("services.composer.engine.sing.melody.tone_direction", lambda _before, _after: 0)
    missed = [row for row in tone_rows(lambda _note: None) if not row.holds]
    assert {row.kept for row in missed} == {"tuned on", "frozen"}
    assert "tune against tones" in {row.measure for row in missed}
