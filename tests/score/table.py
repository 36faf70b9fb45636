"""The rows as tables: for the terminal, for README, for the page."""

from __future__ import annotations

import html
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


def markdown(rows: Sequence[Row]) -> str:
    """Return the section for README."""
    lines: list[str] = []
    for heading, mine in grouped(rows):
        lines += [f"**{heading}.**", "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
        lines += [f"| {' | '.join(cell.replace('|', '/') for cell in cells(row))} |" for row in mine]
        lines.append("")
    return "\n".join(lines).strip()


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
