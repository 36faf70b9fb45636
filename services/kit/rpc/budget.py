"""A retry budget: how many calls of one callee may be made a second time.

Retries help against one lost connection and make an overload worse: if every call is tried twice, a callee that can
just not keep up has twice the work. So each call pays a tenth of a retry in, and a retry takes a whole one out; what is
saved is bounded by what a thousand calls pay. The rule is that of gRPC's retry throttling (gRFC A6) without its halfway
mark.
"""

from typing import Final

RATIO: Final = 0.1
FIRST: Final = 10.0
MOST: Final = 100.0


class RetryBudget:
    """Holds ten at first, so that the first calls of a process may be retried too."""

    __slots__ = ("_most", "_ratio", "saved")

    def __init__(self, *, ratio: float = RATIO, most: float = MOST) -> None:
        """Allow `ratio` retries for each call, and save up to `most`."""
        self._ratio = ratio
        self._most = most
        self.saved = min(FIRST, most)

    def pay_in(self) -> None:
        """Note a call that is not a retry."""
        self.saved = min(self.saved + self._ratio, self._most)

    def take(self) -> bool:
        """Return whether a retry may be made, having taken it out."""
        # Tenths do not add up to a whole exactly.
        if self.saved < 1 - 1e-9:
            return False
        self.saved = max(self.saved - 1, 0.0)
        return True
