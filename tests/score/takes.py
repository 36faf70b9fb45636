"""How well takes are judged before anybody is charged: a thousand generated files, good ones and eight kinds spoilt."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.composer.engine.errors import TakeRefusedError
from services.composer.engine.listen.analyze import admit_take
from services.composer.engine.music import ANALYSIS_RATE
from tests.composer.spoilt_takes import KINDS, good_take, spoilt_take
from tests.score.row import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PART = "judging takes"
GOOD = "good"
GOOD_TAKES = 400
OF_EACH_KIND = 75

_LEAST_FOUND = 0.95
_MOST_FALSE = 0.02
_MOST_OF_REAL_TIME = 0.1
_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of one take: a code of the engine, or "good"; and how long saying it took of real time."""

    kind: str
    number: int
    said: str
    of_real_time: float


def measure_takes(tick: Callable[[str], None]) -> list[Row]:
    """Return every row about the judgement of takes; `tick` hears of each file."""
    judged = judge_all(tick)
    good = [take for take in judged if take.kind == GOOD]
    spoilt = [take for take in judged if take.kind != GOOD]
    rows = [
        Row(PART, "refused", "good takes", 1.0 - _share(good, GOOD), len(good), at_most=_MOST_FALSE),
        Row(PART, "found, by its own name", "all spoilt takes", _right(spoilt), len(spoilt), at_least=_LEAST_FOUND),
        Row(PART, "refused for any reason", "all spoilt takes", 1.0 - _share(spoilt, GOOD), len(spoilt),
            control=f"good takes {1.0 - _share(good, GOOD):.3f}"),
    ]  # fmt: skip
    for kind in KINDS:
        some = [take for take in spoilt if take.kind == kind]
        others = [take for take in judged if take.kind != kind]
        elsewhere = f"called so among all others {_share(others, kind):.3f}"
        rows.append(Row(PART, "found, by its own name", kind, _right(some), len(some), control=elsewhere))
    cost = float(np.median([take.of_real_time for take in good]))
    rows.append(Row(PART, "processor time / length", "good takes", cost, len(good), at_most=_MOST_OF_REAL_TIME))
    return rows


def judge_all(tick: Callable[[str], None]) -> list[Judged]:
    """Return what is said of the thousand takes."""
    work = [(GOOD, number) for number in range(GOOD_TAKES)]
    work += [(kind, number) for kind in KINDS for number in range(OF_EACH_KIND)]
    found = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool:
        for take in pool.map(judge, work, chunksize=8):
            found.append(take)
            tick(f"{take.kind} {take.number + 1}: {take.said}")
    return found


def judge(work: tuple[str, int]) -> Judged:
    """Return what is said of one take."""
    kind, number = work
    samples = good_take(number) if kind == GOOD else spoilt_take(kind, number)
    began = time.process_time()
    try:
        admit_take(samples)
        said = GOOD
    except TakeRefusedError as refusal:
        said = refusal.code
    return Judged(kind, number, said, (time.process_time() - began) * ANALYSIS_RATE / max(len(samples), 1))


def _share(takes: Sequence[Judged], code: str) -> float:
    return float(np.mean([take.said == code for take in takes]))


def _right(takes: Sequence[Judged]) -> float:
    return float(np.mean([take.said == take.kind for take in takes]))
