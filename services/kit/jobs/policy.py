"""What each kind of job may cost: tries, pauses, time."""

import random
from dataclasses import dataclass

_LONGEST_PAUSE_S = 600.0


@dataclass(frozen=True)
class Policy:
    """The limits of one kind of job; `queue` is the RQ queue whose workers run it."""

    kind: str
    queue: str
    max_attempts: int = 3
    # Workers that may die over one job before it is quarantined.
    max_kills: int = 3
    # Pause before the second attempt; each further one doubles.
    backoff_s: float = 5.0
    # From the first start to the end, all attempts together.
    deadline_s: float = 600.0
    # From creation to the first start.
    waiting_s: float = 3600.0
    # Jobs of the kind that run at the same time, in all workers together; 0 sets no limit.
    most_running: int = 0

    def pause_s(self, attempt: int) -> float:
        """Return the seconds to wait after the given failed attempt, spread by a tenth either way.

        The spread keeps jobs that failed together (a provider was down) from returning together.
        """
        pause = min(self.backoff_s * 2.0 ** max(attempt - 1, 0), _LONGEST_PAUSE_S)
        return pause * random.uniform(0.9, 1.1)
