"""What is told of the mutants: a table with a row for each module, and the reasons why the known survivors live."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.mutate.judge import Verdicts

SURVIVORS = Path(__file__).with_name("survivors.txt")
_ROW = re.compile(r"\| `(?P<module>[\w.]+)` \| (?P<count>\d+) \| (?P<killed>\d+) \(")


@dataclass(frozen=True)
class Row:
    """How many mutants a module has had, and how many of them were noticed."""

    module: str
    count: int
    killed: int


def rows_of(verdicts: Iterable[Verdicts]) -> dict[str, Row]:
    """Return a row for each module that was tried."""
    return {each.module: Row(each.module, each.count, each.count - len(each.survivors)) for each in verdicts}


def rows_in(text: str) -> dict[str, Row]:
    """Return the rows of a table that `table` has written."""
    found = (_ROW.match(line) for line in text.splitlines())
    return {each["module"]: Row(each["module"], int(each["count"]), int(each["killed"])) for each in found if each}


def table(rows: Mapping[str, Row]) -> str:
    """Return the rows as a table of Markdown, and their sum."""
    lines = ["| module | mutants | killed | survivors |", "|---|---|---|---|"]
    lines += [f"| `{each.module}` {_figures(each.count, each.killed)}" for each in rows.values()]
    count, killed = sum(each.count for each in rows.values()), sum(each.killed for each in rows.values())
    return "\n".join([*lines, f"| together {_figures(count, killed)}"])


def _figures(count: int, killed: int) -> str:
    return f"| {count} | {killed} ({100 * killed / max(count, 1):.0f} %) | {count - killed} |"


def known_reasons() -> dict[str, str]:
    """Return the survivors that have been looked at, with the reason why they live."""
    reasons = {}
    for line in SURVIVORS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" || ")
            reasons[name] = reason
    return reasons
