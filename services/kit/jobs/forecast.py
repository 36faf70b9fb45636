"""When a waiting job will start, from what stands before it and how the newest jobs went.

Pure arithmetic over one queue with some places to work, each of which takes the next job as soon
as it is free. Standard library only.
"""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

_MOST_STEPS = 10_000


@dataclass(frozen=True)
class Place:
    """Where a job stands in its queue; the first has position 1. The time is None when nobody can tell."""

    position: int
    expected_start_time: datetime | None


@dataclass(frozen=True)
class Ran:
    """One job that was completed, as its row tells."""

    kind: str
    create_time: datetime
    start_time: datetime
    finish_time: datetime


@dataclass(frozen=True)
class Pace:
    """How a queue gets on: seconds that a job of each kind takes, seconds until the next begins, places."""

    seconds: Mapping[str, float]
    gap_s: float
    places: int


def pace_of(newest: Sequence[Ran], running: Sequence[datetime]) -> Pace:
    """Return the pace of the newest jobs; `running` are the times at which those that run now were started.

    There are as many places as jobs were ever seen to run at once among these.
    """
    seconds: dict[str, list[float]] = {}
    for each in newest:
        seconds.setdefault(each.kind, []).append((each.finish_time - each.start_time).total_seconds())
    # An end before a beginning at the same moment, because it is the one that makes room.
    changes = sorted([(each.start_time, 1) for each in newest] + [(each.finish_time, -1) for each in newest])
    changes += [(start, 1) for start in running]
    at_once = most = 0
    for _, change in sorted(changes):
        at_once += change
        most = max(most, at_once)
    means = {kind: sum(values) / len(values) for kind, values in seconds.items()}
    return Pace(means, _gap_s(newest), max(most, len(running)))


def _gap_s(newest: Sequence[Ran]) -> float:
    """Return the mean seconds between the end of a job and the beginning of the next in its place.

    Only where the next was waiting already: a pause for want of work says nothing.
    """
    ends = deque(sorted(each.finish_time for each in newest))
    gaps = []
    for each in sorted(newest, key=lambda run: run.start_time):
        if ends and ends[0] <= each.start_time:
            end = ends.popleft()
            if each.create_time <= end:
                gaps.append((each.start_time - end).total_seconds())
    return sum(gaps) / len(gaps) if gaps else 0.0


def wait_s(ahead: Mapping[str, int], running: Sequence[tuple[str, float]], pace: Pace) -> float | None:
    """Return the seconds until the job behind all of `ahead` starts; None when nobody can tell.

    `ahead` are numbers of waiting jobs by kind, `running` the kind of each running job and the
    seconds that it has run. Work that has outlasted its time is taken to have half of it left: it
    is not over, and nothing more is known.
    """
    kinds = {*ahead, *(kind for kind, _ in running)}
    if not pace.places or not running or not kinds <= pace.seconds.keys():
        return None
    free = [max(pace.seconds[kind] - spent, 0.0) or pace.seconds[kind] / 2 for kind, spent in running]
    free += [0.0] * (pace.places - len(free))
    count = sum(ahead.values())
    mean_s = sum(number * pace.seconds[kind] for kind, number in ahead.items()) / count if count else 0.0
    if count > _MOST_STEPS:
        # Whole rounds, in which every place takes one job, need not be played one by one.
        rounds, count = divmod(count, len(free))
        free = [each + rounds * (mean_s + pace.gap_s) for each in free]
    heapq.heapify(free)
    for _ in range(count):
        heapq.heapreplace(free, free[0] + pace.gap_s + mean_s)
    return free[0] + pace.gap_s
