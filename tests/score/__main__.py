"""`make score`: every figure that is asked of the offline engine, measured; the table, and a page to look at."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services.kit.clock import now
from tests.readme import README, MarksMissing, check_marks, read_section, write_section
from tests.score.page import SHOWN, TAKES, write_page
from tests.score.table import SECTION, markdown, screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.score.row import Row

PARTS = ("listening", "takes", "voice", "song")
"""Each is a module beside this one with `measure_<part>(tick)`; `TICKS` there says how often it will tick."""

PAGE = Path(__file__).resolve().parents[2] / "out" / "score" / "index.html"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only this one; in README the others stay.")
@click.option("--readme", is_flag=True, help="Write the table into README.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=PAGE, show_default=True)
def main(*, part: tuple[str, ...], readme: bool, out: Path) -> None:
    """Measure, print, draw; the status is 1 when a figure misses what is asked."""
    console = Console()
    if readme:
        try:
            check_marks(README, SECTION)
        except MarksMissing as error:
            raise click.ClickException(str(error)) from error
    wanted = part or PARTS
    measured = f"Measured {now():%Y-%m-%d} with `make score`: {', '.join(wanted)}."
    columns = (TextColumn("{task.description:<10}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[Row] = []
    with Progress(*columns, TextColumn("{task.fields[note]}", style="dim"), console=console) as bars:
        for name in wanted:
            rows += _measured(name, bars)
        task = bars.add_task("page", total=len(SHOWN) + len(TAKES), note="")
        page = write_page(rows, lambda note: bars.update(task, advance=1, note=note), measured)
    for each in screen(rows):
        console.print(each)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    console.print(f"pictures: {out}")
    if readme:
        write_section(README, SECTION, markdown(rows, read_section(README, SECTION), f"{now():%Y-%m-%d}"))
    missed = [row for row in rows if not row.holds]
    console.print(f"{len(rows)} figures, {len(missed)} missed", style="red" if missed else "green")
    sys.exit(1 if missed else 0)


def _measured(name: str, bars: Progress) -> list[Row]:
    module = importlib.import_module(f"tests.score.{name}")
    task = bars.add_task(name, total=getattr(module, "TICKS", None), note="")
    measure: Callable[[Callable[[str], None]], list[Row]] = getattr(module, f"measure_{name}")
    rows = measure(lambda note: bars.update(task, advance=1, note=note))
    bars.update(task, total=bars.tasks[task].completed, note="")
    return rows


if __name__ == "__main__":
    main()
