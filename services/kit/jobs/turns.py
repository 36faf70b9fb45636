"""Whose turn it is: the one number by which waiting jobs are ordered, fixed when a job is made.

A job counts as if it had been submitted later for every unfinished job its owner has already, and
earlier by the head start of the owner's level. Sorting by that time is fair between people (a
hundred jobs of one stand far apart, another's first goes between them), lets higher levels
overtake, and starves nobody: whatever is submitted later than the head start and the distance
after a job stands behind it, so waiting alone moves a job forward. One index holds the order,
however many wait. Standard library only.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

MOST_COUNTED = 1000
"""More unfinished jobs of one person than this put its next one no further back."""


class Level(IntEnum):
    """What a job's owner pays for; the number is what the row keeps."""

    FREE = 0
    BASIC = 1
    PREMIUM = 2


@dataclass(frozen=True)
class Turns:
    """How far apart the jobs of one person stand, and how far ahead the paying ones, in seconds."""

    distance_s: float = 600.0
    basic_ahead_s: float = 300.0
    premium_ahead_s: float = 900.0

    def turn_time(self, at: datetime, level: Level, unfinished: int) -> datetime:
        """Return the time that a job made at `at` is ordered by; its owner has `unfinished` other jobs."""
        ahead_s = {Level.FREE: 0.0, Level.BASIC: self.basic_ahead_s, Level.PREMIUM: self.premium_ahead_s}[level]
        return at + timedelta(seconds=self.distance_s * min(unfinished, MOST_COUNTED) - ahead_s)
