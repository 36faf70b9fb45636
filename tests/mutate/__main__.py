"""`make mutate`: change the code of money and leases in small ways, and see who notices.

Written here because the libraries that do this run the whole suite or a command of the shell for
every mutant; a fork of a warm process with the tests and the simulated seeds that belong to a
module is an order of magnitude faster, and runs against one PostgreSQL for all.
"""

import argparse
import multiprocessing
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.mutate.mutation import Mutant, mutants
from tests.mutate.servers import serve
from tests.mutate.trial import SURVIVED, Killers, try_mutant
from tests.readme import README, write_section

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

ROOT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("survivors.txt")
# How many times longer than without a mutation a trial may take, and how long in any case.
_PATIENCE = 4.0
_LEAST_S = 20.0
_NICE = 5

_WALLET = ("tests/wallet/test_credit_usecases.py", "tests/wallet/test_hold_usecases.py")
_RUNNER = ("tests/kit/test_jobs_runner.py", "tests/kit/test_jobs_lease.py")
_QUEUE = ("tests/kit/test_jobs_queue.py", "tests/kit/test_jobs_dead.py", "tests/kit/test_jobs_watch.py")
_CHARGE = ("tests/composer/test_charge_usecases.py", "tests/composer/test_charge_terms.py")
MODULES: dict[str, Killers] = {
    "services.wallet.domain.credit": Killers(("tests/wallet/test_credit_domain.py",), 25, _WALLET),
    "services.wallet.domain.ledger": Killers(
        ("tests/wallet/test_credit_domain.py",), 15, ("tests/wallet/test_ledger_storage.py", *_WALLET)
    ),
    "services.wallet.domain.price": Killers(
        ("tests/wallet/test_price_domain.py",), 10, ("tests/wallet/test_price_usecases.py",)
    ),
    "services.wallet.domain.quota": Killers(("tests/wallet/test_quota_domain.py",), 10),
    "services.wallet.usecases.credit": Killers((), 30, _WALLET),
    "services.wallet.usecases.batch": Killers((), 0, ("tests/wallet/test_credit_batch.py",)),
    "services.wallet.storage.perform": Killers((), 0, ("tests/wallet/test_credit_batch.py", *_WALLET)),
    "services.wallet.usecases.hold": Killers((), 10, ("tests/wallet/test_hold_usecases.py",)),
    "services.wallet.usecases.terms": Killers(
        (), 30, ("tests/wallet/test_hold_usecases.py", "tests/wallet/test_price_usecases.py")
    ),
    "services.kit.jobs.states": Killers(("tests/kit/test_jobs_states.py",)),
    "services.kit.jobs.turns": Killers((), 10, ("tests/kit/test_jobs_turns.py", "tests/kit/test_jobs_queue.py")),
    "services.kit.jobs.rows": Killers((), 30, ("tests/kit/test_jobs_queue.py", *_RUNNER)),
    "services.kit.jobs.run": Killers(
        (), 30, (*_RUNNER, "tests/kit/test_jobs_order.py", "tests/kit/test_jobs_watch.py")
    ),
    "services.kit.jobs.heart": Killers((), 0, ("tests/kit/test_jobs_heart.py", *_RUNNER)),
    "services.kit.jobs.runner": Killers(
        (), 30, (*_RUNNER, "tests/kit/test_jobs_dead.py", "tests/kit/test_jobs_turns.py")
    ),
    "services.kit.jobs.sweeper": Killers(
        (), 30, ("tests/kit/test_jobs_sweeper.py", "tests/kit/test_jobs_loss.py", "tests/kit/test_jobs_outage.py")
    ),
    "services.kit.jobs.queue": Killers((), 30, (*_QUEUE, *_RUNNER)),
    "services.kit.jobs.outbox": Killers((), 30, ("tests/kit/test_jobs_outbox.py",)),
    "services.composer.usecases.charge": Killers((), 30, (*_CHARGE, "tests/composer/test_music_jobs.py")),
}


@dataclass
class Verdicts:
    """What became of the mutants of one module."""

    module: str
    count: int = 0
    survivors: list[Mutant] = field(default_factory=list)


