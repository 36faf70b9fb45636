"""The figures of a long run, as the table that README shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.kit.clock import now

if TYPE_CHECKING:
    from tests.simulate.scenario import Outcome

SECTION = "simulate"

_ROWS = {
    "jobs": "jobs",
    "completed": "of them completed",
    "acknowledged": "submissions acknowledged",
    "kills": "processes killed",
    "stops": "processes stopped and continued",
    "database_restarts": "restarts of the database",
    "lost_commit_answers": "commits whose answer was lost",
    "redis_losses": "losses of Redis",
    "lost": "messages lost",
    "duplicates": "messages twice",
    "delays": "messages late or out of order",
    "commits": "commits looked at",
    "steps": "steps of the loop",
}


@dataclass
class Total:
    """The sum of many runs."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: list[Outcome] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    simulated_s: float = 0.0
    wall_s: float = 0.0

    def add(self, broken: list[Outcome], counts: Counter[str], simulated_s: float) -> None:
        """Add the runs of one chunk."""
        self.broken += broken
        self.counts.update(counts)
        self.simulated_s += simulated_s


def table(total: Total) -> str:
    """Return the figures as a table of Markdown."""
    seeds = total.counts["seeds"]
    hours = total.simulated_s / 3600
    rows = [
        ("seeds", f"{seeds:,}"),
        ("**violations**", f"**{len(total.broken)}**"),
        ("simulated time", f"{hours:,.1f} hours"),
        *((title, f"{total.counts[name]:,}") for name, title in _ROWS.items()),
        ("speed", f"{seeds / max(total.wall_s, 0.001):,.0f} seeds a second on two processors, {total.wall_s:,.0f} s"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {title} | {value} |" for title, value in rows)])


def section(total: Total) -> str:
    """Return the section for README: the day, then the table."""
    return f"Measured {now():%Y-%m-%d}.\n\n{table(total)}"
