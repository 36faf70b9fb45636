"""`make mutate`: change the code of money and leases in small ways, and see who notices.

Written here because the libraries that do this run the whole suite or a command of the shell for
every mutant; a fork of a warm process with the tests that can meet the mutant and the simulated
seeds is an order of magnitude faster, and runs against one PostgreSQL for all.
"""

import argparse
import multiprocessing
import os
import sys
import time

from rich.console import Console

from tests.mutate.judge import TestsFail, judge
from tests.mutate.modules import MODULES
from tests.mutate.report import SURVIVORS, known_reasons, rows_in, rows_of, table
from tests.mutate.servers import serve
from tests.readme import README, read_section, write_section

_NICE = 5


def main() -> None:
    """Try the mutants that the command line asks for; the exit status is 1 when fewer than nine in ten die."""
    parser = argparse.ArgumentParser(prog="mutate")
    parser.add_argument("--module", action="append", choices=sorted(MODULES), help="only this one (may be repeated)")
    parser.add_argument("--most", type=int, default=0, help="so many mutants of each module, 0 for all")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--readme", action="store_true", help="write the rows of these modules into README")
    parser.add_argument("--no-servers", action="store_true", help="leave out the tests that need PostgreSQL")
    asked = parser.parse_args()
    if asked.readme and (asked.most or asked.no_servers):
        parser.error("only whole modules under all their tests belong in README")
    os.nice(_NICE)
    console = Console()
    chosen = {module: killers for module, killers in MODULES.items() if module in (asked.module or MODULES)}
    ours, theirs = multiprocessing.Pipe()
    servers: dict[str, str] = {}
    keeper = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    if not asked.no_servers:
        keeper.start()
        servers = ours.recv()
    try:
        verdicts = judge(chosen, servers=servers, most=asked.most, at_once=asked.at_once, console=console)
    except TestsFail as error:
        console.print(str(error), style="red", markup=False)
        sys.exit(2)
    finally:
        if servers:
            ours.send("end")
            keeper.join()
    rows = rows_of(verdicts)
    console.print(table(rows), markup=False)
    if asked.readme:
        every = {**rows_in(read_section(README, "mutate")), **rows}
        shown = {module: every[module] for module in MODULES if module in every}
        day = time.strftime("%Y-%m-%d", time.gmtime())
        write_section(README, "mutate", f"Last measured {day}.\n\n{table(shown)}")
    reasons = known_reasons()
    for each in verdicts:
        for mutant in each.survivors:
            if mutant.name not in reasons:
                console.print(f"no reason in {SURVIVORS.name} for: {mutant.name}", markup=False, soft_wrap=True)
    count, killed = sum(row.count for row in rows.values()), sum(row.killed for row in rows.values())
    sys.exit(1 if killed * 10 < count * 9 else 0)


if __name__ == "__main__":
    main()
