"""The rows as tables: for the terminal, for README, for the page."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.score.row import Kept, Row

SECTION = "score"
COLUMNS = ("part", "measure", "condition", "value", "asked", "holds", "of", "control")
GROUPS: tuple[tuple[Kept, str], ...] = (
    ("frozen", "Frozen tunes: nobody who set the engine's numbers has looked at them, only at these figures"),
    ("tuned on", "Tunes the engine was tuned on"),
    ("any", "Independent of the tune"),
)


def grouped(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the rows under their headings, frozen and tuned on apart; headings without rows are left out."""
    found = [(heading, [row for row in rows if row.kept == kept]) for kept, heading in GROUPS]
    return [(heading, mine) for heading, mine in found if mine]


def screen(rows: Sequence[Row]) -> list[Table]:
    """Return one table for each group, misses in red."""
    tables = []
    for heading, mine in grouped(rows):
        table = Table(title=heading, title_justify="left")
        for column in COLUMNS:
            table.add_column(column, overflow="fold")
        for row in mine:
            table.add_row(*cells(row), style="" if row.holds else "red")
        tables.append(table)
    return tables


def markdown(rows: Sequence[Row], before: str = "", today: str = "") -> str:
    """Return the section for README: what is asked in tables, what is only told folded away under each.

    `before` is the section as it stands: its rows of parts that were not measured now stay, with their day.
    """
    parts = dict.fromkeys(row.part for row in rows)
    days = {part: day for part, day in _DAY.findall(before) if part not in parts} | dict.fromkeys(parts, today)
    lines = ["Measured with `make score`: " + ", ".join(f"{part} {day}".strip() for part, day in days.items()) + "."]
    kept = _rows_in(before)
    for _, heading in GROUPS:
        mine = [line for line in kept.get(heading, []) if line.split(" | ", 1)[0].removeprefix("| ") not in parts]
        mine += [_line(cells(row)) for name, group in grouped(rows) if name == heading for row in group]
        asked = [line for line in mine if _column(line, "asked") != "-"]
        told = [line for line in mine if _column(line, "asked") == "-"]
        if mine:
            lines += ["", f"**{heading}.**", "", *_table(asked)]
        if told:
            lines += ["", f"<details><summary>{len(told)} more figures</summary>", "", *_table(told), "", "</details>"]
    return "\n".join(lines)


_DAY = re.compile(r"([a-z][a-z ]*?) (\d{4}-\d\d-\d\d)")


def _rows_in(section: str) -> dict[str, list[str]]:
    """Return the lines of the tables of a section under their headings."""
    found: dict[str, list[str]] = {heading: [] for _, heading in GROUPS}
    heading = ""
    for line in section.splitlines():
        if line.startswith("**"):
            heading = line.strip("*").removesuffix(".")
        elif line.startswith("| ") and line != _line(COLUMNS):
            found.setdefault(heading, []).append(line)
    return found


def _table(lines: Sequence[str]) -> list[str]:
    return [_line(COLUMNS), f"|{'---|' * len(COLUMNS)}", *lines] if lines else []


def _line(columns: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in columns)} |"


def _column(line: str, name: str) -> str:
    return line.strip("| ").split(" | ")[COLUMNS.index(name)]


def page_table(rows: Sequence[Row]) -> str:
    """Return the tables as HTML, misses marked by a class."""
    parts = []
    for heading, mine in grouped(rows):
        head = "".join(f"<th>{column}</th>" for column in COLUMNS)
        body = "".join(
            f'<tr class="{"" if row.holds else "missed"}">'
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells(row))
            + "</tr>"
            for row in mine
        )
        parts.append(f"<h2>{html.escape(heading)}</h2><table><tr>{head}</tr>{body}</table>")
    return "".join(parts)


def cells(row: Row) -> list[str]:
    """Return the cells of a row; a figure of which nothing is asked neither holds nor fails."""
    asks = row.at_least is not None or row.at_most is not None
    holds = ("yes" if row.holds else "NO") if asks else "-"
    return [row.part, row.measure, row.condition, number(row.value), row.asked, holds, str(row.count), row.control]


def number(value: float) -> str:
    """Return three figures that count, whole numbers as such."""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
