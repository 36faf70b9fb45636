"""How many failures an account and a network address may have before nothing is looked at for a while.

An attempt is counted before the password is looked at, and forgotten when it was right: any number of guesses made at
the same moment are counted like guesses made one after the other. Names without an account are counted in the same
way, so that a lock tells nobody that there is one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=15)
FIRST_LOCK = timedelta(minutes=15)
LONGEST_LOCK = timedelta(hours=4)
FORGOTTEN = timedelta(days=1)
ACCOUNT_FAILURES = 5
# Many people share one address; this is for whoever tries one password with many names.
ADDRESS_FAILURES = 60


@dataclass(frozen=True)
class Guard:
    """The failures of one account or address."""

    failure_count: int = 0
    first_time: datetime | None = None
    lock_count: int = 0
    locked_until_time: datetime | None = None


def locked_s(guard: Guard, at: datetime) -> int:
    """Return for how many seconds yet nothing is looked at, 0 when it is."""
    if guard.locked_until_time is None or guard.locked_until_time <= at:
        return 0
    return int((guard.locked_until_time - at).total_seconds()) + 1


def attempt(guard: Guard, at: datetime, *, most: int) -> Guard:
    """Return the guard with one attempt more, counted as a failure; the last one allowed locks what comes after it.

    Each lock of a row is twice as long as the one before, up to four hours; a day without one begins anew.
    """
    last = guard.locked_until_time
    lock_count = guard.lock_count if last is not None and at - last < FORGOTTEN else 0
    fresh = guard.first_time is None or at - guard.first_time >= WINDOW
    count = 1 if fresh else guard.failure_count + 1
    first = at if fresh else guard.first_time
    if count < most:
        return Guard(count, first, lock_count, last)
    length = min(FIRST_LOCK * 2**lock_count, LONGEST_LOCK)
    return Guard(0, None, lock_count + 1, at + length)


def forgiven(guard: Guard) -> Guard:
    """Return the guard without the attempt that turned out to be right; a lock that it caused is lifted."""
    if guard.failure_count == 0 and guard.lock_count:
        return Guard(0, None, guard.lock_count - 1, None)
    return Guard(max(guard.failure_count - 1, 0), guard.first_time, guard.lock_count, guard.locked_until_time)
