"""One row of the table of scores, in which every part of the engine answers for itself."""

from dataclasses import dataclass
from typing import Literal

Kept = Literal["tuned on", "frozen", "any"]


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, on how many things, what is asked of it, and what a control reads.

    `at_least` and `at_most` bound the value; a row without either is only reported. `control` says in words what
    the same measure reads where it has to be bad. `kept` tells the tunes the engine was tuned on from those that are
    looked at only by this table.
    """

    part: str
    measure: str
    condition: str
    value: float
    count: int
    kept: Kept = "any"
    at_least: float | None = None
    at_most: float | None = None
    control: str = ""

    @property
    def holds(self) -> bool:
        """Whether the value lies within what is asked; True where nothing is asked."""
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def asked(self) -> str:
        """What is asked, as it stands in the table: `>= 0.99`, `<= -1`, or a dash."""
        bounds = [f">= {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"<= {self.at_most:g}"] if self.at_most is not None else []
        return " and ".join(bounds) or "-"
