"""Tries mutants beside each other, each in a forked child of a process that has imported the heavy libraries only."""

import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tests.mutate.modules import Killers
from tests.mutate.mutation import Mutant, mutants
from tests.mutate.reach import Test, read, record, tests_for
from tests.mutate.trial import SURVIVED, find, hold, silence, try_mutant

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

ROOT = Path(__file__).resolve().parents[2]
# How many times longer than without a mutation a trial may take, and how long in any case.
_PATIENCE = 4.0
_LEAST_S = 40.0
_END_OF_OUTPUT = 4000
_FORK = multiprocessing.get_context("fork")


class TestsFail(Exception):
    """The tests fail without any mutation, so they can judge none."""


@dataclass
class Verdicts:
    """What became of the mutants of one module."""

    module: str
    count: int = 0
    survivors: list[Mutant] = field(default_factory=list)


@dataclass(frozen=True)
class _Case:
    """A mutant and who is to try it."""

    mutant: Mutant
    seeds: int
    fast: Sequence[Test]
    slow: Sequence[Test]

    @property
    def patience_s(self) -> float:
        return _LEAST_S + _PATIENCE * sum(test.seconds for test in (*self.fast, *self.slow))


def judge(
    chosen: Mapping[str, Killers], *, servers: Mapping[str, str], most: int, at_once: int, console: Console
) -> list[Verdicts]:
    """Return what became of the mutants of each module; with `most` only so many of each, drawn by a fixed seed.

    Raises TestsFail.
    """
    _warm()
    tests = _unchanged(chosen, servers)
    cases = []
    verdicts = {module: Verdicts(module) for module in chosen}
    for module, killers in chosen.items():
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        every = mutants(module, source)
        few = random.Random(0).sample(every, most) if 0 < most < len(every) else every
        verdicts[module].count = len(few)
        for mutant in few:
            fast = tests_for(tests, module, mutant.where, killers.fast)
            slow = tests_for(tests, module, mutant.where, killers.servers if servers else ())
            cases.append(_Case(mutant, killers.seeds, fast, slow))
    _try_all(cases, verdicts, servers, at_once, console)
    return list(verdicts.values())


def _warm() -> None:
    """Import what is heavy and not ours."""
    for name in ("pytest", "sqlalchemy.ext.asyncio", "asyncpg", "grpc.aio", "redis", "rq", "alembic"):
        __import__(name)


def _unchanged(chosen: Mapping[str, Killers], servers: Mapping[str, str]) -> list[Test]:
    """Return the tests of all killers with what they reach, once they and the seeds have passed without a mutation."""
    files = [name for killers in chosen.values() for name in (*killers.fast, *(killers.servers if servers else ()))]
    seeds = max(killers.seeds for killers in chosen.values())
    with tempfile.TemporaryDirectory(prefix="cadenza-mutate-") as folder:
        into, said = Path(folder) / "reach.json", Path(folder) / "output.txt"
        arguments = (sorted(set(files)), list(chosen), seeds, servers, into, said)
        process = _FORK.Process(target=_record, args=arguments)
        process.start()
        process.join()
        if process.exitcode != 0:
            raise TestsFail(f"{said.read_text()[-_END_OF_OUTPUT:]}\nthe tests or seeds fail without any mutation")
        return read(into)


def _record(
    files: list[str], modules: list[str], seeds: int, servers: Mapping[str, str], into: Path, said: Path
) -> None:
    silence(str(said))
    find(servers)
    os._exit(record(files, modules, into) or not hold(seeds))


def _child(case: _Case, servers: Mapping[str, str]) -> None:
    fast, slow = ([test.node_id for test in tests] for tests in (case.fast, case.slow))
    mutant = case.mutant
    os._exit(try_mutant(mutant.module, mutant.source, fast=fast, seeds=case.seeds, slow=slow, servers=servers))


def _try_all(
    cases: Sequence[_Case],
    verdicts: Mapping[str, Verdicts],
    servers: Mapping[str, str],
    at_once: int,
    console: Console,
) -> None:
    waiting = list(cases)
    running: dict[BaseProcess, tuple[_Case, float]] = {}
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[alive]} alive"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("mutants", total=len(waiting), alive=0)
        while waiting or running:
            while waiting and len(running) < at_once:
                case = waiting.pop(0)
                trial: BaseProcess = _FORK.Process(target=_child, args=(case, servers))
                trial.start()
                running[trial] = (case, time.monotonic())
            for trial, (case, since) in list(running.items()):
                trial.join(0.02)
                if trial.exitcode is None and time.monotonic() - since > case.patience_s:
                    # It goes round in circles, which nobody can overlook.
                    trial.kill()
                    trial.join()
                    console.print(f"endless: {case.mutant.name}", markup=False, soft_wrap=True)
                if trial.exitcode is not None:
                    del running[trial]
                    if trial.exitcode == SURVIVED:
                        verdicts[case.mutant.module].survivors.append(case.mutant)
                        console.print(
                            f"alive: {case.mutant.name} (line {case.mutant.line})", markup=False, soft_wrap=True
                        )
                    alive = sum(len(each.survivors) for each in verdicts.values())
                    progress.update(task, advance=1, alive=alive)
