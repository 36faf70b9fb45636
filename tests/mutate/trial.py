"""One mutant on trial: the module is replaced before anything imports it, then the tests that matter are run.

A trial happens in a forked child of a process that has imported the heavy libraries and nothing
of ours, so that it costs no more than the tests themselves.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType

SURVIVED = 0
BY_TEST = 11
BY_SEED = 12


@dataclass(frozen=True)
class Killers:
    """What may kill the mutants of a module, the fastest first."""

    fast: tuple[str, ...] = ()
    seeds: int = 0
    servers: tuple[str, ...] = ()


class _Replaced(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the other source."""
        exec(compile(self._source, f"<mutant of {self._name}>", "exec"), module.__dict__)  # noqa: S102  # the very point


def try_mutant(name: str, source: str, killers: Killers, servers: dict[str, str]) -> int:
    """Return who killed the mutant, or that it survived; runs in a child that ends afterwards."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    sys.meta_path.insert(0, _Replaced(name, source))
    if killers.fast and not _pass(killers.fast):
        return BY_TEST
    if killers.seeds and not _hold(killers.seeds):
        return BY_SEED
    if killers.servers and servers:
        for variable, address in servers.items():
            os.environ[variable] = address  # noqa: TID251  # what a person would do before calling pytest
        if not _pass(killers.servers):
            return BY_TEST
    return SURVIVED


def _pass(files: tuple[str, ...]) -> bool:
    import pytest

    # Another order or a retry is of no use here, and a cache would be shared by the children.
    return (
        pytest.main(
            [*files, "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "--assert=plain"]
        )
        == 0
    )


def _hold(seeds: int) -> bool:
    """Return whether the laws hold in so many seeds of the simulation."""
    try:
        from tests.simulate.scenario import run

        return not any(run(seed).violations for seed in range(seeds))
    except Exception:  # noqa: BLE001  # whatever it is, the mutant did not go unnoticed
        return False