def _source(module: str) -> str:
    return (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")


def _child(name: str, source: str, killers: Killers, servers: dict[str, str]) -> None:
    os._exit(try_mutant(name, source, killers, servers))


def _warm() -> None:
    """Import what is heavy and not ours."""
    for name in ("pytest", "sqlalchemy.ext.asyncio", "asyncpg", "grpc.aio", "redis", "rq", "alembic"):
        __import__(name)


def judge(
    chosen: dict[str, Killers], *, servers: dict[str, str], most: int, at_once: int, console: Console
) -> list[Verdicts]:
    """Return what became of the mutants of each module; with `most` only so many of each, drawn by a fixed seed."""
    _warm()
    context = multiprocessing.get_context("fork")
    verdicts = {module: Verdicts(module) for module in chosen}
    waiting: list[Mutant] = []
    patience: dict[str, float] = {}
    for module, killers in chosen.items():
        every = mutants(module, _source(module))
        few = random.Random(0).sample(every, most) if 0 < most < len(every) else every
        verdicts[module].count = len(few)
        waiting += few
        unchanged = context.Process(target=_child, args=(module, _source(module), killers, servers))
        began = time.monotonic()
        unchanged.start()
        unchanged.join()
        patience[module] = _LEAST_S + _PATIENCE * (time.monotonic() - began)
        if unchanged.exitcode != SURVIVED:
            console.print(f"the tests of {module} fail without any mutation", style="red")
            sys.exit(2)
    running: dict[BaseProcess, tuple[Mutant, float]] = {}
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[alive]} alive"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("mutants", total=len(waiting), alive=0)
        while waiting or running:
            while waiting and len(running) < at_once:
                mutant = waiting.pop(0)
                asked = (mutant.module, mutant.source, chosen[mutant.module], servers)
                trial: BaseProcess = context.Process(target=_child, args=asked)
                trial.start()
                running[trial] = (mutant, time.monotonic())
            for trial, (mutant, since) in list(running.items()):
                trial.join(0.02)
                if trial.exitcode is None and time.monotonic() - since > patience[mutant.module]:
                    # It goes round in circles, which nobody can overlook.
                    trial.kill()
                    trial.join()
                if trial.exitcode is not None:
                    del running[trial]
                    if trial.exitcode == SURVIVED:
                        verdicts[mutant.module].survivors.append(mutant)
                        console.print(f"alive: {mutant.name} (line {mutant.line})", markup=False, soft_wrap=True)
                    alive = sum(len(each.survivors) for each in verdicts.values())
                    progress.update(task, advance=1, alive=alive)
    return list(verdicts.values())


def known_reasons() -> dict[str, str]:
    """Return the survivors that have been looked at, with the reason why they live."""
    reasons = {}
    for line in SURVIVORS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, reason = line.partition(" || ")
            reasons[name] = reason
    return reasons


def table(verdicts: list[Verdicts]) -> str:
    """Return the outcome as a table of Markdown."""
    lines = ["| module | mutants | killed | survivors |", "|---|---|---|---|"]
    for each in verdicts:
        killed = each.count - len(each.survivors)
        share = f"{killed} ({100 * killed / max(each.count, 1):.0f} %)"
        lines.append(f"| `{each.module}` | {each.count} | {share} | {len(each.survivors)} |")
    count = sum(each.count for each in verdicts)
    alive = sum(len(each.survivors) for each in verdicts)
    lines.append(f"| together | {count} | {count - alive} ({100 * (count - alive) / max(count, 1):.0f} %) | {alive} |")
    return "\n".join(lines)


def main() -> None:
    """Try the mutants that the command line asks for; the exit status is 1 when fewer than nine in ten die."""
    parser = argparse.ArgumentParser(prog="mutate")
    parser.add_argument("--module", action="append", choices=sorted(MODULES), help="only this one (may be repeated)")
    parser.add_argument("--most", type=int, default=0, help="so many mutants of each module, 0 for all")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--readme", action="store_true", help="write the table into README")
    parser.add_argument("--no-servers", action="store_true", help="leave out the tests that need PostgreSQL")
    asked = parser.parse_args()
    os.nice(_NICE)
    console = Console()
    chosen = {module: MODULES[module] for module in asked.module or MODULES}
    ours, theirs = multiprocessing.Pipe()
    servers: dict[str, str] = {}
    keeper = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    if not asked.no_servers:
        keeper.start()
        servers = ours.recv()
    try:
        verdicts = judge(chosen, servers=servers, most=asked.most, at_once=asked.at_once, console=console)
    finally:
        if servers:
            ours.send("end")
            keeper.join()
    console.print(table(verdicts), markup=False)
    if asked.readme:
        write_section(README, "mutate", f"Measured {time.strftime('%Y-%m-%d', time.gmtime())}.\n\n{table(verdicts)}")
    reasons = known_reasons()
    for each in verdicts:
        for mutant in each.survivors:
            if mutant.name not in reasons:
                console.print(f"no reason in {SURVIVORS.name} for: {mutant.name}", markup=False, soft_wrap=True)
    count = sum(each.count for each in verdicts)
    alive = sum(len(each.survivors) for each in verdicts)
    sys.exit(1 if alive * 10 > count else 0)


if __name__ == "__main__":
    main()
