"""What goes wrong in a trial, drawn from its number alone, so that the same number is the same trial again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.kit.crash import VENDOR_POINTS

LISTS = (
    "suno,minimax,offline",
    "suno,minimax",
    "minimax,suno,offline",
    "minimax,suno",
    "ace_step,minimax,offline",
    "suno,ace_step",
    "suno,offline",
)
"""Who is asked, in which order."""

BEFORE = ("unreachable", "http_503", "busy", "purse", "refuses_connection")
"""The vendor fails before it has taken the order."""
DURING = ("accepts_and_breaks", "http_502_after", "cut_after", "dies_before_answer")
"""The vendor fails while it takes the order: it may have taken it or not."""
AFTER = ("forgets", "fails_later", "half_file", "silent", "links_die", "away_for_a_while")
"""The vendor fails after it has taken the order."""
STEPS = ("before-step_finish", "after-step_finish", "after-song_store", "before-job_finish", "after-job_finish")
"""Moments of every job at which our worker may die besides those around vendors."""

KINDS = (*BEFORE, *DURING, *AFTER)


@dataclass(frozen=True)
class Trial:
    """One job: who makes it, what happens to the first vendor (or nothing), and where its worker dies (or nowhere)."""

    number: int
    makers: str
    fault: str
    point: str

    @property
    def primary(self) -> str:
        """Return who is asked first."""
        return self.makers.split(",", 1)[0]


def trial(number: int) -> Trial:
    """Return the trial of a number: three in four hurt the vendor, two in four kill the worker, one in four both."""
    drawn = random.Random(f"vendors/{number}")
    makers = LISTS[number % len(LISTS)]
    fault = drawn.choice(KINDS) if number % 4 != 3 else ""
    point = drawn.choice((*VENDOR_POINTS, *STEPS)) if number % 4 in {1, 3} else ""
    return Trial(number, makers, fault, point)
