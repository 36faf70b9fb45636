"""The gate of `make score` in small: some frozen tunes and spoilt takes, and what a broken ear would make of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen import analyze, key, notes, tempo
from services.composer.engine.listen.analyze import admit_take, listen_to
from services.composer.engine.listen.metre import METRES
from services.composer.engine.music import Key
from tests.composer.frozen_tunes import FROZEN_TUNES
from tests.composer.hearing import note_f1, verdict_on
from tests.composer.spoilt_takes import KINDS, good_take, spoilt_take
from tests.composer.takes import SETTINGS, plan_take, take_of

if TYPE_CHECKING:
    from services.composer.engine.listen.key import HeardKey
    from tests.composer.hearing import Verdict
    from tests.composer.takes import SungTake

_TUNES = (3, 8, 12, 13, 19, 26)
"""Of both modes, in 4/4, 2/4, 6/8, with and without a pickup."""


@cache
def _take(number: int) -> SungTake:
    """Return a frozen tune sung carefully by one of the cast."""
    return take_of(FROZEN_TUNES[number], SETTINGS["20 dB"], number=700 + number)


def _verdicts() -> list[Verdict]:
    """Return what the engine, as it now is, makes of the takes."""
    return [verdict_on(_take(number), listen_to(_take(number).samples)) for number in _TUNES]


def _mean(verdicts: list[Verdict], measure: str) -> float:
    return float(np.mean([getattr(verdict, measure) for verdict in verdicts]))


def test_frozen_tunes_are_heard_and_their_controls_are_not() -> None:
    """Notes, rhythm, key and tempo of six frozen tunes reach the gate; shuffled pitches and other tunes stay low."""
    verdicts = _verdicts()
    assert _mean(verdicts, "notes") >= 0.95
    assert _mean(verdicts, "rhythm") >= 0.85
    assert _mean(verdicts, "key") >= 0.8
    assert _mean(verdicts, "octave") >= 0.8
    assert _mean(verdicts, "shuffled") <= 0.4
    heard = listen_to(_take(_TUNES[0]).samples)
    for other in _TUNES[1:]:
        sung = plan_take(FROZEN_TUNES[other], SETTINGS["20 dB"], number=700 + _TUNES[0])[0].notes
        assert note_f1(sung, heard.notes)[0] <= 0.4


def test_a_broken_key_finder_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every key named a fifth too high the share of right keys falls below the gate."""
    whole = key.find_key

    def broken(sung: tuple[object, ...]) -> HeardKey:
        heard = whole(sung)  # type: ignore[arg-type]
        return replace(heard, key=Key((heard.key.tonic + 7) % 12, heard.key.mode))

    monkeypatch.setattr(analyze, "find_key", broken)
    assert _mean(_verdicts(), "key") < 0.5


def test_an_ear_for_quarters_only_fails_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kinds of bars that hold thirds 6/8 is not recognised; with them it is."""
    takes = [_take(number) for number in _TUNES if FROZEN_TUNES[number].feel == "six"]
    assert takes
    whole = [verdict_on(take, listen_to(take.samples)).metre for take in takes]
    monkeypatch.setattr(tempo, "METRES", tuple(metre for metre in METRES if not metre.compound))
    broken = [verdict_on(take, listen_to(take.samples)).metre for take in takes]
    assert np.mean(broken) == 0.0 < np.mean(whole)


def test_repeated_notes_are_heard_in_a_living_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a room notes and rhythm of six frozen tunes are heard; deaf to closing lips, they are not."""
    takes = [take_of(FROZEN_TUNES[number], SETTINGS["live room"], number=720 + number) for number in _TUNES]
    whole = [verdict_on(take, listen_to(take.samples)) for take in takes]
    assert _mean(whole, "notes") >= 0.9
    assert _mean(whole, "rhythm") >= 0.75
    monkeypatch.setattr(notes, "articulations", lambda level, _: np.full(len(level.strong), -np.inf))
    deaf = [verdict_on(take, listen_to(take.samples)) for take in takes]
    assert _mean(deaf, "rhythm") < _mean(whole, "rhythm") - 0.15


def _said(samples: np.ndarray) -> str:
    """Return the code a take is refused with, or "good"."""
    try:
        admit_take(samples)
    except TakeRefusedError as refusal:
        return refusal.code
    return "good"


def test_good_takes_are_admitted() -> None:
    """Of twelve good takes, one under each condition, at most one is refused."""
    assert [_said(good_take(number)) for number in range(12)].count("good") >= 11


@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_takes_are_refused_by_name(kind: str) -> None:
    """Of four takes spoilt in one way at least three are refused as such; of two voices, the hardest, two."""
    least = 2 if kind == "two_voices" else 3
    assert [_said(spoilt_take(kind, number)) for number in range(4)].count(kind) >= least


def test_deaf_to_rooms_and_to_others_the_judgement_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the two measures of the scene taken away, far and doubled voices pass as good."""
    monkeypatch.setattr("services.composer.engine.listen.take.tail_db", lambda *_: -60.0)
    monkeypatch.setattr("services.composer.engine.listen.take.second_voice_share", lambda *_: 0.0)
    assert [_said(spoilt_take("far", number)) for number in range(2)].count("far") == 0
    assert [_said(spoilt_take("two_voices", number)) for number in range(2)].count("two_voices") == 0
