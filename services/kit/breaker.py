"""A circuit breaker: a dependency that keeps failing is left alone for a while.

Calls to something that is down cost the caller its whole timeout, and the thing itself the
chance to come back. The three states are those of Nygard, Release It!, chapter 5.
"""

import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Final

FAILURES: Final = 5
WINDOW_S: Final = 30.0
OPEN_S: Final = 30.0


class BreakerState(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Opens after five failures within 30 s; 30 s later one call may try."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        window_s: float = WINDOW_S,
        open_s: float = OPEN_S,
        in_a_row: bool = False,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """Count with the given limits; `elapsed` gives seconds that never step back.

        With `in_a_row` one success forgets the failures before it: of a busy callee some calls always fail.
        """
        self._limit = failures
        self._window_s = window_s
        self._open_s = open_s
        self._in_a_row = in_a_row
        self._elapsed = elapsed
        self._failures: deque[float] = deque(maxlen=failures)
        self._opened: float | None = None
        self._trial_since: float | None = None

    @property
    def state(self) -> BreakerState:
        """Return the state now."""
        if self._opened is None:
            return BreakerState.CLOSED
        waited = self._elapsed() - self._opened
        return BreakerState.HALF_OPEN if waited >= self._open_s else BreakerState.OPEN

    def admit(self) -> bool:
        """Return whether a call may go out; in half-open state one at a time may.

        A trial whose outcome is never told (its task was killed) counts as lost after `open_s`.
        """
        state = self.state
        if state is BreakerState.HALF_OPEN:
            at = self._elapsed()
            if self._trial_since is not None and at - self._trial_since < self._open_s:
                return False
            self._trial_since = at
        return state is not BreakerState.OPEN

    def give_back(self) -> None:
        """Note a call that ended without an outcome: the next one may be the trial."""
        self._trial_since = None

    def succeed(self) -> None:
        """Note a call that went well: the breaker closes; older failures still count unless they must be in a row."""
        if self._opened is not None or (self._in_a_row and self._failures):
            self._failures.clear()
        self._opened = self._trial_since = None

    def fail(self) -> None:
        """Note a call that failed: in half-open state, or at the limit, the breaker opens."""
        at = self._elapsed()
        self._failures.append(at)
        full = len(self._failures) == self._limit and at - self._failures[0] <= self._window_s
        if self._trial_since is not None or (full and self._opened is None):
            self._opened = at
            self._trial_since = None
