"""``make bench``: every benchmark in turn with a progress bar, then the table on the screen and in README."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import (
    call,
    codec,
    concerns,
    edge,
    jobs,
    recovery,
    refill,
    song,
    start,
    story,
    transcode,
    wallet,
    watchers,
)
from tests.bench.report import SECTION, markdown, screen, this_machine, write_json
from tests.bench.rounds import LEAST_ROUNDS, Row, Trial
from tests.readme import README, MarksMissing, check_marks, write_section

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: how it measures, how many pairs it times in turn, and after how long it is given up."""

    measure: Callable[[Trial], Awaitable[list[Row]]]
    pairs: int
    most_s: float


BENCHMARKS = {
    "codec": Benchmark(codec.measure, 8, 120),
    "call": Benchmark(call.measure, 1, 120),
    "concerns": Benchmark(concerns.measure, 7, 120),
    "edge": Benchmark(edge.measure, 7, 600),
    "transcode": Benchmark(transcode.measure, 2, 300),
    "song": Benchmark(song.measure, 1, 600),
    "start": Benchmark(start.measure, 1, 900),
    "story": Benchmark(story.measure, 1, 1800),
    "wallet": Benchmark(wallet.measure, 3, 300),
    "jobs": Benchmark(jobs.measure, 2, 900),
    "recovery": Benchmark(recovery.measure, 1, 900),
    "refill": Benchmark(refill.measure, 1, 600),
    "watchers": Benchmark(watchers.measure, 4, 1800),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", type=click.Choice(sorted(BENCHMARKS)), multiple=True, help="Only this one; README stays.")
@click.option("--rounds", type=click.IntRange(min=LEAST_ROUNDS), default=LEAST_ROUNDS, show_default=True)
@click.option("--readme", type=click.Path(dir_okay=False, path_type=Path), default=README)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=ROOT / "out" / "bench.json")
def main(only: tuple[str, ...], rounds: int, readme: Path, out: Path) -> None:
    """Measure everything against its reference and write the table into README."""
    console = Console()
    if not only:
        try:
            check_marks(readme, SECTION)
        except MarksMissing as error:
            raise click.ClickException(str(error)) from error
    machine = this_machine(rounds=rounds)
    rows = asyncio.run(_measure(console, only or tuple(BENCHMARKS), rounds))
    console.print(screen(rows, machine))
    write_json(out, rows, machine)
    if not only:
        write_section(readme, SECTION, markdown(rows, machine))
        console.print(f"written into {readme} and {out}")


async def _measure(console: Console, names: tuple[str, ...], rounds: int) -> list[Row]:
    """Run the benchmarks one after the other, each in a folder of its own and within its time."""
    rows: list[Row] = []
    columns = (TextColumn("{task.description:<10}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}", style="dim"), console=console) as bars:
        tasks = {
            name: bars.add_task(name, total=2 * rounds * BENCHMARKS[name].pairs, note="", start=False) for name in names
        }
        for name, task in tasks.items():
            benchmark = BENCHMARKS[name]
            bars.start_task(task)

            def tick(note: str, task: object = task) -> None:
                bars.update(task, advance=1, note=note)  # type: ignore[arg-type]  # rich's own integer

            with tempfile.TemporaryDirectory(prefix="cadenza-bench-", ignore_cleanup_errors=True) as folder:
                async with asyncio.timeout(benchmark.most_s):
                    rows += await benchmark.measure(Trial(rounds, Path(folder), tick))
            bars.stop_task(task)
            bars.update(task, note="")
    return rows


if __name__ == "__main__":
    main()
