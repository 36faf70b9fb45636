"""Codes that prove who reads a phone or a mailbox: how long, how often, how many.

Six digits can be guessed, so everything around them is narrow: five tries a code, one code a minute, ten a day to one
target. Whoever guesses all day has fifty tries in a million.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

MOST_TRIES = 5
DAY = timedelta(days=1)
_DIGITS = 6


class Purpose(StrEnum):
    """What a code is good for."""

    REGISTER = "register"
    LOGIN = "login"
    RESET = "reset"
    BIND = "bind"
    DELETE = "delete"


# Good for the person who asked for them and nobody else.
PERSONAL = frozenset({Purpose.BIND, Purpose.DELETE})


@dataclass(frozen=True, kw_only=True)
class CodeRules:
    """The figures that an operator may set."""

    life: timedelta = timedelta(minutes=5)
    gap: timedelta = timedelta(seconds=60)
    daily_per_target: int = 10
    daily_per_address: int = 50


@dataclass(frozen=True)
class Sent:
    """A code that was sent, as it is stored: never itself."""

    code_id: str
    code_hash: bytes
    try_count: int
    expire_time: datetime
    used_time: datetime | None = None


@dataclass(frozen=True)
class Recent:
    """What was sent to one target and asked for from one address within a day."""

    newest_time: datetime | None
    to_target: int
    from_address: int
    oldest_time: datetime | None


class Verdict(Enum):
    """What a code that arrives is good for."""

    GOOD = auto()
    WRONG = auto()
    OVER = auto()


def new_code() -> str:
    """Return six random digits."""
    return f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}"


def wait_s(recent: Recent, rules: CodeRules, at: datetime) -> int:
    """Return the seconds until another code may be sent, 0 for now."""
    waits = [timedelta(0)]
    if recent.newest_time is not None:
        waits.append(recent.newest_time + rules.gap - at)
    if recent.to_target >= rules.daily_per_target or recent.from_address >= rules.daily_per_address:
        waits.append((recent.oldest_time or at) + DAY - at)
    longest = max(waits).total_seconds()
    return int(longest) + (longest > int(longest))


def judge(sent: Sent, at: datetime, *, matches: bool) -> Verdict:
    """Return what to do with a code that arrived, before this try is counted."""
    if sent.used_time is not None:
        return Verdict.WRONG
    if at >= sent.expire_time or sent.try_count >= MOST_TRIES:
        return Verdict.OVER
    return Verdict.GOOD if matches else Verdict.WRONG
