"""How well the engine hears: tunes it was tuned on and frozen ones, sung by a whole cast under every condition."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.listen.analyze import listen_to
from tests.composer.frozen_tunes import FROZEN_TUNES
from tests.composer.hearing import Verdict, note_f1, verdict_on
from tests.composer.takes import CAST, SETTINGS, plan_take, take_of
from tests.composer.tunes import TUNING_TUNES
from tests.score.row import Kept, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.composer.tunes import Tune

PART = "listening"
SETS: dict[Kept, tuple[Tune, ...]] = {"tuned on": TUNING_TUNES, "frozen": FROZEN_TUNES}

_CLEAN = ("20 dB", "10 dB")
_LEAST_NOTES = {"20 dB": 0.99, "10 dB": 0.99, "sloppy": 0.92, "very sloppy": 0.80}
_LEAST = {"key": 0.92, "tempo": 0.90, "octave": 0.95}
_WORDS = {"key": "key", "tempo": "tempo within 4 %", "octave": "tempo within 4 % up to an octave"}
_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Heard:
    """One take of the table with its verdict, and note F1 against another tune's notes."""

    kept: Kept
    number: int
    condition: str
    verdict: Verdict
    other_tune: float

    @property
    def tune(self) -> Tune:
        """The tune that was sung."""
        return SETS[self.kept][self.number]


def measure_listening(tick: Callable[[str], None]) -> list[Row]:
    """Return every row about listening; `tick` hears of each take. The same tree gives the same rows."""
    heard = hear_all(tick)
    rows: list[Row] = []
    for kept in SETS:
        mine = [take for take in heard if take.kept == kept]
        for condition in SETTINGS:
            rows += _condition_rows(kept, condition, [take for take in mine if take.condition == condition])
        rows += _kind_rows(kept, [take for take in mine if take.condition in _CLEAN])
    return rows


def hear_all(tick: Callable[[str], None], conditions: Sequence[str] = tuple(SETTINGS)) -> list[Heard]:
    """Return the verdict on every tune of both sets under each condition."""
    work = [(kept, number, condition) for condition in conditions for kept in SETS for number in range(len(SETS[kept]))]
    found = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool:
        for take in pool.map(hear, work, chunksize=4):
            found.append(take)
            tick(f"{take.condition}: {take.tune.name}")
    return found


def hear(work: tuple[Kept, int, str]) -> Heard:
    """Return the verdict on one tune under one condition; who sings goes round with tune and condition."""
    kept, number, condition = work
    tunes = SETS[kept]
    first = 500 * (kept == "frozen") + 100 * list(SETTINGS).index(condition)
    take = take_of(tunes[number], SETTINGS[condition], number=first + number)
    heard = listen_to(take.samples)
    other, _ = plan_take(tunes[(number + 7) % len(tunes)], SETTINGS["20 dB"], number=first + number)
    return Heard(kept, number, condition, verdict_on(take, heard), note_f1(other.notes, heard.notes)[0])


def _mean(takes: Sequence[Heard], measure: str) -> float:
    return float(np.mean([getattr(take.verdict, measure) for take in takes])) if takes else 0.0


def _condition_rows(kept: Kept, condition: str, takes: Sequence[Heard]) -> list[Row]:
    """Return the rows of one condition: notes, rhythm, key, tempo, metre."""
    other = float(np.mean([take.other_tune for take in takes]))
    count = len(takes)
    wrong = f"shuffled pitches {_mean(takes, 'shuffled'):.2f}, another tune {other:.2f}"
    rows = [
        Row(PART, "note F1", condition, _mean(takes, "notes"), count, kept, _LEAST_NOTES.get(condition), control=wrong),
        Row(PART, "rhythm", condition, _mean(takes, "rhythm"), count, kept, 0.9 if "room" in condition else None),
    ]
    for name, words in _WORDS.items():
        least = _LEAST[name] if condition in _CLEAN else None
        rows.append(Row(PART, words, condition, _mean(takes, name), count, kept, least))
    rows.append(Row(PART, "metre (2/4 as 4/4)", condition, _mean(takes, "metre"), count, kept))
    return rows


def _kind_rows(kept: Kept, takes: Sequence[Heard]) -> list[Row]:
    """Return what is heard of each kind of rhythm, and of each voice and syllable, careful at 20 and 10 dB."""
    where = "20 and 10 dB, "
    kinds = {
        "2/4 and 4/4": [t for t in takes if t.tune.beats_per_bar in {2, 4} and t.tune.feel == "straight"],
        "3/4": [t for t in takes if t.tune.beats_per_bar == 3],
        "6/8": [t for t in takes if t.tune.feel == "six"],
        "swing": [t for t in takes if t.tune.feel == "swing"],
        "triplets": [t for t in takes if "t" in t.tune.notation],
        "pickup": [t for t in takes if t.tune.pickup],
    }
    rows = []
    for name, some in kinds.items():
        rows.append(Row(PART, "rhythm", where + name, _mean(some, "rhythm"), len(some), kept))
        rows.append(Row(PART, "metre (2/4 as 4/4)", where + name, _mean(some, "metre"), len(some), kept))
        rows.append(Row(PART, "place in the bar", where + name, _mean(some, "bar"), len(some), kept))
    straight = [t for t in takes if t.tune.feel == "straight"]
    rows.append(
        Row(PART, "swing and 6/8 told from straight", where + "swing and 6/8",
            _mean([t for t in takes if t.tune.feel != "straight"], "swing"), len(takes) - len(straight), kept,
            control=f"straight tunes called swung {1.0 - _mean(straight, 'swing'):.2f}")
    )  # fmt: skip
    for throat, syllables in CAST:
        some = [t for t in takes if CAST[_cast_number(t)] == (throat, syllables)]
        rows.append(Row(PART, "note F1", f"{where}{throat.name}, {syllables}", _mean(some, "notes"), len(some), kept))
    return rows


def _cast_number(take: Heard) -> int:
    first = 500 * (take.kept == "frozen") + 100 * list(SETTINGS).index(take.condition)
    return (first + take.number) % len(CAST)
