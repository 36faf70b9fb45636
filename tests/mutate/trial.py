"""One mutant on trial: the module is replaced before anything imports it, then the tests that matter are run.

A trial happens in a forked child of a process that has imported the heavy libraries and nothing
of ours, so that it costs no more than the tests themselves.
"""

import importlib.abc
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from tests.mutate.reach import PLAIN

SURVIVED = 0
BY_TEST = 11
BY_SEED = 12


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


def try_mutant(
    name: str, source: str, *, fast: Sequence[str], seeds: int, slow: Sequence[str], servers: Mapping[str, str]
) -> int:
    """Return who killed the mutant, or that it survived; runs in a child that ends afterwards.

    Tests are given by their node ids, the ones to begin with first; the slow ones find PostgreSQL and Valkey by
    `servers`.
    """
    silence()
    sys.meta_path.insert(0, _Replaced(name, source))
    if fast and not _pass(fast):
        return BY_TEST
    if seeds and not hold(seeds):
        return BY_SEED
    find(servers)
    return SURVIVED if not slow or _pass(slow) else BY_TEST


def find(servers: Mapping[str, str]) -> None:
    """Let the tests of this process find the servers."""
    for variable, address in servers.items():
        os.environ[variable] = address  # noqa: TID251  # what a person would do before calling pytest


def silence(into: str = os.devnull) -> None:
    """Let everything that is written from here on go into the file."""
    silent = os.open(into, os.O_WRONLY | os.O_CREAT)
    os.dup2(silent, 1)
    os.dup2(silent, 2)


def _pass(tests: Sequence[str]) -> bool:
    import pytest

    return pytest.main([*tests, "-x", *PLAIN]) == 0


def hold(seeds: int) -> bool:
    """Return whether the laws hold in so many seeds of the simulation."""
    try:
        from tests.simulate.scenario import run

        return not any(run(seed).violations for seed in range(seeds))
    except Exception:  # noqa: BLE001  # whatever it is, the mutant did not go unnoticed
        return False
