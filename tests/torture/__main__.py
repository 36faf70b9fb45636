"""`make torture ROUNDS=… SEED=…`: run long, print what happened, leave with status 1 when a promise was broken."""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.readme import README, write_section
from tests.torture.report import SECTION, markdown, screen, write
from tests.torture.run import Outcome, short_take, torture

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Return 0 when every promise was kept, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=None, help="drawn when left out, and printed")
    parser.add_argument("--length", type=float, default=30.0, help="seconds of blows in a round")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    parser.add_argument("--readme", action="store_true", help="write the table into README")
    wanted = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if wanted.seed is None else wanted.seed
    console = Console()
    console.print(f"the same again: make torture ROUNDS={wanted.rounds} SEED={seed}")
    # The account that runs PostgreSQL must reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="cadenza-torture-", dir="/var/tmp"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("torture", total=wanted.rounds)

            def told(outcome: Outcome, found: list[str]) -> None:
                text = f"{outcome.kills} kills, {sum(outcome.jobs.values())} jobs, {len(outcome.violations)} violations"
                progress.update(bar, completed=outcome.rounds, description=text)
                for each in found:
                    console.print(f"[red]seed {seed}, round {outcome.rounds - 1}:[/red] {each}", highlight=False)
                # After each round: a run of an hour that breaks off tells of the rounds that it had.
                write(outcome, ROOT / "out" / "torture")
                if wanted.readme:
                    write_section(README, SECTION, markdown(outcome))

            run = torture(
                folder / "mesh", short_take(), seed=seed, rounds=wanted.rounds, length_s=wanted.length, told=told
            )
            outcome = asyncio.run(run)
    finally:
        if wanted.keep:
            console.print(f"logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    console.print(screen(outcome))
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
