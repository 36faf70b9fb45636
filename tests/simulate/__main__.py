"""`make simulate`: many seeds on all processors, or one seed told step by step."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.readme import README, write_section
from tests.simulate.bugs import BUGS
from tests.simulate.chunk import chunk
from tests.simulate.report import SECTION, Total, section, table
from tests.simulate.scenario import Outcome, run

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

_AT_ONCE = 100
# Enough to see a pattern; a broken law breaks in many seeds.
_MOST_FAILURES = 20
_PROCESSES = 2


def replay(console: Console, seed: int, bug: str) -> int:
    """Tell one seed; return how many laws it broke."""
    outcome = run(seed, bug=bug, trace=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
    console.print(f"seed {seed}: {outcome.simulated_s:.1f} simulated seconds, {dict(outcome.counts)}", soft_wrap=True)
    for violation in outcome.violations:
        console.print(f"BROKEN {violation}", markup=False, soft_wrap=True)
    console.print("every law held" if not outcome.violations else f"{len(outcome.violations)} laws were broken")
    return len(outcome.violations)


def explore(console: Console, first: int, seeds: int, bug: str) -> Total:
    """Return the sum of many runs; ends early when laws break in many of them."""
    total = Total()
    began = time.monotonic()
    starts = iter(range(first, first + seeds, _AT_ONCE))
    columns = (TextColumn("seeds"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[broken]} broken"))
    context = multiprocessing.get_context("spawn")
    with (
        Progress(*columns, TimeRemainingColumn(), console=console) as progress,
        ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool,
    ):
        task = progress.add_task("seeds", total=seeds, broken=0)

        def more(number: int) -> Iterator[Future[tuple[list[Outcome], Counter[str], float]]]:
            for start in islice(starts, number):
                yield pool.submit(chunk, start, min(_AT_ONCE, first + seeds - start), bug)

        waiting = set(more(2 * _PROCESSES))
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                broken, counts, simulated_s = future.result()
                total.add(broken, counts, simulated_s)
            for outcome in total.broken[len(total.told) :]:
                total.told.append(outcome.seed)
                again = f"make simulate SEED={outcome.seed}" + (f" BUG={bug}" if bug else "")
                console.print(f"{again}   # {outcome.violations[0]}", markup=False, soft_wrap=True)
            progress.update(task, completed=total.counts["seeds"], broken=len(total.broken))
            if len(total.broken) < _MOST_FAILURES:
                waiting |= set(more(len(done)))
    total.wall_s = time.monotonic() - began
    return total


def main() -> None:
    """Run what the command line asks for; the exit status is 1 when a law was broken."""
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="tell this one seed step by step")
    parser.add_argument("--bug", default="", choices=sorted(BUGS), help="plant a historic bug")
    parser.add_argument("--readme", action="store_true", help="write the table into README")
    asked = parser.parse_args()
    console = Console()
    if asked.seed is not None:
        sys.exit(1 if replay(console, asked.seed, asked.bug) else 0)
    total = explore(console, asked.first, asked.seeds, asked.bug)
    console.print(table(total), markup=False)
    if asked.readme:
        write_section(README, SECTION, section(total))
    sys.exit(1 if total.broken else 0)


if __name__ == "__main__":
    main()
