"""Limits in sliding windows of time, as vendors count them."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from services.kit.clock import Clock

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0


class Windows:
    """Counts what happened under each key, and says when it was too much."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: defaultdict[Hashable, deque[float]] = defaultdict(deque)

    def full(self, key: Hashable, limits: Iterable[tuple[int, float]]) -> bool:
        """Return whether one more would break a limit (how many, in how many seconds)."""
        at = self._clock().timestamp()
        times = self._times[key]
        return any(sum(each > at - seconds for each in times) >= most for most, seconds in limits)

    def count(self, key: Hashable, keep_s: float = DAY_S) -> None:
        """Count one now, and forget what is older than `keep_s`."""
        at = self._clock().timestamp()
        times = self._times[key]
        times.append(at)
        while times and times[0] <= at - keep_s:
            times.popleft()

    def take(self, key: Hashable, limits: Iterable[tuple[int, float]]) -> bool:
        """Count one if no limit is broken by it; return whether it was counted."""
        known = tuple(limits)
        if self.full(key, known):
            return False
        self.count(key, max(seconds for _, seconds in known))
        return True
